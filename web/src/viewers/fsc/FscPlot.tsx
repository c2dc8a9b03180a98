/** Fourier shell correlations over resolution, on one grid of frequencies or on several, and in words where they fall. */

import { useMemo, type ReactNode } from "react";
import uPlot from "uplot";
import { axis, Chart } from "../plots/Chart";
import { CURVES, DASHES, useColours } from "../plots/colours";
import { falls, resolutionAt, THRESHOLDS, type FscCurve, type Unit } from "./reading";
import "./fsc.css";

interface Props {
  /** A new array draws anew. */
  curves: readonly FscCurve[];
  unit?: Unit;
  /** Names of curves that are not drawn. */
  hidden?: ReadonlySet<string>;
  /** Told the frequency under the cursor; null: it has left. A new function draws anew. */
  onFrequency?: (frequency: number | null) => void;
  /** What tells of the curves below the plot, in place of their list. */
  children?: ReactNode;
}

const NONE: ReadonlySet<string> = new Set();

export function FscPlot({ curves, unit = "Å", hidden = NONE, onFrequency, children }: Props) {
  const colours = useColours();
  const options = useMemo<Omit<uPlot.Options, "width" | "height">>(
    () => ({
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
      scales: { x: { time: false, range: [0, Math.max(0, ...curves.map(({ frequency }) => frequency.at(-1) ?? 0)) || 1] }, y: { range: (_, low) => [Math.min(-0.05, low ?? 0), 1.02] } },
      axes: [
        axis(colours, { label: `resolution, ${unit} (even steps of 1/${unit === "Å" ? unit : "voxel"})`, labelSize: 22, space: unit === "Å" ? 70 : 100, values: (_, splits) => splits.map((each) => resolutionAt(each, unit)) }),
        axis(colours, { label: "FSC", labelSize: 22, size: 48 }),
      ],
      series: [
        {},
        ...curves.map(({ name }, place) => ({
          show: !hidden.has(name),
          stroke: CURVES[place % CURVES.length] as string,
          dash: DASHES[place % DASHES.length] as number[],
          width: place === 0 ? 2.5 : 1.6,
          points: { show: false },
        })),
      ],
      hooks: { draw: [(chart) => drawThresholds(chart, colours.soft)], setCursor: [(chart) => onFrequency?.(under(chart))] },
    }),
    [curves, unit, hidden, colours.soft, colours.line, onFrequency],
  );
  const values = useMemo(() => uPlot.join(curves.map((each) => [each.frequency, each.values])), [curves]);
  const words = curves.map((each) => falls(each, unit));
  return (
    <figure className="fsc-plot">
      <Chart options={options} data={values} height={320} label={`Fourier shell correlation. ${words.join("; ")}`} />
      <figcaption>
        {children ?? (
          <ul>
            {words.map((text, place) => (
              <li key={place} className="row">
                <Stroke place={place} /> {text}
              </li>
            ))}
          </ul>
        )}
      </figcaption>
    </figure>
  );
}

/** How the curve at a place is drawn. */
export const Stroke = ({ place }: { place: number }) => (
  <svg width="30" height="8" aria-hidden="true">
    <line x1="0" y1="4" x2="30" y2="4" stroke={CURVES[place % CURVES.length]} strokeWidth="2.5" strokeDasharray={DASHES[place % DASHES.length]?.join(" ")} />
  </svg>
);

const under = (chart: uPlot): number | null => (chart.cursor.left === undefined || chart.cursor.left < 0 ? null : chart.posToVal(chart.cursor.left, "x"));

function drawThresholds(chart: uPlot, colour: string): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  for (const level of THRESHOLDS) {
    const y = chart.valToPos(level, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.fillText(String(level), bbox.left + bbox.width - 4, y - 2);
  }
  ctx.restore();
}
