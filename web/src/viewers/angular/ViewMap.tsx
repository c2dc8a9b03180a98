/** Views on a flat map of the sphere that keeps areas; the direction under the cursor, or where arrows have moved, is told. */

import { useEffect, useMemo, useRef } from "react";
import { direction, type Cells, type Direction } from "../../gl/cells";
import { fromMap, toMap } from "../../gl/mollweide";

const WIDTH = 1200;
const HEIGHT = WIDTH / 2;
const STEP = Math.PI / 72;

interface Props {
  cells: Cells;
  counts: readonly number[];
  table: Uint8Array;
  most: number;
  spot: Direction | null;
  onSpot: (spot: Direction | null) => void;
}

export function ViewMap({ cells, counts, table, most, spot, onSpot }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const places = useMemo(() => cellsOfPixels(cells), [cells]);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(WIDTH, HEIGHT);
    places.forEach((cell, pixel) => {
      if (cell < 0) return;
      const shown = 3 * Math.round(255 * Math.min(1, (counts[cell] ?? 0) / Math.max(1, most)));
      image.data.set([table[shown] ?? 0, table[shown + 1] ?? 0, table[shown + 2] ?? 0, 255], 4 * pixel);
    });
    context.putImageData(image, 0, 0);
  }, [places, counts, table, most]);
  const onKey = (event: React.KeyboardEvent) => {
    const [around, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!around && !down) return;
    event.preventDefault();
    const [x, y, z] = spot ?? [1, 0, 0];
    const tilt = Math.min(Math.PI - 0.01, Math.max(0.01, Math.acos(z) + STEP * (down ?? 0)));
    onSpot(direction(Math.atan2(y, x) + STEP * (around ?? 0), Math.cos(tilt)));
  };
  const under = (event: React.MouseEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    onSpot(fromMap((4 * (event.clientX - box.left)) / box.width - 2, 1 - (2 * (event.clientY - box.top)) / box.height));
  };
  return (
    <div className="view-map" role="group" tabIndex={0} aria-label="Flat map of the views: arrows move the direction that is told" onMouseMove={under} onMouseLeave={() => onSpot(null)} onKeyDown={onKey}>
      <canvas ref={canvas} width={WIDTH} height={HEIGHT} role="img" aria-label="Views in cells of equal area; rot 0 in the middle, tilt 0 at the top" />
      <Graticule spot={spot} />
    </div>
  );
}

/** The cell under each pixel; -1 outside of the map. */
function cellsOfPixels(cells: Cells): Int32Array {
  const found = new Int32Array(WIDTH * HEIGHT).fill(-1);
  for (let row = 0; row < HEIGHT; row++)
    for (let column = 0; column < WIDTH; column++) {
      const there = fromMap((4 * (column + 0.5)) / WIDTH - 2, 1 - (2 * (row + 0.5)) / HEIGHT);
      if (there) found[row * WIDTH + column] = cells.of(there);
    }
  return found;
}

const at = (rot: number, tilt: number): readonly [number, number] => toMap(direction((rot * Math.PI) / 180, Math.cos((tilt * Math.PI) / 180)));
const steps = (first: number, last: number, by: number) => Array.from({ length: Math.round((last - first) / by) + 1 }, (_, place) => first + place * by);
const path = (points: (readonly [number, number])[]) => points.map(([x, y]) => `${x.toFixed(4)},${(-y).toFixed(4)}`).join(" ");

/** Lines of equal rot and tilt, their numbers, and the direction that is told. */
function Graticule({ spot }: { spot: Direction | null }) {
  const lines = useMemo(
    () => [
      ...[-120, -60, 0, 60, 120].map((rot) => path(steps(0, 180, 3).map((tilt) => at(rot, tilt)))),
      ...[30, 60, 90, 120, 150].map((tilt) => path(steps(-179.99, 179.99, 179.99).map((rot) => at(rot, tilt)))),
    ],
    [],
  );
  const [x, y] = spot ? toMap(spot) : [0, 0];
  return (
    <svg viewBox="-2 -1 4 2" aria-hidden="true">
      {lines.map((points, place) => (
        <polyline key={place} points={points} fill="none" stroke="#fff" strokeOpacity="0.35" strokeWidth="0.004" />
      ))}
      {[-120, -60, 0, 60, 120].map((rot) => (
        <text key={rot} x={at(rot, 90)[0] + 0.015} y={-0.015}>
          {rot}°
        </text>
      ))}
      {[30, 60, 120, 150].map((tilt) => (
        <text key={tilt} x={0.015} y={-at(0, tilt)[1] - 0.015}>
          tilt {tilt}°
        </text>
      ))}
      {spot && <circle cx={x} cy={-y} r="0.025" fill="none" stroke="#ffb000" strokeWidth="0.009" />}
    </svg>
  );
}
