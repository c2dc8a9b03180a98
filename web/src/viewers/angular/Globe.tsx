/** Views on a sphere that can be turned, about the map that they gave. */

import { useEffect, useRef } from "react";
import { useBrick, useVolume } from "../../api/volumes";
import type { Cells, Direction } from "../../gl/cells";
import { GlobeScene } from "../../gl/globe";
import { useSurface } from "../volume/useSurface";

const BRICK = 64;
const OWN = { which: "", id: undefined };

interface Props {
  project: string;
  /** The output whose first map is shown inside; empty: none. */
  volume: string;
  cells: Cells;
  counts: readonly number[];
  side: number;
  table: Uint8Array;
  most: number;
  onSpot: (spot: Direction | null) => void;
}

export function Globe({ project, volume, cells, counts, side, table, most, onSpot }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scene = useRef<GlobeScene>(null);
  const { data: info } = useVolume(project, volume, OWN);
  const { data: brick } = useBrick(project, volume, OWN, BRICK);
  const surface = useSurface(brick, info?.level ?? Infinity);
  useEffect(() => {
    const made = new GlobeScene(canvas.current as HTMLCanvasElement);
    scene.current = made;
    return () => {
      made.dispose();
      scene.current = null;
    };
  }, []);
  useEffect(() => scene.current?.show(cells, counts, side, table, most), [cells, counts, side, table, most]);
  useEffect(() => {
    if (!surface || !info || surface.mesh.triangles.length === 0) return;
    const voxel = info.pixel_size ?? 1;
    scene.current?.inside(
      surface.mesh,
      surface.brick,
      info.shape.toReversed().map((sides) => Math.floor(sides / 2) * voxel),
    );
  }, [surface, info]);
  return (
    <div className="globe stage">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="img"
        aria-label="Views on a sphere; drag or arrows turn it, plus and minus zoom, 0 goes back"
        data-triangles={surface ? surface.mesh.triangles.length / 3 : 0}
        onMouseMove={(event) => event.buttons === 0 && onSpot(scene.current?.under(event.clientX, event.clientY) ?? null)}
        onMouseLeave={() => onSpot(null)}
      />
    </div>
  );
}
