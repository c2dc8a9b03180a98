/** Two runs side by side: what was asked, what came out, and the FSC curves on one plot. */

import { useEffect, useMemo } from "react";
import { useComparison, type OutputsCompared, type Pair } from "../api/queries";
import type { RunNode } from "../api/schema";
import { useCurves } from "../api/sets";
import { navigate, to } from "../router";
import { Failed, Loading } from "../ui/Feedback";
import { number } from "../ui/format";
import { Icon } from "../ui/Icon";
import { FscPlot } from "../viewers/fsc/FscPlot";
import { curvesOf } from "../viewers/fsc/reading";
import "../viewers/analyze.css";
import "./run.css";
import "./compare.css";

interface Props {
  project: string;
  first: string;
  second: string;
  nodes: readonly RunNode[];
}

export default function Compare({ project, first, second, nodes }: Props) {
  const { data, error, refetch } = useComparison(project, first, second);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && !event.defaultPrevented && navigate(to.run(project, second));
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [project, second]);
  // Parameters have a table of their own.
  const asked = data?.asked.filter((text) => !((text.split(" ")[0] ?? "") in data.parameters)) ?? [];
  const name = (run: string) => nodes.find((node) => node.run === run)?.label || nodes.find((node) => node.run === run)?.protocol;
  return (
    <div className="analyze" role="region" aria-label={`${first} and ${second} compared`}>
      <div className="analyze-head">
        <button type="button" className="button" onClick={() => navigate(to.run(project, second))}>
          <Icon name="back" /> Back to the project
        </button>
        <h1>
          <span className="mono">{first}</span> {name(first)} and <span className="mono">{second}</span> {name(second)}
        </h1>
        <span className="grow" />
        <button type="button" className="button" onClick={() => navigate(to.compare(project, second, first), { replace: true })}>
          <Icon name="restart" /> Other way round
        </button>
      </div>
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="both runs" />}
      {data && (
        <div className="compare" tabIndex={0} role="region" aria-label="Differences">
          <section>
            <h2>Asked</h2>
            {data.asked.length === 0 && <p className="soft">Both were asked the same.</p>}
            <ul className="asked">
              {asked.map((text) => (
                <li key={text}>{text}</li>
              ))}
            </ul>
          </section>
          {Object.entries(data.outputs).map(([output, told]) => (
            <Output key={output} project={project} runs={data.runs} output={output} told={told} maps={[first, second].every((run) => isMap(nodes, run, output))} />
          ))}
          <Apart title="Parameters that differ" runs={data.runs} pairs={data.parameters} />
          <Apart title="Results that differ" runs={data.runs} pairs={data.summary} />
          <Apart title="Spent" runs={data.runs} pairs={data.spent} />
        </div>
      )}
    </div>
  );
}

const isMap = (nodes: readonly RunNode[], run: string, output: string): boolean =>
  ["volume", "classes3d"].includes(nodes.find((node) => node.run === run)?.outputs.find(({ name }) => name === output)?.kind ?? "");

/** A value in a cell; of what is a table itself, such as the steps of a method, its length. */
const inCell = (value: unknown): string => (Array.isArray(value) && (value.length > 12 || typeof value[0] === "object") ? `${value.length} entries` : number(value));

function Apart({ title, runs, pairs }: { title: string; runs: [string, string]; pairs: Record<string, Pair> }) {
  if (Object.keys(pairs).length === 0) return null;
  return (
    <section>
      <h2>{title}</h2>
      <table className="facts">
        <thead>
          <tr>
            <th scope="col"></th>
            {runs.map((run) => (
              <th key={run} scope="col" className="mono">
                {run}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {Object.entries(pairs).map(([name, [left, right]]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{inCell(left)}</td>
              <td>{inCell(right)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Output({ project, runs, output, told, maps }: { project: string; runs: [string, string]; output: string; told: OutputsCompared; maps: boolean }) {
  const facts: Record<string, Pair> = { count: told.count ?? ["–", "–"], ...(told.kind ? { kind: told.kind } : {}), ...told.meta };
  if (told.only)
    return (
      <section>
        <h2>{output}</h2>
        <p className="soft">Only {told.only} has it.</p>
      </section>
    );
  return (
    <section>
      <h2>
        {output} {told.same && <span className="soft">the same in both</span>}
      </h2>
      {told.rows && (
        <p className="soft">
          {number(told.rows.both)} rows in both, {number(told.rows.only_first)} in {runs[0]} alone, {number(told.rows.only_second)} in {runs[1]} alone.
        </p>
      )}
      {maps && (
        <p>
          <button type="button" className="button" onClick={() => navigate(to.compareMaps(project, `${runs[0]}.${output}`, `${runs[1]}.${output}`))}>
            Maps side by side
          </button>
        </p>
      )}
      {told.fsc && <Curves project={project} runs={runs} output={output} />}
      {!told.same && <Apart title="" runs={runs} pairs={facts} />}
      {told.numbers && Object.keys(told.numbers).length > 0 && (
        <table className="facts">
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">mean distance</th>
              <th scope="col">largest</th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(told.numbers).map(([name, { mean, largest }]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{number(mean)}</td>
                <td>{number(largest)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** What each run takes its resolution from: its curve `fsc`, and what the server reads off it. */
function Curves({ project, runs, output }: { project: string; runs: [string, string]; output: string }) {
  const first = useCurves(project, `${runs[0]}.${output}`);
  const second = useCurves(project, `${runs[1]}.${output}`);
  const curves = useMemo(
    () =>
      [first.data, second.data].flatMap((told, place) =>
        (told ? curvesOf(told) : []).filter(({ name }) => name === "fsc").map((curve) => ({ ...curve, name: `${place}`, title: `${runs[place]}, ${curve.title}` })),
      ),
    [first.data, second.data, runs],
  );
  if (first.error ?? second.error) return <Failed error={first.error ?? second.error} retry={() => (void first.refetch(), void second.refetch())} />;
  if (!first.data || !second.data) return <Loading what="the curves" />;
  return <FscPlot curves={curves} />;
}
