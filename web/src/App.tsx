import { lazy, Suspense } from "react";
import { Palette } from "./project/Palette";
import { ProjectList } from "./project/ProjectList";
import { usePlace } from "./router";
import { Boundary } from "./ui/Boundary";
import { Loading } from "./ui/Feedback";
import { Toasts } from "./ui/Toasts";

const ProjectPage = lazy(() => import("./project/ProjectPage"));

export function App() {
  const { path } = usePlace();
  const [room, project] = path;
  return (
    <>
      <Boundary at={path.join("/")}>
        <Suspense fallback={<Loading what="the project" />}>{room === "p" && project ? <ProjectPage key={project} project={project} /> : <ProjectList />}</Suspense>
        <Palette />
      </Boundary>
      <Toasts />
    </>
  );
}
