/** Two columns against each other, or one over the rows; what is brushed becomes a rule. */

import { useMemo } from "react";
import uPlot from "uplot";
import type { Column, Points } from "../../api/schema";
import { rounded, type Stretch } from "../../selection/rules";
import { number } from "../../ui/format";
import { axis, Chart } from "./Chart";
import { useColours } from "./colours";

interface Props {
  points: Points;
  /** Over the rows: lines, and only values can be brushed. */
  lines: boolean;
  onStretches: (stretches: Stretch[]) => void;
}

const OPACITY = ["59", "a6", "ff"];

export function Scatter({ points, lines, onStretches }: Props) {
  const colours = useColours();
  const options = useMemo<Omit<uPlot.Options, "width" | "height">>(() => {
    const dots = (alpha: string): uPlot.Series => ({ paths: () => null, points: { show: true, size: 4, width: 0, fill: `${colours.accent}${alpha}`, stroke: "transparent" } });
    return {
      legend: { show: false },
      cursor: { drag: { x: !lines, y: true, setScale: false, uni: 12 }, points: { show: false } },
      scales: { x: { time: false } },
      axes: [axis(colours, { label: named(points.x), labelSize: 22 }), axis(colours, { label: named(points.y), labelSize: 22, size: 64 })],
      series: [{}, ...(lines ? [{ stroke: colours.accent, width: 1, points: { show: false } }] : OPACITY.map(dots))],
      hooks: {
        setSelect: [
          (chart) => {
            const { left, top, width, height } = chart.select;
            if (width < 3 && height < 3) return;
            const found = [stretch(chart, points.y.name, "y", top + height, top)];
            if (!lines) found.unshift(stretch(chart, points.x.name, "x", left, left + width));
            onStretches(found.filter((each) => each !== null));
          },
        ],
      },
    };
  }, [colours.accent, colours.soft, colours.line, points.x, points.y, lines, onStretches]);
  const data = useMemo<uPlot.AlignedData>(() => {
    if (lines) return [points.xs, points.ys];
    const most = Math.max(1, ...points.weight);
    const level = (weight: number) => Math.min(2, Math.floor((Math.log(weight) / Math.log(Math.max(most, 2))) * 3));
    return [points.xs, ...OPACITY.map((_, each) => points.ys.map((y, place) => (level(points.weight[place] ?? 1) === each ? y : null)))];
  }, [points, lines]);
  const words = `${number(points.xs.length)} points for ${number(points.count - points.empty)} rows: ${points.y.name} over ${points.x.name}`;
  return (
    <>
      <Chart options={options} data={data} height={380} label={words} />
      <p className="soft">
        {words}
        {points.empty > 0 && `; ${number(points.empty)} rows without a value are left out`}. {!lines && points.xs.length < points.count && "Full dots stand for many rows."} Drag over the plot to choose.
      </p>
    </>
  );
}

const named = (column: Column) => (column.unit ? `${column.name}, ${column.unit}` : column.name);

/** What was brushed along an axis; nothing where all of it was. */
function stretch(chart: uPlot, column: string, scale: "x" | "y", from: number, until: number): Stretch | null {
  const whole = scale === "x" ? chart.over.clientWidth : chart.over.clientHeight;
  if (Math.abs(until - from) >= whole - 1 || Math.abs(until - from) < 1) return null;
  const [low, high] = [chart.posToVal(from, scale), chart.posToVal(until, scale)];
  return { column, low: rounded(low, high - low), high: rounded(high, high - low) };
}
