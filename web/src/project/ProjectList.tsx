/** The first page: all projects of the folder that the server shows. */

import { useState } from "react";
import { useProjectActions, useProjects } from "../api/queries";
import type { ProjectBrief } from "../api/schema";
import { navigate, to } from "../router";
import { Dialog } from "../ui/Dialog";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { counted, moment } from "../ui/format";
import { Icon } from "../ui/Icon";
import { StateBadge } from "../ui/StateBadge";
import { toastError } from "../ui/Toasts";
import { TopBar } from "../ui/TopBar";
import "./project-list.css";

export function ProjectList() {
  const { data, error, refetch } = useProjects();
  const [search, setSearch] = useState("");
  const [making, setMaking] = useState(false);
  const [doomed, setDoomed] = useState<ProjectBrief | null>(null);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = data?.filter((each) => words.every((word) => `${each.name} ${each.folder}`.toLowerCase().includes(word)));
  return (
    <div className="page">
      <TopBar />
      <main className="project-list">
        <div className="row wrap">
          <h1 className="grow">Projects</h1>
          <input className="input search" type="search" placeholder="Search projects" aria-label="Search projects" value={search} onChange={(event) => setSearch(event.target.value)} />
          <button type="button" className="button main" onClick={() => setMaking(true)}>
            <Icon name="plus" /> New project
          </button>
        </div>
        {error && <Failed error={error} retry={() => void refetch()} />}
        {!data && !error && <Loading what="the projects" />}
        {data?.length === 0 && <Empty>No project yet. Make one, or run “cryoloom demo” in this folder for a worked example.</Empty>}
        {data && data.length > 0 && shown?.length === 0 && <Empty>No project is called “{search}”.</Empty>}
        <ul>
          {shown?.map((each) => (
            <li key={each.folder} className="card">
              <a
                href={to.project(each.folder)}
                onClick={(event) => {
                  event.preventDefault();
                  navigate(to.project(each.folder));
                }}
              >
                <strong>{each.name}</strong>
                <span className="soft">{each.name === each.folder ? "" : each.folder}</span>
                <span className="row wrap">
                  {Object.entries(each.states).map(([state, count]) => (
                    <span key={state} className="row">
                      {count} <StateBadge state={state} />
                    </span>
                  ))}
                </span>
                <span className="soft">
                  {counted(each.runs, "run")}, changed {moment(each.changed)}
                </span>
              </a>
              <button type="button" className="button plain danger" aria-label={`Delete ${each.name}`} onClick={() => setDoomed(each)}>
                <Icon name="trash" />
              </button>
            </li>
          ))}
        </ul>
      </main>
      {making && <NewProject onClose={() => setMaking(false)} />}
      {doomed && <DeleteProject project={doomed} onClose={() => setDoomed(null)} />}
    </div>
  );
}

function NewProject({ onClose }: { onClose: () => void }) {
  const { create } = useProjectActions();
  const [name, setName] = useState("");
  return (
    <Dialog title="New project" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(name, { onSuccess: (made) => navigate(to.project(made.folder)) });
        }}
      >
        <label>
          Name
          <input className="input" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} aria-invalid={create.isError} />
        </label>
        {create.error && <Failed error={create.error} />}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button main" disabled={name.trim() === "" || create.isPending}>
            Make it
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function DeleteProject({ project, onClose }: { project: ProjectBrief; onClose: () => void }) {
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
