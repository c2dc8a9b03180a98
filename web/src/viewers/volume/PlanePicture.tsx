/** A slice as a picture: a click moves the other slices there, wheel, slider and keys move through the map. */

import { useEffect, useRef } from "react";
import type { Axis, Plane } from "../../api/volumes";
import { painted } from "../../gl/colourMaps";
import { Failed } from "../../ui/Feedback";
import { number } from "../../ui/format";
import type { Spot } from "./spot";

/** What runs along the columns and the rows of a slice across an axis. */
const ALONG = { z: ["x", "y"], y: ["x", "z"], x: ["y", "z"] } as const;

export interface PlaneLook {
  axis: Axis;
  spot: Spot;
  /** Slices across the axis. */
  side: number;
  table: Uint8Array;
  /** Bytes of the slice that are drawn in the first and the last colour. */
  black: number;
  white: number;
  /** There is nothing where the slice is 0. */
  hollow?: boolean;
  onMove: (spot: Spot) => void;
  onUnder: (text: string) => void;
}

interface Props extends PlaneLook {
  title: string;
  data: Plane | undefined;
  error: unknown;
}

export function PlanePicture({ title, data, error, axis, spot, side, table, black, white, hollow = false, onMove, onUnder }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [columns, rows] = ALONG[axis];

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !data) return;
    context.canvas.width = data.width;
    context.canvas.height = data.height;
    context.putImageData(new ImageData(painted(data.data, table, black, white, hollow), data.width, data.height), 0, 0);
  }, [data, table, black, white, hollow]);

  const place = (event: React.MouseEvent<HTMLElement>): Spot | null => {
    if (!data) return null;
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * data.width);
    const row = Math.floor(((event.clientY - box.top) / box.height) * data.height);
    if (column < 0 || row < 0 || column >= data.width || row >= data.height) return null;
    return { ...spot, [columns]: column, [rows]: row };
  };
  const tell = (event: React.MouseEvent<HTMLElement>) => {
    const there = place(event);
    if (!there || !data) return;
    const byte = data.data[there[rows] * data.width + there[columns]] as number;
    onUnder(`x ${there.x}, y ${there.y}, z ${there.z}: ${number(data.low + (byte / 255) * (data.high - data.low))}`);
  };
  const inside = (value: number, sides: number) => Math.min(sides - 1, Math.max(0, value));
  const step = (by: number) => onMove({ ...spot, [axis]: inside(spot[axis] + by, side) });
  const onKey = (event: React.KeyboardEvent) => {
    if (!data) return;
    const far = event.shiftKey ? 10 : 1;
    const across = { PageUp: -far, PageDown: far }[event.key];
    const [right, down] = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key] ?? [0, 0];
    if (across) step(across);
    else if (right || down) onMove({ ...spot, [columns]: inside(spot[columns] + (right ?? 0), data.width), [rows]: inside(spot[rows] + (down ?? 0), data.height) });
    else return;
    event.preventDefault();
  };
  return (
    <figure className="pane">
      <figcaption>
        <strong>{title}</strong> <span className="soft">slice {spot[axis]} of {side}, {columns} to the right, {rows} down</span>
      </figcaption>
      {error !== null && error !== undefined && <Failed error={error} />}
      <div
        className="picture"
        role="group"
        tabIndex={0}
        aria-label={`${title}: arrows move the cross, Page Up and Page Down the slice`}
        style={{ aspectRatio: data ? `${data.width} / ${data.height}` : "1" }}
        onClick={(event) => {
          const there = place(event);
          if (there) onMove(there);
        }}
        onMouseMove={tell}
        onMouseLeave={() => onUnder("")}
        onWheel={(event) => step(Math.sign(event.deltaY))}
        onKeyDown={onKey}
      >
        <canvas ref={canvas} role="img" aria-label={`Slice ${spot[axis]} across ${axis}`} />
        {data && <div className="cross" style={{ left: `${((spot[columns] + 0.5) / data.width) * 100}%`, top: `${((spot[rows] + 0.5) / data.height) * 100}%` }} />}
      </div>
      <input type="range" min={0} max={side - 1} value={spot[axis]} aria-label={`Slice across ${axis}`} onChange={(event) => onMove({ ...spot, [axis]: Number(event.target.value) })} />
    </figure>
  );
}
