/** The dialogs of a project as a whole, opened from its menu, the palette or a link. */

import { useRef, useState } from "react";
import { useBringWorkflow, useProjectMethods, useProjectNotes, useTrash, useTrashActions, useWriteNote } from "../api/project";
import { navigate, to } from "../router";
import { Copyable } from "../run/MethodsTab";
import { Dialog } from "../ui/Dialog";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { bytes, counted } from "../ui/format";
import { Icon } from "../ui/Icon";
import { Notes } from "../ui/Notes";
import { toast, toastError } from "../ui/Toasts";
import { PROJECT_DIALOGS, setFragment, useFragment } from "./dialogs";
import { RoomDialog } from "./RoomDialog";
import "./project-dialogs.css";

interface Props {
  project: string;
  mayChange: boolean;
}

const BODIES = { notes: ProjectNotes, methods: ProjectMethods, room: RoomDialog, trash: Trash, bring: BringWorkflow };

export function ProjectDialogs({ project, mayChange }: Props) {
  const fragment = useFragment();
  const dialog = PROJECT_DIALOGS.find((each) => each.name === fragment && (mayChange || !each.changes));
  if (!dialog) return null;
  const Body = BODIES[dialog.name];
  return (
    <Dialog title={dialog.title} wide={dialog.name === "room"} onClose={() => setFragment("")}>
      <Body project={project} mayChange={mayChange} />
    </Dialog>
  );
}

function ProjectNotes({ project, mayChange }: Props) {
  const { data, error, refetch } = useProjectNotes(project);
  const write = useWriteNote(project);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the notes" />;
  return <Notes notes={data} mayWrite={mayChange} pending={write.isPending} onWrite={(text, done) => write.mutate(text, { onSuccess: done, onError: toastError })} />;
}

function ProjectMethods({ project }: Props) {
  const { data, error } = useProjectMethods(project);
  if (error) return <Failed error={error} />;
  if (!data) return <Loading what="the methods" />;
  return (
    <>
      <p className="soft">Of all that the run finished last rests on. A run's own tab has that of any other.</p>
      <Copyable title="Methods" text={data.text} />
      {data.bibtex && <Copyable title="BibTeX" text={data.bibtex} />}
    </>
  );
}

function Trash({ project, mayChange }: Props) {
  const { data, error, refetch } = useTrash(project);
  const { restore, empty } = useTrashActions(project);
  const [sure, setSure] = useState(false);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the trash" />;
  if (data.length === 0) return <Empty>The trash is empty.</Empty>;
  const size = data.reduce((sum, run) => sum + run.bytes, 0);
  return (
    <>
      <ul className="dialog-rows">
        {data.map((run) => (
          <li key={run.run} className="row">
            <span className="mono soft">{run.run}</span>
            <span className="grow">{run.label || run.protocol}</span>
            <span className="soft">{bytes(run.bytes)}</span>
            {mayChange && (
              <button
                type="button"
                className="button"
                aria-label={`Restore ${run.run}`}
                disabled={restore.isPending}
                onClick={() => restore.mutate(run.run, { onSuccess: () => toast(`${run.run} is back`), onError: toastError })}
              >
                <Icon name="restart" /> Restore
              </button>
            )}
          </li>
        ))}
      </ul>
      {mayChange && (
        <div className="actions">
          {!sure && (
            <button type="button" className="button danger" onClick={() => setSure(true)}>
              Empty the trash …
            </button>
          )}
          {sure && (
            <button type="button" className="button danger" disabled={empty.isPending} onClick={() => empty.mutate(undefined, { onSuccess: (freed) => toast(`${bytes(freed)} freed`), onError: toastError })}>
              Delete {counted(data.length, "run")} for good ({bytes(size)})
            </button>
          )}
        </div>
      )}
    </>
  );
}

function BringWorkflow({ project }: Props) {
  const bring = useBringWorkflow(project);
  const file = useRef<HTMLInputElement>(null);
  const done = bring.data;
  return (
    <>
      <p>A workflow of cryoloom, or a workflow or template of Scipion, as a JSON file. Every step becomes a draft; nothing is started.</p>
      <input ref={file} type="file" accept=".json,.template,application/json" aria-label="Workflow file" onChange={(event) => void event.target.files?.[0]?.text().then((text) => bring.mutate(text))} />
      {bring.isPending && <Loading what="the workflow" />}
      {bring.error && <Failed error={bring.error} />}
      {done && (
        <>
          <p role="status">{counted(Object.keys(done.runs).length, "run")} made or found.</p>
          {done.messages.map((text) => (
            <div key={text} className="notice advice">
              {text}
            </div>
          ))}
          <ul className="dialog-rows">
            {Object.entries(done.runs).map(([node, run]) => (
              <li key={node}>
                <button type="button" className="button plain" onClick={() => navigate(to.run(project, run))}>
                  <span className="mono">{run}</span> {node === run ? "" : `from ${node}`}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
