/** What can be done with several runs at once. */

import { useState } from "react";
import { useRunActions } from "../api/queries";
import type { RunNode } from "../api/schema";
import { navigate, to } from "../router";
import { Dialog } from "../ui/Dialog";
import { counted } from "../ui/format";
import { Icon } from "../ui/Icon";
import { toast, toastError } from "../ui/Toasts";
import { CopyBranch } from "../run/CopyBranch";

interface Props {
  project: string;
  nodes: readonly RunNode[];
  chosen: ReadonlySet<string>;
  mayChange: boolean;
  onClear: () => void;
  onDelete: (runs: string[]) => void;
}

export function ChosenBar({ project, nodes, chosen, mayChange, onClear, onDelete }: Props) {
  const [asking, setAsking] = useState<"" | "tag" | "copy">("");
  const runs = nodes.filter((node) => chosen.has(node.run)).map((node) => node.run);
  if (runs.length === 0) return null;
  return (
    <div className="chosen-bar" role="toolbar" aria-label="Chosen runs">
      <strong>{counted(runs.length, "run")} chosen</strong>
      {runs.length === 2 && (
        <button type="button" className="button" onClick={() => navigate(to.compare(project, runs[0] ?? "", runs[1] ?? ""))}>
          <Icon name="chart" /> Compare
        </button>
      )}
      {mayChange && (
        <>
          <button type="button" className="button" onClick={() => setAsking("tag")}>
            <Icon name="tag" /> Tag
          </button>
          <button type="button" className="button" onClick={() => setAsking("copy")}>
            <Icon name="branch" /> Copy branch
          </button>
          <button type="button" className="button danger" onClick={() => onDelete(runs)}>
            <Icon name="trash" /> Delete
          </button>
        </>
      )}
      <button type="button" className="button plain" onClick={onClear}>
        Clear
      </button>
      {asking === "tag" && <TagAll project={project} runs={runs} onClose={() => setAsking("")} />}
      {asking === "copy" && <CopyBranch project={project} runs={runs} nodes={nodes} onClose={() => setAsking("")} />}
    </div>
  );
}

function TagAll({ project, runs, onClose }: { project: string; runs: string[]; onClose: () => void }) {
  const { change } = useRunActions(project);
  const [name, setName] = useState("");
  const tag = async () => {
    try {
      for (const run of runs) await change.mutateAsync({ run, tag: [name.trim()] });
      toast(`${counted(runs.length, "run")} tagged ${name.trim()}`);
      onClose();
    } catch (problem) {
      toastError(problem);
    }
  };
  return (
    <Dialog title={`Tag ${counted(runs.length, "run")}`} onClose={onClose}>
      <form onSubmit={(event) => (event.preventDefault(), void tag())}>
        <label>
          Tag
          <input className="input" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} />
        </label>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button main" disabled={!name.trim() || change.isPending}>
            Tag
          </button>
        </div>
      </form>
    </Dialog>
  );
}
