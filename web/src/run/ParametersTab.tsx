/** All parameters and inputs; those changed from their defaults, or from another run's, stand out. */

import { useState } from "react";
import { useComparison, useProtocol, type Pair } from "../api/queries";
import type { RunDetail, RunNode } from "../api/schema";
import { navigate, to } from "../router";
import { Failed } from "../ui/Feedback";
import { number } from "../ui/format";

interface Reference {
  run: string;
  output: string;
}

export const references = (given: unknown): Reference[] => (Array.isArray(given) ? given : [given]) as Reference[];

/** Runs to compare with: those of the same protocol first, the one made last before this at the top. */
export function likely(nodes: readonly RunNode[], run: RunDetail): RunNode[] {
  const others = nodes.filter((node) => node.run !== run.run);
  const rank = (node: RunNode) => (node.protocol === run.protocol ? 0 : 2) + (node.created <= run.created ? 0 : 1);
  return others.sort((a, b) => rank(a) - rank(b) || b.created - a.created);
}

export function ParametersTab({ project, run, nodes }: { project: string; run: RunDetail; nodes: readonly RunNode[] }) {
  const { data: schema } = useProtocol(run.protocol.includes(":") ? "" : run.protocol);
  const [other, setOther] = useState("");
  const comparison = useComparison(project, run.run, other);
  const apart: Record<string, Pair> = comparison.data?.parameters ?? {};
  return (
    <>
      <div className="row">
        <label className="row grow">
          <span className="soft">Compare&nbsp;with</span>
          <select aria-label="Compare with" value={other} onChange={(event) => setOther(event.target.value)}>
            <option value="">its defaults</option>
            {likely(nodes, run).map((node) => (
              <option key={node.run} value={node.run}>
                {node.run} {node.label || node.protocol}
              </option>
            ))}
          </select>
        </label>
        {other && (
          <button type="button" className="button" onClick={() => navigate(to.compare(project, other, run.run))}>
            Results too
          </button>
        )}
      </div>
      {comparison.error && <Failed error={comparison.error} />}
      {comparison.data && (
        <ul className="asked">
          {comparison.data.asked.length === 0 && <li>Both were asked the same.</li>}
          {comparison.data.asked.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
      <table className="facts">
        {other && (
          <thead>
            <tr>
              <th scope="col"></th>
              <td className="mono">{run.run}</td>
              <td className="mono">{other}</td>
            </tr>
          </thead>
        )}
        <tbody>
          {Object.entries(run.inputs).map(([name, given]) => (
            <tr key={name}>
              <th scope="row">{schema?.properties[name]?.["x-label"] ?? name}</th>
              <td colSpan={other ? 2 : 1}>
                {references(given).map((each) => (
                  <button key={`${each.run}.${each.output}`} type="button" className="button plain" onClick={() => navigate(to.run(project, each.run))}>
                    {each.run}.{each.output}
                  </button>
                ))}
              </td>
            </tr>
          ))}
          {Object.entries(run.parameters).map(([name, value]) => {
            const field = schema?.properties[name];
            const pair = apart[name];
            const changed = other ? pair !== undefined : field && JSON.stringify(field.default ?? null) !== JSON.stringify(value);
            return (
              <tr key={name} className={changed ? "changed" : undefined} title={field?.description}>
                <th scope="row">
                  {field?.["x-label"] ?? name}
                  {changed && <span className="hidden"> (changed)</span>}
                </th>
                <td>
                  {number(value)} {value !== null && field?.["x-unit"]}
                </td>
                {other && <td>{comparison.data && number(pair ? pair[1] : value)}</td>}
              </tr>
            );
          })}
          <tr>
            <th scope="row">Seed</th>
            <td colSpan={other ? 2 : 1}>{run.seed}</td>
          </tr>
        </tbody>
      </table>
    </>
  );
}
