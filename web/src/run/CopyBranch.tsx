/** Copies of runs and of all that rests on them, as drafts; on other inputs where that is wanted. */

import { useMemo, useState } from "react";
import { useRunActions } from "../api/queries";
import type { RunNode } from "../api/schema";
import { withDependents } from "../project/filter";
import { navigate, to } from "../router";
import { Dialog } from "../ui/Dialog";
import { Failed } from "../ui/Feedback";
import { counted } from "../ui/format";
import { toast } from "../ui/Toasts";

interface Props {
  project: string;
  nodes: readonly RunNode[];
  runs: string[];
  onClose: () => void;
}

/** Outputs that these runs take from runs that are not among them, each with its kind. */
export function takenFromOutside(nodes: readonly RunNode[], copied: ReadonlySet<string>): { output: string; kind: string }[] {
  const kinds = new Map<string, string>(nodes.flatMap((node) => node.outputs.map((chip) => [`${node.run}.${chip.name}`, chip.kind] as const)));
  const taken = nodes.filter((node) => copied.has(node.run)).flatMap((node) => node.inputs.filter((link) => !copied.has(link.run)));
  return [...new Set(taken.map((link) => `${link.run}.${link.output}`))].map((output) => ({ output, kind: kinds.get(output) ?? "" }));
}

export function CopyBranch({ project, nodes, runs, onClose }: Props) {
  const { copy } = useRunActions(project);
  const [below, setBelow] = useState(true);
  const [start, setStart] = useState(false);
  const [onto, setOnto] = useState<Record<string, string>>({});
  const copied = useMemo(() => (below ? withDependents(nodes, runs) : new Set(runs)), [nodes, runs, below]);
  const outside = useMemo(() => takenFromOutside(nodes, copied), [nodes, copied]);
  const others = (kind: string) =>
    nodes.filter((node) => !copied.has(node.run)).flatMap((node) => node.outputs.filter((chip) => chip.kind === kind).map((chip) => `${node.run}.${chip.name}`));
  return (
    <Dialog title={`Copy ${runs.join(", ")}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          copy.mutate(
            { runs, below, start, onto: Object.fromEntries(Object.entries(onto).filter(([old, each]) => each && each !== old)) },
            {
              onSuccess: (made) => {
                toast(`${counted(made.length, "run")} made: ${made.map((each) => each.run).join(", ")}`);
                onClose();
                if (made[0]) navigate(to.run(project, made[0].run));
              },
            },
          );
        }}
      >
        <label className="row">
          <input type="checkbox" checked={below} onChange={(event) => setBelow(event.target.checked)} /> with all that rests on {runs.length === 1 ? "it" : "them"} ({counted(copied.size, "run")})
        </label>
        {outside.map(({ output, kind }) => (
          <label key={output}>
            In place of {output} ({kind})
            <select value={onto[output] ?? output} onChange={(event) => setOnto({ ...onto, [output]: event.target.value })}>
              {[...new Set([output, ...others(kind)])].map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        ))}
        <label className="row">
          <input type="checkbox" checked={start} onChange={(event) => setStart(event.target.checked)} /> start them at once
        </label>
        {copy.error && <Failed error={copy.error} />}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button main" disabled={copy.isPending}>
            Make the copies
          </button>
        </div>
      </form>
    </Dialog>
  );
}
