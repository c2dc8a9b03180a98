/** A run beside the canvas: what it is, what it gave, what it printed, and what can be done with it. */

import { useRun } from "../api/queries";
import { navigate, to } from "../router";
import { Failed, Loading } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { StateBadge } from "../ui/StateBadge";
import { Tabs } from "../ui/Tabs";
import { Actions } from "./Actions";
import { LogTab } from "./LogTab";
import { MethodsTab, ProvenanceTab } from "./MethodsTab";
import { ParametersTab } from "./ParametersTab";
import { SummaryTab } from "./SummaryTab";
import "./run.css";

const TABS = [
  ["summary", "Summary"],
  ["log", "Output log"],
  ["parameters", "Parameters"],
  ["methods", "Methods"],
  ["provenance", "Provenance"],
] as const;

export default function RunPanel({ project, run, tab }: { project: string; run: string; tab: string }) {
  const { data, error, refetch } = useRun(project, run);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what={run} />;
  const shown = TABS.find(([name]) => name === tab)?.[0] ?? "summary";
  return (
    <>
      <div className="run-head">
        <div className="row">
          <span className="mono soft">{data.run}</span>
          <StateBadge state={data.state} />
          <span className="grow" />
          <button type="button" className="button plain" aria-label="Close the panel" onClick={() => navigate(to.project(project))}>
            <Icon name="close" />
          </button>
        </div>
        <h1>{data.label || data.protocol}</h1>
        <p className="soft">
          {data.label ? `${data.protocol} · ` : ""}
          {data.title}
        </p>
        <Actions project={project} run={data} />
      </div>
      <Tabs label="About this run" tabs={TABS} value={shown} onChange={(next) => navigate(to.run(project, run, next), { replace: true })} />
      <div className="run-body" role="tabpanel">
        {shown === "summary" && <SummaryTab project={project} run={data} />}
        {shown === "log" && <LogTab project={project} run={data} />}
        {shown === "parameters" && <ParametersTab project={project} run={data} />}
        {shown === "methods" && <MethodsTab project={project} run={data} />}
        {shown === "provenance" && <ProvenanceTab project={project} run={data} />}
      </div>
    </>
  );
}
