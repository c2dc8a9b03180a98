/** FSC curves on one plot, frequency in 1/Å labelled in Å. */

import type { Page } from "../api/schema";

export type PlotPoint = readonly [number, number];

/** The points of a page with the columns ``frequency`` and ``fsc``. */
export function curveOf(page: Page): PlotPoint[] {
  const x = page.columns.findIndex((column) => column.name === "frequency");
  const y = page.columns.findIndex((column) => column.name === "fsc");
  return page.rows.map((row) => [Number(row[x]), Number(row[y])] as const).filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b));
}

/** Where a curve first falls below a level, in Å; null where it never does. */
export function resolutionAt(points: readonly PlotPoint[], level: number): number | null {
  const after = points.findIndex(([, value], place) => place > 0 && value < level);
  const [end, begin] = [points[after], points[after - 1]];
  if (!end || !begin || begin[1] < level) return null;
  const frequency = begin[0] + ((begin[1] - level) / (begin[1] - end[1])) * (end[0] - begin[0]);
  return frequency > 0 ? 1 / frequency : null;
}

const SIZE = { width: 560, height: 260, left: 40, bottom: 34, top: 10, right: 10 };
const LEVELS = [0.143, 0.5];

export function CurvePlot({ curves }: { curves: readonly { name: string; points: PlotPoint[] }[] }) {
  const last = Math.max(...curves.flatMap((curve) => curve.points.map(([x]) => x)), 1e-6);
  const x = (value: number) => SIZE.left + (value / last) * (SIZE.width - SIZE.left - SIZE.right);
  const y = (value: number) => SIZE.top + ((1 - value) / 1.2) * (SIZE.height - SIZE.top - SIZE.bottom);
  const told = curves.map(({ name, points }) => {
    const at = resolutionAt(points, 0.143);
    return `${name}: ${at ? `${at.toPrecision(3)} Å at 0.143` : "does not cross 0.143"}`;
  });
  return (
    <figure className="curves">
      <svg viewBox={`0 0 ${SIZE.width} ${SIZE.height}`} role="img" aria-label={`FSC. ${told.join("; ")}`}>
        {[0, 0.5, 1].map((value) => (
          <text key={value} x={SIZE.left - 6} y={y(value) + 4} textAnchor="end">
            {value}
          </text>
        ))}
        {[0.25, 0.5, 0.75, 1].map((part) => (
          <text key={part} x={x(part * last)} y={SIZE.height - 12} textAnchor={part === 1 ? "end" : "middle"}>
            {(1 / (part * last)).toPrecision(3)} Å
          </text>
        ))}
        <path className="axis" d={`M${x(0)},${y(1)} V${y(-0.2)} H${x(last)} M${x(0)},${y(0)} H${x(last)}`} />
        {LEVELS.map((level) => (
          <path key={level} className="level" d={`M${x(0)},${y(level)} H${x(last)}`} />
        ))}
        {curves.map(({ name, points }, place) => (
          <path key={name} className={`curve curve-${place}`} d={points.map(([a, b], number) => `${number ? "L" : "M"}${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("")} />
        ))}
      </svg>
      <figcaption className="row wrap">
        {told.map((text, place) => (
          <span key={text} className="row">
            <svg width="26" height="8" aria-hidden="true">
              <path className={`curve curve-${place}`} d="M0,4 H26" />
            </svg>
            {text}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
