/** The first page: all projects of the folder that the server shows. */

import { useState } from "react";
import { useDisk, useProjectNotes, useWriteNote } from "../api/project";
import { useProjectActions, useProjects } from "../api/queries";
import type { ProjectBrief } from "../api/schema";
import { useMayChange, useSession } from "../api/session";
import { navigate, to } from "../router";
import { Dialog } from "../ui/Dialog";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { bytes, counted, moment } from "../ui/format";
import { Icon } from "../ui/Icon";
import { Menu } from "../ui/Menu";
import { Notes } from "../ui/Notes";
import { StateBadge } from "../ui/StateBadge";
import { toastError } from "../ui/Toasts";
import { TopBar } from "../ui/TopBar";
import { DeleteProject, NameProject } from "./ProjectAsk";
import "./project-list.css";

type Asked = "rename" | "copy" | "notes" | "delete";

export function ProjectList() {
  const { data, error, refetch } = useProjects();
  const { create, demo, change, copy } = useProjectActions();
  const mayChange = useMayChange();
  const folder = useSession().data?.folder;
  const [search, setSearch] = useState("");
  const [making, setMaking] = useState(false);
  const [asked, ask] = useState<{ what: Asked; project: ProjectBrief } | null>(null);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = data?.filter((each) => words.every((word) => `${each.name} ${each.folder}`.toLowerCase().includes(word)));
  const close = () => ask(null);
  const begin = () => demo.mutate(undefined, { onSuccess: (made) => navigate(to.project(made.folder)) });
  return (
    <div className="page">
      <TopBar />
      <main className="project-list">
        <div className="row wrap">
          <h1 className="grow">Projects</h1>
          <input className="input search" type="search" placeholder="Search projects" aria-label="Search projects" value={search} onChange={(event) => setSearch(event.target.value)} />
          {mayChange && !data?.some((each) => each.folder === "demo") && (
            <button type="button" className="button" disabled={demo.isPending} onClick={begin}>
              <Icon name="play" /> Demo project
            </button>
          )}
          {mayChange && (
            <button type="button" className="button main" onClick={() => setMaking(true)}>
              <Icon name="plus" /> New project
            </button>
          )}
        </div>
        {folder && <p className="soft mono">{folder}</p>}
        {error && <Failed error={error} retry={() => void refetch()} />}
        {demo.isPending && <Loading what="the demo: its movies are being simulated, which takes half a minute" />}
        {demo.error && <Failed error={demo.error} retry={begin} />}
        {!data && !error && <Loading what="the projects" />}
        {data?.length === 0 && <Empty>No project yet. Make one, or begin with the demo: simulated movies, processed to a map while you look.</Empty>}
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
              <DiskUse project={each.folder} />
              <Menu
                label={`More for ${each.name}`}
                actions={[
                  { icon: "note", text: "Notes", onChoose: () => ask({ what: "notes", project: each }) },
                  ...(mayChange
                    ? ([
                        { icon: "pencil", text: "Rename …", onChoose: () => ask({ what: "rename", project: each }) },
                        { icon: "copy", text: "Copy …", onChoose: () => ask({ what: "copy", project: each }) },
                        { icon: "trash", text: "Delete …", danger: true, onChoose: () => ask({ what: "delete", project: each }) },
                      ] as const)
                    : []),
                ]}
              >
                <Icon name="more" />
              </Menu>
            </li>
          ))}
        </ul>
      </main>
      {making && <NameProject title="New project" verb="Make it" action={create} given={(name) => name} onDone={(made) => navigate(to.project(made.folder))} onClose={() => setMaking(false)} />}
      {asked?.what === "rename" && <NameProject title={`Rename ${asked.project.name}`} verb="Rename" name={asked.project.name} action={change} given={(name) => ({ project: asked.project.folder, name })} onDone={close} onClose={close} />}
      {asked?.what === "copy" && <NameProject title={`Copy ${asked.project.name}`} verb="Copy" name={`${asked.project.folder} copy`} action={copy} given={(name) => ({ project: asked.project.folder, name })} onDone={close} onClose={close} />}
      {asked?.what === "delete" && <DeleteProject project={asked.project} onClose={close} />}
      {asked?.what === "notes" && (
        <Dialog title={`Notes on ${asked.project.name}`} onClose={close}>
          <NotesOn project={asked.project.folder} mayChange={mayChange} />
        </Dialog>
      )}
    </div>
  );
}

function NotesOn({ project, mayChange }: { project: string; mayChange: boolean }) {
  const { data, error } = useProjectNotes(project);
  const write = useWriteNote(project);
  if (error) return <Failed error={error} />;
  if (!data) return <Loading what="the notes" />;
  return <Notes notes={data} mayWrite={mayChange} pending={write.isPending} onWrite={(text, done) => write.mutate(text, { onSuccess: done, onError: toastError })} />;
}

function DiskUse({ project }: { project: string }) {
  const [wanted, setWanted] = useState(false);
  const { data, error, isFetching } = useDisk(project, wanted);
  if (data) return <span className="soft disk">{bytes(Object.values(data).reduce((sum, each) => sum + each, 0))}</span>;
  return (
    <button type="button" className="button plain disk" disabled={isFetching} title={error ? String(error) : "Add up the sizes of all files"} onClick={() => setWanted(true)}>
      <Icon name={isFetching ? "spinner" : "disk"} spin={isFetching} size={14} /> {error ? "cannot be told" : "Disk use"}
    </button>
  );
}
