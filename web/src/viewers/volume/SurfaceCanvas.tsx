/** The picture of a surface: turned by dragging and arrows, a click finds a voxel. */

import { useEffect, useRef } from "react";
import type { Trace } from "../../api/traces";
import { SurfaceScene } from "../../gl/scene";
import type { VolumeInfo } from "../../api/volumes";
import { number } from "../../ui/format";
import type { Spot } from "./spot";
import type { Shown } from "./useSurface";

/** Pixels that the mouse may move in a click. */
const STILL = 4;

interface Props {
  info: VolumeInfo;
  name: string;
  shown: Shown | null;
  /** r, g, b of each vertex of what is shown. */
  colours?: Uint8Array | null;
  outline?: Shown | null;
  trace?: Trace | null;
  onScene: (scene: SurfaceScene | null) => void;
  onPick?: (voxel: Spot | null) => void;
}

export function SurfaceCanvas({ info, name, shown, colours = null, outline = null, trace = null, onScene, onPick }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scene = useRef<SurfaceScene>(null);
  const mesh = useRef<Shown["mesh"]>(null);
  const pressed = useRef({ x: 0, y: 0 });
  const voxel = info.pixel_size ?? 1;
  const [depth, height, width] = info.shape;
  const [z, y, x] = [depth, height, width].map((side) => Math.floor(side / 2) * voxel);
  const tell = useRef(onScene);
  tell.current = onScene;

  useEffect(() => {
    const made = new SurfaceScene(canvas.current as HTMLCanvasElement, [x ?? 0, y ?? 0, z ?? 0]);
    scene.current = made;
    mesh.current = null;
    tell.current(made);
    return () => {
      tell.current(null);
      made.dispose();
      scene.current = null;
    };
  }, [x, y, z]);
  useEffect(() => {
    if (!shown) return;
    if (mesh.current === shown.mesh) scene.current?.paint(colours);
    else scene.current?.show(shown.mesh, shown.brick, colours);
    mesh.current = shown.mesh;
  }, [shown, colours]);
  useEffect(() => {
    scene.current?.outline(outline?.mesh ?? null, outline?.brick ?? { voxel: 1, origin: [] });
  }, [outline]);
  useEffect(() => scene.current?.trace(trace), [trace]);

  const pick = (event: React.MouseEvent) => {
    if (!onPick || Math.hypot(event.clientX - pressed.current.x, event.clientY - pressed.current.y) > STILL) return;
    const place = scene.current?.pick(event.clientX, event.clientY);
    const inside = (value: number, side: number) => Math.min(side - 1, Math.max(0, Math.round(value / voxel)));
    onPick(place ? { x: inside(place[0], width), y: inside(place[1], height), z: inside(place[2], depth) } : null);
  };
  return (
    <canvas
      ref={canvas}
      tabIndex={0}
      role="img"
      aria-label={`Surface of ${name} at ${shown ? number(shown.level) : "no level yet"}; drag or arrows turn it, plus and minus zoom`}
      data-triangles={shown ? shown.mesh.triangles.length / 3 : 0}
      data-residues={trace ? trace.values.length : 0}
      data-detail={shown ? Math.max(...shown.brick.shape) : 0}
      onPointerDown={(event) => (pressed.current = { x: event.clientX, y: event.clientY })}
      onClick={pick}
    />
  );
}
