/** "Analyze results": the panels of a run's report, and a viewer for each of its outputs. */

import { Suspense, useEffect } from "react";
import { usePanels, useRun } from "../api/queries";
import type { Panel } from "../api/schema";
import { navigate, to } from "../router";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { Tabs } from "../ui/Tabs";
import { viewersOf } from "./registry";
import "../../../src/cryoloom/report/panels.css";
import "./analyze.css";

interface Props {
  project: string;
  run: string;
  output: string;
  viewer: string;
}

export default function Analyze({ project, run, output, viewer }: Props) {
  const { data, error, refetch } = useRun(project, run);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && !event.defaultPrevented && navigate(to.run(project, run));
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [project, run]);
  const outputs = Object.keys(data?.outputs ?? {});
  const tabs = [["", "Report"] as const, ...outputs.map((name) => [name, name] as const)];
  const fitting = viewersOf(data?.outputs[output]?.kind ?? "");
  const shown = fitting.find((each) => each.id === viewer) ?? fitting[0];
  return (
    <div className="analyze" role="region" aria-label={`Results of ${run}`}>
      <div className="analyze-head">
        <button type="button" className="button" onClick={() => navigate(to.run(project, run))}>
          <Icon name="back" /> Back to the project
        </button>
        <h1>
          {data?.label || data?.protocol} <span className="soft mono">{run}</span>
        </h1>
        <span className="grow" />
        <a className="button" href={`/api/projects/${encodeURIComponent(project)}/report?run=${encodeURIComponent(run)}`} download>
          <Icon name="download" /> HTML report
        </a>
      </div>
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="the run" />}
      {data && (
        <>
          <div className="analyze-tabs">
            <Tabs label="Results" tabs={tabs} value={output} onChange={(name) => navigate(to.analyze(project, run, name))} />
            {output !== "" && shown && fitting.length > 1 && (
              <Tabs label="Viewers" tabs={fitting.map((each) => [each.id, each.title] as const)} value={shown.id} onChange={(id) => navigate(to.analyze(project, run, output, id) + location.search, { replace: true })} />
            )}
          </div>
          {output === "" && <Report project={project} run={run} state={data.state} />}
          {output !== "" && !data.outputs[output] && <Empty>{run} has no output “{output}”.</Empty>}
          {output !== "" && data.outputs[output] && shown && (
            <div className="viewer">
              <Suspense fallback={<Loading what={shown.title} />}>
                <shown.Component key={output} project={project} output={`${run}.${output}`} kind={data.outputs[output].kind} />
              </Suspense>
            </div>
          )}
        </>
      )}
    </div>
  );
}

function Report({ project, run, state }: { project: string; run: string; state: string }) {
  const { data, error, refetch } = usePanels(project, run, state);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the pictures" />;
  if (data.length === 0) return <Empty>This run shows no pictures.</Empty>;
  return (
    <div className="report cryoloom" tabIndex={0} role="region" aria-label="Report">
      <div className="panels">
        {data.map((panel, place) => (
          <Drawn key={place} panel={panel} />
        ))}
      </div>
    </div>
  );
}

/** A panel as the server drew it; what it holds of other people's words was escaped there. */
function Drawn({ panel }: { panel: Panel }) {
  return (
    <div className="panel">
      {panel.title && <h3>{panel.title}</h3>}
      <div dangerouslySetInnerHTML={{ __html: panel.html }} />
      {panel.caption && <p className="caption">{panel.caption}</p>}
    </div>
  );
}
