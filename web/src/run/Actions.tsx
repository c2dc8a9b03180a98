/** What can be done with a run in its state. */

import { useState } from "react";
import { ACTIVE } from "../api/graph";
import { download } from "../api/project";
import { useRunActions } from "../api/queries";
import type { RunDetail, RunNode } from "../api/schema";
import { navigate, to } from "../router";
import { Icon } from "../ui/Icon";
import { Menu, type Action } from "../ui/Menu";
import { toastError } from "../ui/Toasts";
import { CopyBranch } from "./CopyBranch";

/** States from which a run goes on where it was left. */
const RESUMES = new Set(["failed", "stopped", "lost"]);

interface Props {
  project: string;
  run: RunDetail;
  nodes: readonly RunNode[];
  mayChange: boolean;
  onDelete: (run: string) => void;
}

export function Actions({ project, run, nodes, mayChange, onDelete }: Props) {
  const actions = useRunActions(project);
  const [copying, setCopying] = useState(false);
  const active = ACTIVE.has(run.state);
  const restart = () => actions.restart.mutate(run.run, { onSuccess: (made) => navigate(to.run(project, made.run)), onError: toastError });
  const files: Action[] = [
    { icon: "download", text: "Workflow up to here", href: download.workflow(project, run.run) },
    { icon: "download", text: "HTML report", href: download.report(project, run.run) },
  ];
  const changes: Action[] = [
    { icon: "branch", text: "Copy the branch …", onChoose: () => setCopying(true) },
    ...(!active && run.state !== "draft" ? [{ icon: "restart", text: "Restart as a new run", onChoose: restart } as const] : []),
    ...(active ? [] : [{ icon: "trash", text: "Delete …", danger: true, onChoose: () => onDelete(run.run) } as const]),
  ];
  return (
    <div className="row wrap">
      {run.state === "finished" && (
        <button type="button" className="button main" onClick={() => navigate(to.analyze(project, run.run))}>
          <Icon name="chart" /> Analyze results
        </button>
      )}
      {mayChange && (
        <>
          {run.protocol === "pick.manual" && run.state === "needs-you" && (
            <button type="button" className="button main" onClick={() => navigate(to.pick(project, run.run))}>
              <Icon name="circle" /> Pick particles
            </button>
          )}
          {(run.state === "draft" || RESUMES.has(run.state)) && (
            <button type="button" className="button main" disabled={actions.start.isPending} onClick={() => actions.start.mutate({ run: run.run }, { onError: toastError })}>
              <Icon name="play" /> {run.state === "draft" ? "Start" : "Resume"}
            </button>
          )}
          {run.watches && (
            <button type="button" className="button main" disabled={actions.close.isPending} title="No more files will come: finish with those that are there" onClick={() => actions.close.mutate(run.run, { onError: toastError })}>
              <Icon name="check" /> No more will come
            </button>
          )}
          {active && (
            <button type="button" className="button" disabled={actions.stop.isPending} title="What is finished is kept; it can be resumed" onClick={() => actions.stop.mutate(run.run, { onError: toastError })}>
              <Icon name="stop" /> {actions.stop.isPending ? "Stopping …" : "Stop"}
            </button>
          )}
          {RESUMES.has(run.state) && (
            <button type="button" className="button" disabled={actions.restart.isPending} onClick={restart}>
              <Icon name="restart" /> Restart
            </button>
          )}
          <button type="button" className="button" onClick={() => navigate(to.form(project, run.protocol, { like: run.run }))}>
            <Icon name="copy" /> Copy
          </button>
        </>
      )}
      <Menu label="More" actions={[...files, ...(mayChange ? changes : [])]}>
        <Icon name="more" />
      </Menu>
      {copying && <CopyBranch project={project} runs={[run.run]} nodes={nodes} onClose={() => setCopying(false)} />}
    </div>
  );
}
