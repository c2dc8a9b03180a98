/** Fourier shell correlations: all curves, the thresholds, and where they are crossed, in words. */

import { useMemo, useState } from "react";
import uPlot from "uplot";
import { useCurves } from "../../api/sets";
import type { Curves } from "../../api/schema";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { axis, Chart } from "../plots/Chart";
import { CURVES, DASHES, useColours } from "../plots/colours";
import type { ViewerProps } from "../registry";
import { angstrom, inAngstrom, nearest } from "./reading";
import "./fsc.css";

const THRESHOLDS = [0.143, 0.5];

export default function FscViewer({ project, output }: ViewerProps) {
  const { data, error, refetch } = useCurves(project, output);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [shell, setShell] = useState<number | null>(null);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the curves" />;
  if (data.curves.length === 0) return <Empty>There is no curve in {output}.</Empty>;
  const toggle = (name: string) => {
    const next = new Set(hidden);
    if (!next.delete(name)) next.add(name);
    setHidden(next);
  };
  const at = shell === null ? null : (data.frequency[shell] ?? null);
  return (
    <div className="fsc-viewer">
      {data.resolution !== null && (
        <p className="headline">
          Resolution <strong>{angstrom(data.resolution)}</strong> <span className="soft">at FSC 0.143</span>
        </p>
      )}
      <Plot data={data} hidden={hidden} onShell={setShell} />
      <table className="facts fsc-table">
        <thead>
          <tr>
            <th>curve</th>
            {THRESHOLDS.map((level) => (
              <th key={level}>falls below {level} at</th>
            ))}
            <th>{at === null ? "under the cursor" : `at ${inAngstrom(at)}`}</th>
          </tr>
        </thead>
        <tbody>
          {data.curves.map((curve, place) => (
            <tr key={curve.name}>
              <th scope="row">
                <label className="row">
                  <input type="checkbox" checked={!hidden.has(curve.name)} onChange={() => toggle(curve.name)} />
                  <svg width="30" height="8" aria-hidden="true">
                    <line x1="0" y1="4" x2="30" y2="4" stroke={CURVES[place % CURVES.length]} strokeWidth="2.5" strokeDasharray={DASHES[place % DASHES.length]?.join(" ")} />
                  </svg>
                  {curve.title}
                </label>
              </th>
              {THRESHOLDS.map((level) => (
                <td key={level}>{angstrom(curve.crossings[String(level)] ?? null)}</td>
              ))}
              <td>{shell === null ? "" : (curve.values[shell]?.toFixed(3) ?? "–")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Plot({ data, hidden, onShell }: { data: Curves; hidden: ReadonlySet<string>; onShell: (shell: number | null) => void }) {
  const colours = useColours();
  const options = useMemo<Omit<uPlot.Options, "width" | "height">>(
    () => ({
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
      scales: { x: { time: false, range: [0, data.frequency.at(-1) ?? 1] }, y: { range: (_, low) => [Math.min(-0.05, low ?? 0), 1.02] } },
      axes: [axis(colours, { label: "resolution, Å (even steps of 1/Å)", labelSize: 22, space: 70, values: (_, splits) => splits.map(inAngstrom) }), axis(colours, { label: "FSC", labelSize: 22, size: 48 })],
      series: [
        {},
        ...data.curves.map((curve, place) => ({
          show: !hidden.has(curve.name),
          stroke: CURVES[place % CURVES.length] as string,
          dash: DASHES[place % DASHES.length] as number[],
          width: place === 0 ? 2.5 : 1.6,
          points: { show: false },
        })),
      ],
      hooks: { draw: [(chart) => drawThresholds(chart, colours.soft)], setCursor: [(chart) => onShell(chart.cursor.left === undefined || chart.cursor.left < 0 ? null : nearest(data.frequency, chart.posToVal(chart.cursor.left, "x")))] },
    }),
    [data, hidden, colours.soft, colours.line, onShell],
  );
  const values = useMemo<uPlot.AlignedData>(() => [data.frequency, ...data.curves.map((each) => each.values)], [data]);
  const words = data.curves.map((each) => `${each.title} falls below 0.143 at ${angstrom(each.crossings["0.143"] ?? null)}`).join("; ");
  return <Chart options={options} data={values} height={320} label={`Fourier shell correlation: ${words}`} />;
}

function drawThresholds(chart: uPlot, colour: string): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  for (const level of THRESHOLDS) {
    const y = chart.valToPos(level, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.fillText(String(level), bbox.left + bbox.width - 4, y - 4);
  }
  ctx.restore();
}
