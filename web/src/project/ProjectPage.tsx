/** A project: protocols at the left, the runs, and at the right the run or the form that the address names. */

import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { onStateChange, useGraph, useLive } from "../api/graph";
import { download } from "../api/project";
import { useProject } from "../api/queries";
import { useMayChange } from "../api/session";
import { Canvas } from "../graph/Canvas";
import { givenIn, navigate, to, usePlace } from "../router";
import { Boundary } from "../ui/Boundary";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { Menu } from "../ui/Menu";
import { toast } from "../ui/Toasts";
import { TopBar } from "../ui/TopBar";
import { DeleteRuns } from "../run/DeleteRuns";
import { ChosenBar } from "./ChosenBar";
import { PROJECT_DIALOGS, setFragment } from "./dialogs";
import { fits, isOpen, type Filter } from "./filter";
import { ProjectDialogs } from "./ProjectDialogs";
import { ProtocolTree } from "./ProtocolTree";
import { RunBar, type Mode } from "./RunBar";
import { RunList } from "./RunList";
import "./project-page.css";

const RunPanel = lazy(() => import("../run/RunPanel"));
const FormPanel = lazy(() => import("../forms/FormPanel"));
const Analyze = lazy(() => import("../viewers/Analyze"));
const Picker = lazy(() => import("../viewers/picker/Picker"));
const Compare = lazy(() => import("../run/Compare"));

export default function ProjectPage({ project }: { project: string }) {
  const { path, query } = usePlace();
  const [, , room, name = "", ...rest] = path;
  const brief = useProject(project);
  const graph = useGraph(project);
  const connected = useLive(project);
  const mayChange = useMayChange();
  const searching = useSearchKey();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [doomed, setDoomed] = useState<string[]>([]);
  useToasts(project);
  useEffect(() => {
    document.title = `${brief.data?.name ?? project} · cryoloom`;
  }, [brief.data, project]);

  const filter: Filter = { text: query.get("with-text") ?? "", state: query.get("with-state") ?? "", step: query.get("with-step") ?? "", tag: query.get("with-tag") ?? "" };
  const mode = (query.get("show-as") ?? "") as Mode;
  const nodes = graph.data?.nodes;
  const listed = useMemo(() => (nodes ?? []).filter((node) => fits(node, filter)).reverse(), [nodes, filter.text, filter.state, filter.step, filter.tag]);
  const found = useMemo(() => (isOpen(filter) ? null : new Set(listed.map((node) => node.run))), [listed]);
  const open = room === "run" ? name : "";
  const marked = useMemo(() => (open && chosen.size === 0 ? new Set([open]) : chosen), [chosen, open]);

  if (brief.error)
    return (
      <div className="page">
        <TopBar />
        <Failed error={brief.error} retry={() => void brief.refetch()} />
      </div>
    );
  const select = (run: string) => {
    setChosen(new Set());
    navigate(run ? to.run(project, run) : to.project(project));
  };
  const title = (
    <>
      <span className="crumb">{brief.data?.name ?? project}</span>
      {!connected && (
        <span className="offline" role="status">
          <Icon name="warning" size={14} /> no connection to the server; trying again
        </span>
      )}
    </>
  );
  return (
    <div className="page">
      <TopBar title={title}>
        <Menu
          label="Project"
          actions={[
            ...PROJECT_DIALOGS.filter((each) => mayChange || !each.changes).map((each) => ({ icon: each.icon, text: each.title, onChoose: () => setFragment(each.name) })),
            { icon: "download", text: "Export the workflow", href: download.workflow(project) },
            { icon: "download", text: "HTML report", href: download.report(project) },
          ]}
        >
          <Icon name="folder" /> Project
        </Menu>
      </TopBar>
      <div className="project" inert={room === "analyze" || room === "compare" || room === "pick"}>
        {mayChange && <ProtocolTree project={project} run={open} searching={searching} onChoose={(protocol, inputs) => navigate(to.form(project, protocol, inputs))} />}
        <main className="middle" aria-label="Runs">
          {nodes && nodes.length > 0 && <RunBar project={project} nodes={nodes} mode={mode} filter={filter} found={listed.length} />}
          <div className="runs">
            {graph.error && <Failed error={graph.error} retry={() => void graph.refetch()} />}
            {!nodes && !graph.error && <Loading what="the runs" />}
            {nodes?.length === 0 && <Empty>Nothing here yet. {mayChange && "Choose a protocol at the left; the first one imports movies."}</Empty>}
            {graph.data && nodes && nodes.length > 0 && mode === "" && (
              <Canvas project={project} graph={graph.data} open={open} chosen={marked} found={found} onChoose={setChosen} onSelect={select} onOpen={(run) => navigate(to.analyze(project, run))} onDelete={(runs) => mayChange && setDoomed(runs)} />
            )}
            {nodes && nodes.length > 0 && mode !== "" && (
              <RunList project={project} nodes={listed} cards={mode === "cards"} open={open} chosen={chosen} onChoose={setChosen} onSelect={select} onDelete={(runs) => mayChange && setDoomed(runs)} />
            )}
          </div>
          {nodes && <ChosenBar project={project} nodes={nodes} chosen={chosen} mayChange={mayChange} onClear={() => setChosen(new Set())} onDelete={setDoomed} />}
        </main>
        {(room === "run" || room === "new") && (
          <aside className="side" aria-label={room === "run" ? "Run" : "New run"}>
            <Boundary at={path.join("/")}>
              <Suspense fallback={<Loading what="the panel" />}>
                {room === "run" ? (
                  <RunPanel key={name} project={project} run={name} tab={rest[0] ?? ""} nodes={nodes ?? []} onDelete={(run) => setDoomed([run])} />
                ) : (
                  <FormPanel key={name + JSON.stringify(givenIn(query))} project={project} protocol={name} given={givenIn(query)} number={graph.data?.number ?? 0} />
                )}
              </Suspense>
            </Boundary>
          </aside>
        )}
      </div>
      {room === "pick" && (
        <Suspense fallback={<Loading what="the picker" />}>
          <Picker key={name} project={project} run={name} />
        </Suspense>
      )}
      {(room === "analyze" || room === "compare") && (
        <Boundary at={path.join("/")}>
          <Suspense fallback={<Loading what="the viewer" />}>
            {room === "analyze" ? <Analyze project={project} run={name} output={rest[0] ?? ""} viewer={rest[1] ?? ""} /> : <Compare project={project} first={name} second={rest[0] ?? ""} nodes={nodes ?? []} />}
          </Suspense>
        </Boundary>
      )}
      {doomed.length > 0 && nodes && (
        <DeleteRuns
          project={project}
          nodes={nodes}
          runs={doomed}
          onClose={() => setDoomed([])}
          onDeleted={(gone) => {
            setChosen(new Set());
            if (gone.includes(name)) navigate(to.project(project));
          }}
        />
      )}
      <ProjectDialogs project={project} mayChange={mayChange} />
    </div>
  );
}

/** Counts how often Ctrl+F or / asked for the search of protocols; a second Ctrl+F at once is the browser's own. */
function useSearchKey(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target instanceof HTMLElement ? event.target : null;
      const typing = target !== null && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
      const inSearch = target?.closest(".protocols") !== null && typing;
      const find = event.key.toLowerCase() === "f" && (event.ctrlKey || event.metaKey) && !inSearch;
      if (!find && !(event.key === "/" && !typing)) return;
      if (document.querySelector('[role="dialog"], .analyze')) return;
      event.preventDefault();
      setCount((before) => before + 1);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return count;
}

/** Tell of runs that finish or fail while the page is open. */
function useToasts(project: string): void {
  useEffect(
    () =>
      onStateChange((before, after) => {
        if (!before) return;
        const open = (
          <a href={to.run(project, after.run)} onClick={(event) => (event.preventDefault(), navigate(to.run(project, after.run, after.state === "finished" ? "" : "log")))}>
            {after.run} {after.label || after.protocol}
          </a>
        );
        if (after.state === "finished") toast(<>{open} has finished</>, "good");
        if (after.state === "failed" || after.state === "lost") toast(<>{open} {after.state === "lost" ? "was lost" : "failed"}: <span className="reason">{after.reason}</span></>, "bad");
      }),
    [project],
  );
}
