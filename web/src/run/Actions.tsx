/** What can be done with a run in its state. */

import { useState } from "react";
import { ACTIVE } from "../api/graph";
import { useRunActions } from "../api/queries";
import type { RunDetail } from "../api/schema";
import { navigate, to } from "../router";
import { Dialog } from "../ui/Dialog";
import { counted } from "../ui/format";
import { Icon } from "../ui/Icon";
import { toast, toastError } from "../ui/Toasts";

/** States from which a run goes on where it was left. */
const RESUMES = new Set(["failed", "stopped", "lost"]);

export function Actions({ project, run }: { project: string; run: RunDetail }) {
  const actions = useRunActions(project);
  const [deleting, setDeleting] = useState(false);
  const active = ACTIVE.has(run.state);
  const open = (made: { run: string }) => navigate(to.run(project, made.run));
  return (
    <div className="row wrap">
      {run.state === "finished" && (
        <button type="button" className="button main" onClick={() => navigate(to.analyze(project, run.run))}>
          <Icon name="chart" /> Analyze results
        </button>
      )}
      {run.protocol === "pick.manual" && run.state === "needs-you" && (
        <button type="button" className="button main" onClick={() => navigate(to.pick(project, run.run))}>
          <Icon name="circle" /> Pick particles
        </button>
      )}
      {run.state === "draft" && (
        <button type="button" className="button main" onClick={() => actions.start.mutate({ run: run.run }, { onError: toastError })}>
          <Icon name="play" /> Start
        </button>
      )}
      {RESUMES.has(run.state) && (
        <button type="button" className="button main" onClick={() => actions.start.mutate({ run: run.run }, { onError: toastError })}>
          <Icon name="play" /> Resume
        </button>
      )}
      {active && (
        <button type="button" className="button" disabled={actions.stop.isPending} onClick={() => actions.stop.mutate(run.run, { onError: toastError })}>
          <Icon name="stop" /> {actions.stop.isPending ? "Stopping …" : "Stop"}
        </button>
      )}
      {!active && run.state !== "draft" && (
        <button type="button" className="button" onClick={() => actions.restart.mutate(run.run, { onSuccess: open, onError: toastError })}>
          <Icon name="restart" /> Restart
        </button>
      )}
      <button type="button" className="button" onClick={() => navigate(`${to.form(project, run.protocol, { like: run.run })}`)}>
        <Icon name="copy" /> Copy
      </button>
      {!active && (
        <button type="button" className="button plain danger" aria-label="Delete" onClick={() => setDeleting(true)}>
          <Icon name="trash" />
        </button>
      )}
      {deleting && (
        <Dialog title={`Delete ${run.run}?`} onClose={() => setDeleting(false)}>
          <p>
            It goes to the trash, from where it can be brought back.
            {run.dependents.length > 0 && ` ${counted(run.dependents.length, "run")} depend on it and go too: ${run.dependents.join(", ")}.`}
          </p>
          <div className="actions">
            <button type="button" className="button" onClick={() => setDeleting(false)}>
              Keep it
            </button>
            <button
              type="button"
              className="button danger"
              onClick={() =>
                actions.remove.mutate(
                  { run: run.run, withDependents: run.dependents.length > 0 },
                  {
                    onSuccess: (gone) => {
                      toast(`${gone.join(", ")} moved to the trash`);
                      navigate(to.project(project));
                    },
                    onError: toastError,
                  },
                )
              }
            >
              Delete
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}
