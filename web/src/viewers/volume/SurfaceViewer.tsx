/** The surface of a map: its level by a slider, turned with the mouse, coarse at once and fine on request. */

import { useEffect, useRef, useState } from "react";
import { address, at } from "../../api/client";
import { useBrick, useVolume, type Brick, type Choice, type VolumeInfo } from "../../api/volumes";
import { SurfaceScene } from "../../gl/scene";
import type { Order } from "../../gl/surface.worker";
import type { Mesh } from "../../gl/surfaceNets";
import { Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Files } from "../Files";
import type { ViewerProps } from "../registry";
import { MapPicker } from "./MapPicker";
import "./volume.css";

const COARSE = 128;
const FINE = 256;

const webgl = ((): boolean => {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
})();

/** Meshes of a brick at a level, made by the worker; the last one stays until the next is there. */
function useSurface(brick: Brick | undefined, level: number): { mesh: Mesh; brick: Brick } | null {
  const worker = useRef<Worker>(null);
  const sent = useRef<Brick>(undefined);
  const number = useRef(0);
  const [made, setMade] = useState<{ mesh: Mesh; brick: Brick } | null>(null);
  useEffect(() => {
    worker.current = new Worker(new URL("../../gl/surface.worker.ts", import.meta.url), { type: "module" });
    return () => {
      worker.current?.terminate();
      sent.current = undefined;
    };
  }, []);
  useEffect(() => {
    if (!brick || !worker.current) return;
    const order: Order = { number: ++number.current, level };
    if (sent.current !== brick) order.map = { values: brick.values, shape: brick.shape };
    sent.current = brick;
    worker.current.onmessage = (event: MessageEvent<{ number: number; mesh: Mesh }>) => {
      if (event.data.number === number.current) setMade({ mesh: event.data.mesh, brick });
    };
    worker.current.postMessage(order);
  }, [brick, level]);
  return made;
}

export default function SurfaceViewer({ project, output }: ViewerProps) {
  const [choice, setChoice] = useState<Choice>({ which: "", id: undefined });
  const { data, error, refetch } = useVolume(project, output, choice);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the map" />;
  const picker = <MapPicker info={data} choice={choice} onChange={setChoice} />;
  if (!webgl)
    return (
      <div className="surface">
        <div className="viewer-bar">{picker}</div>
        <div className="notice advice">This browser has no WebGL2, which surfaces need; here are slices of the map.</div>
        <img src={address(`${at.output(project, output)}/slices`, { ...choice, count: 24, columns: 6 })} alt={`Slices of ${output}`} />
      </div>
    );
  return <Surface key={`${data.id}-${data.name}`} project={project} output={output} info={data} choice={choice} picker={picker} />;
}

function Surface({ project, output, info, choice, picker }: { project: string; output: string; info: VolumeInfo; choice: Choice; picker: React.ReactNode }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scene = useRef<SurfaceScene>(null);
  const [level, setLevel] = useState(info.level);
  const [fine, setFine] = useState(false);
  const largest = Math.max(...info.shape);
  const coarse = useBrick(project, output, choice, COARSE);
  const { data: brick = coarse.data, error, isFetching } = useBrick(project, output, choice, fine ? FINE : COARSE);
  const surface = useSurface(brick, level);

  useEffect(() => {
    const made = new SurfaceScene(canvas.current as HTMLCanvasElement);
    scene.current = made;
    return () => {
      made.dispose();
      scene.current = null;
    };
  }, []);
  useEffect(() => {
    if (!surface) return;
    const { mesh, brick } = surface;
    const voxel = info.pixel_size ?? 1;
    const centre = info.shape.toReversed().map((side) => Math.floor(side / 2) * voxel);
    scene.current?.show(mesh, brick.voxel, brick.origin, centre);
  }, [surface, info]);

  const save = () => {
    const link = document.createElement("a");
    link.href = scene.current?.picture() ?? "";
    link.download = `${output}.png`;
    link.click();
  };
  return (
    <div className="surface">
      <div className="viewer-bar">
        {picker}
        <label className="row">
          Level
          <input type="range" min={info.min} max={info.max} step={(info.max - info.min) / 500} value={level} onChange={(event) => setLevel(Number(event.target.value))} />
        </label>
        <input
          className="input level"
          type="number"
          aria-label="Level"
          step="any"
          value={Number(level.toPrecision(4))}
          onChange={(event) => event.target.value !== "" && setLevel(Number(event.target.value))}
        />
        <span className="soft mono">{info.sigma > 0 ? `${number((level - info.mean) / info.sigma)} σ` : ""}</span>
        <button type="button" className="button" onClick={() => setLevel(info.level)}>
          Suggested level
        </button>
        {largest > COARSE && (
          <button type="button" className={fine ? "button on" : "button"} aria-pressed={fine} onClick={() => setFine(!fine)}>
            {fine && isFetching ? "Loading detail …" : "Full detail"}
          </button>
        )}
        <button type="button" className="button" onClick={() => scene.current?.reset()}>
          Reset view
        </button>
        <button type="button" className="button" onClick={save}>
          Save picture
        </button>
        <Files project={project} output={output} />
      </div>
      {error && <Failed error={error} />}
      <canvas ref={canvas} tabIndex={0} role="img" aria-label={`Surface of ${output} at ${number(level)}; drag to turn it, arrows move it`} data-triangles={surface ? surface.mesh.triangles.length / 3 : 0} />
      {!surface && !error && <Loading what="the surface" />}
    </div>
  );
}
