/** One slice: a click moves the other two there, the wheel and the slider move through the map. */

import { useEffect, useRef } from "react";
import { useSlice, type Axis, type Choice, type VolumeInfo } from "../../api/volumes";
import { painted } from "../../gl/colourMaps";
import { Failed } from "../../ui/Feedback";
import { number } from "../../ui/format";
import type { Spot } from "./SliceViewer";

/** What runs along the columns and the rows of a slice across an axis. */
const ALONG = { z: ["x", "y"], y: ["x", "z"], x: ["y", "z"] } as const;

interface Props {
  project: string;
  output: string;
  choice: Choice;
  info: VolumeInfo;
  axis: Axis;
  spot: Spot;
  table: Uint8Array;
  black: number;
  white: number;
  onMove: (spot: Spot) => void;
  onUnder: (text: string) => void;
}

export function SlicePane({ project, output, choice, info, axis, spot, table, black, white, onMove, onUnder }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { data, error } = useSlice(project, output, choice, axis, spot[axis]);
  const side = info.shape[{ z: 0, y: 1, x: 2 }[axis]] as number;
  const [columns, rows] = ALONG[axis];

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !data) return;
    context.canvas.width = data.width;
    context.canvas.height = data.height;
    context.putImageData(new ImageData(painted(data.data, table, black, white), data.width, data.height), 0, 0);
  }, [data, table, black, white]);

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
  const step = (by: number) => onMove({ ...spot, [axis]: Math.min(side - 1, Math.max(0, spot[axis] + by)) });
  return (
    <figure className="pane">
      <figcaption>
        <strong>across {axis}</strong> <span className="soft">slice {spot[axis]} of {side}, {columns} to the right, {rows} down</span>
      </figcaption>
      {error && <Failed error={error} />}
      <div
        className="picture"
        style={{ aspectRatio: data ? `${data.width} / ${data.height}` : "1" }}
        onClick={(event) => {
          const there = place(event);
          if (there) onMove(there);
        }}
        onMouseMove={tell}
        onMouseLeave={() => onUnder("")}
        onWheel={(event) => step(Math.sign(event.deltaY))}
      >
        <canvas ref={canvas} role="img" aria-label={`Slice ${spot[axis]} across ${axis}`} />
        {data && <div className="cross" style={{ left: `${((spot[columns] + 0.5) / data.width) * 100}%`, top: `${((spot[rows] + 0.5) / data.height) * 100}%` }} />}
      </div>
      <input type="range" min={0} max={side - 1} value={spot[axis]} aria-label={`Slice across ${axis}`} onChange={(event) => onMove({ ...spot, [axis]: Number(event.target.value) })} />
    </figure>
  );
}
