/** Curves over spatial frequency, named by resolution, with lines at the zeros of the transfer function. */

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Curve {
  name: string;
  colour: string;
  values: readonly (number | null)[];
  dashed?: boolean;
}

interface Props {
  label: string;
  /** 1/Å */
  frequencies: readonly number[];
  curves: readonly Curve[];
  zeros: readonly number[];
  /** Å; where the fit ends. */
  resolution: number | null;
}

export function CurvePlot({ label, frequencies, curves, zeros, resolution }: Props) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const around = box.current;
    if (!around) return;
    const style = getComputedStyle(around);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const plot = new uPlot(
      {
        width: around.clientWidth,
        height: around.clientHeight - 30, // the legend
        scales: { x: { time: false } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => (tick > 0 ? `${(1 / tick).toPrecision(2)} Å` : "∞")) },
          { ...axis, size: 46 },
        ],
        legend: { live: false },
        cursor: { points: { show: false } },
        series: [
          { label: "1/Å" },
          ...curves.map((curve) => ({ label: curve.name, stroke: curve.colour, width: 1.5, points: { show: false }, ...(curve.dashed ? { dash: [5, 4] } : {}) })),
        ],
        hooks: { drawClear: [(drawn) => drawLines(drawn, zeros, resolution, colour("--faint"), colour("--bad"))] },
      },
      [frequencies as number[], ...curves.map((curve) => curve.values as (number | null)[])],
      around,
    );
    const sizes = new ResizeObserver(() => plot.setSize({ width: around.clientWidth, height: Math.max(around.clientHeight - 30, 60) }));
    sizes.observe(around);
    return () => {
      sizes.disconnect();
      plot.destroy();
    };
  }, [frequencies, curves, zeros, resolution]);
  return <div ref={box} className="curve-plot" role="img" aria-label={label} />;
}

function drawLines(plot: uPlot, zeros: readonly number[], resolution: number | null, faint: string, strong: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  const line = (frequency: number, colour: string, dash: number[]) => {
    const x = Math.round(plot.valToPos(frequency, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    ctx.strokeStyle = colour;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  };
  zeros.forEach((zero) => line(zero, faint, [2, 3]));
  if (resolution) line(1 / resolution, strong, [6, 3]);
  ctx.restore();
}
