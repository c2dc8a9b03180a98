/** A run beside the canvas: what it is, what it gave, what it printed, and what can be done with it. */

import { useRun, useRunActions } from "../api/queries";
import type { RunNode } from "../api/schema";
import { useMayChange } from "../api/session";
import { navigate, to } from "../router";
import { Failed, Loading } from "../ui/Feedback";
import { Notes } from "../ui/Notes";
import { Tabs } from "../ui/Tabs";
import { toastError } from "../ui/Toasts";
import { Actions } from "./Actions";
import { LogTab } from "./LogTab";
import { MethodsTab, ProvenanceTab } from "./MethodsTab";
import { ParametersTab } from "./ParametersTab";
import { RunHead } from "./RunHead";
import { SummaryTab } from "./SummaryTab";
import "./run.css";

const TABS = [
  ["summary", "Summary"],
  ["log", "Output log"],
  ["parameters", "Parameters"],
  ["notes", "Notes"],
  ["methods", "Methods"],
  ["provenance", "Provenance"],
] as const;

interface Props {
  project: string;
  run: string;
  tab: string;
  nodes: readonly RunNode[];
  onDelete: (run: string) => void;
}

export default function RunPanel({ project, run, tab, nodes, onDelete }: Props) {
  const { data, error, refetch } = useRun(project, run);
  const { change } = useRunActions(project);
  const mayChange = useMayChange();
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what={run} />;
  const shown = TABS.find(([name]) => name === tab)?.[0] ?? "summary";
  return (
    <>
      <div className="run-head">
        <RunHead project={project} run={data} mayChange={mayChange} />
        <Actions project={project} run={data} nodes={nodes} mayChange={mayChange} onDelete={onDelete} />
      </div>
      <Tabs label="About this run" tabs={TABS} value={shown} onChange={(next) => navigate(to.run(project, run, next), { replace: true })} />
      <div className="run-body" role="tabpanel" aria-label={TABS.find(([name]) => name === shown)?.[1]}>
        {shown === "summary" && <SummaryTab project={project} run={data} />}
        {shown === "log" && <LogTab project={project} run={data} />}
        {shown === "parameters" && <ParametersTab project={project} run={data} nodes={nodes} />}
        {shown === "notes" && <Notes notes={data.notes} mayWrite={mayChange} pending={change.isPending} onWrite={(text, done) => change.mutate({ run, note: text }, { onSuccess: done, onError: toastError })} />}
        {shown === "methods" && <MethodsTab project={project} run={data} />}
        {shown === "provenance" && <ProvenanceTab project={project} run={data} />}
      </div>
    </>
  );
}
