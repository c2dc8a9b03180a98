/** Before runs go to the trash: which they are, and what rests on them and goes too. */

import { useRunActions } from "../api/queries";
import type { RunNode } from "../api/schema";
import { withDependents } from "../project/filter";
import { Dialog } from "../ui/Dialog";
import { counted } from "../ui/format";
import { toast, toastError } from "../ui/Toasts";

interface Props {
  project: string;
  nodes: readonly RunNode[];
  runs: string[];
  onClose: () => void;
  onDeleted: (runs: string[]) => void;
}

export function DeleteRuns({ project, nodes, runs, onClose, onDeleted }: Props) {
  const { remove } = useRunActions(project);
  const all = withDependents(nodes, runs);
  const below = nodes.filter((node) => all.has(node.run) && !runs.includes(node.run));
  const go = async () => {
    const gone = new Set<string>();
    try {
      for (const run of runs) {
        if (gone.has(run)) continue; // it went with one that it rests on
        for (const each of await remove.mutateAsync({ run, withDependents: below.length > 0 || runs.length > 1 })) gone.add(each);
      }
      toast(`${[...gone].join(", ")} moved to the trash`);
    } catch (problem) {
      toastError(problem);
    }
    onClose();
    onDeleted([...gone]);
  };
  return (
    <Dialog title={runs.length === 1 ? `Delete ${runs[0]}?` : `Delete ${counted(runs.length, "run")}?`} onClose={onClose}>
      <p>{runs.length === 1 ? "It goes" : `${runs.join(", ")} go`} to the trash, from where it can be brought back.</p>
      {below.length > 0 && (
        <>
          <p>{counted(below.length, "run")} rest on {runs.length === 1 ? "it" : "them"} and go too:</p>
          <ul className="doomed">
            {below.map((node) => (
              <li key={node.run}>
                <span className="mono">{node.run}</span> {node.label || node.protocol}
              </li>
            ))}
          </ul>
        </>
      )}
      <div className="actions">
        <button type="button" className="button" onClick={onClose}>
          Keep
        </button>
        <button type="button" className="button danger" disabled={remove.isPending} onClick={() => void go()}>
          <span>Delete {counted(runs.length + below.length, "run")}</span>
        </button>
      </div>
    </Dialog>
  );
}
