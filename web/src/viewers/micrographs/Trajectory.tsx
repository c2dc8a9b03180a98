/** How a micrograph moved, in Cartesian and in polar coordinates, and how its parts did; a click shows it large. */

import { useState } from "react";
import { useTrajectory, type Trajectory } from "../../api/images";
import { ApiError } from "../../api/client";
import { viridis } from "../../gl/colours";
import { Dialog } from "../../ui/Dialog";
import { Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { localWays, niceStep, way, type Way } from "./motion";

export function TrajectoryCard({ project, output, id, name }: { project: string; output: string; id: number; name: string }) {
  const [large, setLarge] = useState(false);
  const { data, error, refetch } = useTrajectory(project, output, id);
  if (error instanceof ApiError && error.problem.code.endsWith("no-motion")) return <p className="soft">The motion is not known.</p>;
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the motion" />;
  const { unit, points } = way(data);
  const told = data.motion_total === null ? "" : `${number(data.motion_total)} Å in all`;
  return (
    <>
      <button type="button" className="traj-small" onClick={() => setLarge(true)}>
        <span className="hidden">{`Motion of ${name}, ${told}. Show it large`}</span>
        <div className="traj-pair">
          <Cartesian points={points} unit={unit} size={112} />
          <Polar points={points} unit={unit} size={112} />
        </div>
      </button>
      <p className="soft">
        {told}
        {data.local_motion !== null && ` · ${number(data.local_motion)} Å local`}
      </p>
      {large && (
        <Dialog wide title={`Motion of ${name}`} onClose={() => setLarge(false)}>
          <div className="traj-large">
            <figure>
              <Cartesian points={points} unit={unit} size={340} />
              <figcaption>x to the right, y down, {unit}, from frame {data.frames[0]} (dark) to {data.frames.at(-1)} (bright)</figcaption>
            </figure>
            <figure>
              <Polar points={points} unit={unit} size={340} />
              <figcaption>Distance ({unit}) and direction from where it began</figcaption>
            </figure>
            <figure>
              {data.local ? <LocalField data={data} size={340} /> : <p className="soft">It was moved as a whole.</p>}
              {data.local && <figcaption>Local motion at {data.local.places} × {data.local.places} places, enlarged</figcaption>}
            </figure>
          </div>
          <dl className="facts">
            {(["motion_total", "motion_early", "motion_late", "local_motion"] as const).map((each) => (
              <div key={each}>
                <dt>{{ motion_total: "In all", motion_early: "Early", motion_late: "Late", local_motion: "Local" }[each]}</dt>
                <dd>{data[each] === null ? "–" : `${number(data[each])} Å`}</dd>
              </div>
            ))}
          </dl>
          <div className="actions">
            <button type="button" className="button" onClick={() => setLarge(false)}>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

interface Drawn {
  points: Way;
  unit: string;
  size: number;
}

function Dots({ points, at, size }: { points: Way; at: (point: readonly [number, number]) => [number, number]; size: number }) {
  const radius = size > 200 ? 3.5 : 1.8;
  return (
    <>
      <path className="way" d={points.map((point, place) => `${place ? "L" : "M"}${at(point).map((each) => each.toFixed(2)).join(" ")}`).join("")} />
      {points.map((point, place) => {
        const [x, y] = at(point);
        return <circle key={place} cx={x} cy={y} r={radius} fill={viridis(place / Math.max(points.length - 1, 1))} stroke="var(--ink)" strokeWidth={0.4} />;
      })}
    </>
  );
}

function Cartesian({ points, unit, size }: Drawn) {
  const [xs, ys] = [points.map((each) => each[0]), points.map((each) => each[1])];
  const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2] as const;
  const reach = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys), 1e-3) * 0.62;
  const pad = size > 200 ? 30 : 12;
  const scale = (size - 2 * pad) / (2 * reach);
  const at = ([x, y]: readonly [number, number]): [number, number] => [size / 2 + (x - middle[0]) * scale, size / 2 + (y - middle[1]) * scale];
  const step = niceStep(reach / 2);
  const lines = (centre: number) => Array.from({ length: 9 }, (_, place) => (Math.round(centre / step) + place - 4) * step).filter((each) => Math.abs(each - centre) <= reach);
  return (
    <svg className="traj" viewBox={`0 0 ${size} ${size}`} role="img" aria-label="Motion, Cartesian">
      {lines(middle[0]).map((x) => (
        <g key={`x${x}`}>
          <line className="grid" x1={at([x, 0])[0]} x2={at([x, 0])[0]} y1={pad} y2={size - pad} />
          {size > 200 && <text x={at([x, 0])[0]} y={size - 12} textAnchor="middle">{Number(x.toPrecision(3))}</text>}
        </g>
      ))}
      {lines(middle[1]).map((y) => (
        <g key={`y${y}`}>
          <line className="grid" x1={pad} x2={size - pad} y1={at([0, y])[1]} y2={at([0, y])[1]} />
          {size > 200 && <text x={pad - 4} y={at([0, y])[1] + 3} textAnchor="end">{Number(y.toPrecision(3))}</text>}
        </g>
      ))}
      <Dots points={points} at={at} size={size} />
      {size <= 200 && <text x={pad} y={size - 2}>{`grid ${Number(step.toPrecision(3))} ${unit}`}</text>}
    </svg>
  );
}

function Polar({ points, unit, size }: Drawn) {
  const [x0, y0] = points[0] ?? [0, 0];
  const most = Math.max(...points.map(([x, y]) => Math.hypot(x - x0, y - y0)), 1e-3);
  const step = niceStep(most / 2.2);
  const rings = Math.ceil(most / step);
  const scale = (size / 2 - (size > 200 ? 28 : 14)) / (rings * step);
  const middle = size / 2;
  const at = ([x, y]: readonly [number, number]): [number, number] => [middle + (x - x0) * scale, middle + (y - y0) * scale];
  return (
    <svg className="traj" viewBox={`0 0 ${size} ${size}`} role="img" aria-label="Motion, polar">
      {Array.from({ length: rings }, (_, place) => (
        <circle key={place} className="grid" cx={middle} cy={middle} r={(place + 1) * step * scale} />
      ))}
      {[0, 45, 90, 135, 180, 225, 270, 315].map((angle) => {
        const [dx, dy] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
        const far = rings * step * scale;
        return (
          <g key={angle}>
            <line className="grid" x1={middle} y1={middle} x2={middle + dx * far} y2={middle + dy * far} />
            {size > 200 && <text x={middle + dx * (far + 14)} y={middle + dy * (far + 14) + 3} textAnchor="middle">{angle}°</text>}
          </g>
        );
      })}
      <text x={middle + 2} y={middle - rings * step * scale + 10}>{`${Number((rings * step).toPrecision(3))} ${unit}`}</text>
      <Dots points={points} at={at} size={size} />
    </svg>
  );
}

function LocalField({ data, size }: { data: Trajectory; size: number }) {
  const { ways, gain } = localWays(data, size);
  return (
    <svg className="traj" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={`Local motion, enlarged ${gain.toFixed(0)} times`}>
      <rect className="grid" x={1} y={1} width={size - 2} height={size - 2} />
      {ways.map((points, place) => (
        <g key={place}>
          <path className="local" d={points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("")} />
          <circle cx={points[0]?.[0]} cy={points[0]?.[1]} r={2} fill={viridis(0)} />
          <circle cx={points.at(-1)?.[0]} cy={points.at(-1)?.[1]} r={2} fill={viridis(1)} />
        </g>
      ))}
    </svg>
  );
}
