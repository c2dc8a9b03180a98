/** A project: protocols at the left, the canvas, and at the right the run or the form that the address names. */

import { lazy, Suspense, useEffect, useState } from "react";
import { onStateChange, useGraph, useLive } from "../api/graph";
import { useProject } from "../api/queries";
import { Canvas } from "../graph/Canvas";
import { navigate, to, usePlace } from "../router";
import { Failed, Loading } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { toast } from "../ui/Toasts";
import { TopBar } from "../ui/TopBar";
import { ProtocolTree } from "./ProtocolTree";
import "./project-page.css";

const RunPanel = lazy(() => import("../run/RunPanel"));
const FormPanel = lazy(() => import("../forms/FormPanel"));
const Analyze = lazy(() => import("../viewers/Analyze"));
const Picker = lazy(() => import("../viewers/picker/Picker"));

export default function ProjectPage({ project }: { project: string }) {
  const { path, query } = usePlace();
  const [, , room, name = "", ...rest] = path;
  const brief = useProject(project);
  const graph = useGraph(project);
  const connected = useLive(project);
  const [searching, setSearching] = useState(0);

  useEffect(() => {
    document.title = `${brief.data?.name ?? project} · cryoloom`;
  }, [brief.data, project]);

  useEffect(
    () =>
      onStateChange((before, after) => {
        if (!before) return;
        const title = after.label || after.protocol;
        const open = <a href={to.run(project, after.run)} onClick={(event) => (event.preventDefault(), navigate(to.run(project, after.run)))}>{`${after.run} ${title}`}</a>;
        if (after.state === "finished") toast(<>{open} has finished</>, "good");
        if (after.state === "failed" || after.state === "lost") toast(<>{open} {after.state === "lost" ? "was lost" : "failed"}: {after.reason}</>, "bad");
      }),
    [project],
  );

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if ((event.key === "f" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !typing)) {
        event.preventDefault();
        setSearching((count) => count + 1);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  if (brief.error) return <Failed error={brief.error} />;
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
      <TopBar title={title} />
      <div className="project" inert={room === "analyze" || room === "pick"}>
        <ProtocolTree searching={searching} onChoose={(protocol) => navigate(to.form(project, protocol))} />
        <main className="canvas" aria-label="Runs">
          {graph.error && <Failed error={graph.error} retry={() => void graph.refetch()} />}
          {!graph.data && !graph.error && <Loading what="the runs" />}
          {graph.data && <Canvas graph={graph.data} selected={room === "run" ? name : ""} onSelect={(run) => navigate(run ? to.run(project, run) : to.project(project))} onOpen={(run) => navigate(to.analyze(project, run))} />}
        </main>
        {(room === "run" || room === "new") && (
          <aside className="side" aria-label={room === "run" ? "Run" : "New run"}>
            <Suspense fallback={<Loading what="the panel" />}>
              {room === "run" ? (
                <RunPanel key={name} project={project} run={name} tab={rest[0] ?? ""} />
              ) : (
                <FormPanel key={name + query.toString()} project={project} protocol={name} given={Object.fromEntries(query)} number={graph.data?.number ?? 0} />
              )}
            </Suspense>
          </aside>
        )}
      </div>
      {room === "pick" && (
        <Suspense fallback={<Loading what="the picker" />}>
          <Picker key={name} project={project} run={name} />
        </Suspense>
      )}
      {room === "analyze" && (
        <Suspense fallback={<Loading what="the viewer" />}>
          <Analyze project={project} run={name} output={rest[0] ?? ""} viewer={rest[1] ?? ""} />
        </Suspense>
      )}
    </div>
  );
}
