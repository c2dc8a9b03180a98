/** What is asked before a project is made, renamed, copied or deleted. */

import type { UseMutationResult } from "@tanstack/react-query";
import { useState } from "react";
import { useProjectActions } from "../api/queries";
import type { ProjectBrief } from "../api/schema";
import { Dialog } from "../ui/Dialog";
import { Failed } from "../ui/Feedback";
import { counted } from "../ui/format";
import { toastError } from "../ui/Toasts";

interface Naming<Given> {
  title: string;
  verb: string;
  name?: string;
  action: UseMutationResult<ProjectBrief, Error, Given>;
  given: (name: string) => Given;
  onDone: (made: ProjectBrief) => void;
  onClose: () => void;
}

export function NameProject<Given>({ title, verb, name: first = "", action, given, onDone, onClose }: Naming<Given>) {
  const [name, setName] = useState(first);
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          action.mutate(given(name.trim()), { onSuccess: onDone });
        }}
      >
        <label>
          Name
          <input className="input" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} aria-invalid={action.isError} />
        </label>
        {action.error && <Failed error={action.error} />}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button main" disabled={name.trim() === "" || action.isPending}>
            {verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function DeleteProject({ project, onClose }: { project: ProjectBrief; onClose: () => void }) {
  const { remove } = useProjectActions();
  const [typed, setTyped] = useState("");
  return (
    <Dialog title={`Delete ${project.name}?`} onClose={onClose}>
      <p>
        All {counted(project.runs, "run")} and their files go for good. Movies that it links to stay. Type <strong>{project.folder}</strong> to go on.
      </p>
      <input className="input" aria-label="Name of the project" value={typed} onChange={(event) => setTyped(event.target.value)} />
      <div className="actions">
        <button type="button" className="button" onClick={onClose}>
          Keep it
        </button>
        <button
          type="button"
          className="button danger"
          disabled={typed !== project.folder || remove.isPending}
          onClick={() => remove.mutate(project.folder, { onSuccess: onClose, onError: toastError })}
        >
          Delete for good
        </button>
      </div>
    </Dialog>
  );
}
