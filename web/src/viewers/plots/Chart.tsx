/** uPlot in a box: as wide as there is room, drawn anew when what it shows changes. */

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

interface Props {
  /** Everything but the size; a new object draws anew. */
  options: Omit<uPlot.Options, "width" | "height">;
  data: uPlot.AlignedData;
  height: number;
  /** What the picture shows, in words. */
  label: string;
  /** Called with each new chart, and when `onDrawn` changes. */
  onDrawn?: ((chart: uPlot) => void) | undefined;
}

export function Chart({ options, data, height, label, onDrawn }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const drawn = useRef(onDrawn);
  drawn.current = onDrawn;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new uPlot({ ...options, width: Math.max(80, element.clientWidth), height }, data, element);
    chart.current = made;
    queueMicrotask(() => chart.current === made && drawn.current?.(made)); // uPlot lays itself out in one that is queued before
    const observer = new ResizeObserver(() => {
      made.setSize({ width: Math.max(80, element.clientWidth), height });
      queueMicrotask(() => chart.current === made && drawn.current?.(made));
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [options, data, height]);
  useEffect(() => {
    if (chart.current) onDrawn?.(chart.current);
  }, [onDrawn]);
  return <div ref={box} className="chart" role="img" aria-label={label} style={{ minHeight: height }} />;
}

/** Axes in the theme's colours. */
export const axis = (colours: { soft: string; line: string }, more: Partial<uPlot.Axis> = {}): uPlot.Axis => ({
  stroke: colours.soft,
  font: "12px system-ui, sans-serif",
  labelFont: "12px system-ui, sans-serif",
  grid: { stroke: colours.line, width: 1 },
  ticks: { stroke: colours.line, width: 1 },
  ...more,
});
