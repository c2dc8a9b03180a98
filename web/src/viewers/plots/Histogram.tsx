/** A column in bins: all rows pale, those that follow the rule full; a stretch of it is brushed, or typed. */

import { useCallback, useEffect, useMemo, useState } from "react";
import uPlot from "uplot";
import type { Bins } from "../../api/schema";
import { rounded, type Stretch } from "../../selection/rules";
import { number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import { axis, Chart } from "./Chart";
import { useColours } from "./colours";

/** 25 000 as 25K. */
const SHORT = new Intl.NumberFormat("en", { notation: "compact" });

interface Props {
  bins: Bins;
  stretch: Stretch | undefined;
  height?: number;
  onStretch: (stretch: Stretch) => void;
  onRemove?: (() => void) | undefined;
}

export function Histogram({ bins, stretch, height = 150, onStretch, onRemove }: Props) {
  const { column, edges } = bins;
  const colours = useColours();
  const [low, high] = [edges[0] ?? 0, edges.at(-1) ?? 1];
  const step = (edges[1] ?? high) - low;

  const brushed = useCallback(
    (chart: uPlot) => {
      const { left, width } = chart.select;
      if (width < 3) return;
      const [from, until] = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
      const wide = until - from;
      // a brush that runs to the end leaves that side open
      const bounds = { low: from <= low + step * 0.05 ? null : rounded(from, wide), high: until >= high - step * 0.05 ? null : rounded(until, wide) };
      onStretch({ column: column.name, ...bounds });
    },
    [column.name, low, high, step, onStretch],
  );
  const options = useMemo<Omit<uPlot.Options, "width" | "height">>(() => {
    const bars = uPlot.paths.bars?.({ size: [1], align: 1, gap: 1 });
    const series = (stroke: string, fill: string): uPlot.Series => ({ stroke, fill, width: 0, points: { show: false }, ...(bars ? { paths: bars } : {}) });
    return {
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
      scales: { x: { time: false, range: [low, high] }, y: { range: (_, __, most) => [0, most || 1] } },
      axes: [axis(colours, { size: 28, space: 60 }), axis(colours, { size: 46, space: 26, values: (_, splits) => splits.map((each) => (Number.isInteger(each) ? SHORT.format(each) : "")) })],
      series: [{}, series(colours.faint, `${colours.faint}66`), series(colours.accent, colours.accent)],
      hooks: { setSelect: [(chart) => brushed(chart)] },
    };
  }, [colours.faint, colours.accent, colours.soft, colours.line, low, high, brushed]);
  const data = useMemo<uPlot.AlignedData>(() => [edges.slice(0, -1), bins.counts, bins.kept], [edges, bins.counts, bins.kept]);
  const [from, until] = [stretch?.low ?? null, stretch?.high ?? null];
  const onDrawn = useCallback(
    (chart: uPlot) => {
      const none = from === null && until === null;
      const left = chart.valToPos(Math.max(low, from ?? low), "x");
      const right = chart.valToPos(Math.min(high, until ?? high), "x");
      chart.setSelect({ left: none ? 0 : left, top: 0, width: none ? 0 : Math.max(1, right - left), height: none ? 0 : chart.over.clientHeight }, false);
    },
    [from, until, low, high],
  );
  const kept = bins.kept.reduce((sum, each) => sum + each, 0);
  const all = bins.counts.reduce((sum, each) => sum + each, 0);
  return (
    <figure className="histogram" aria-label={`Histogram of ${column.name}`}>
      <figcaption>
        <strong title={column.meaning}>{column.name}</strong>
        {column.unit && <span className="soft"> {column.unit}</span>}
        <span className="grow" />
        {onRemove && (
          <button type="button" className="button plain" aria-label={`Remove the histogram of ${column.name}`} onClick={onRemove}>
            <Icon name="close" size={13} />
          </button>
        )}
      </figcaption>
      {all === 0 ? (
        <p className="soft empty">No row has a value.</p>
      ) : (
        <Chart options={options} data={data} height={height} onDrawn={onDrawn} label={`${number(all)} values of ${column.name} from ${number(low)} to ${number(high)} ${column.unit}; ${number(kept)} follow the rule`} />
      )}
      <div className="bounds">
        <Bound label={`Least ${column.name}`} value={from} placeholder={number(low)} onChange={(value) => onStretch({ column: column.name, low: value, high: until })} />
        <span className="soft">to</span>
        <Bound label={`Largest ${column.name}`} value={until} placeholder={number(high)} onChange={(value) => onStretch({ column: column.name, low: from, high: value })} />
        {bins.empty > 0 && <span className="soft">{number(bins.empty)} without a value</span>}
      </div>
    </figure>
  );
}

export function Bound({ label, value, placeholder, onChange }: { label: string; value: number | null; placeholder: string; onChange: (value: number | null) => void }) {
  const [text, setText] = useState(value === null ? "" : String(value));
  useEffect(() => setText(value === null ? "" : String(value)), [value]);
  const apply = () => {
    const next = text.trim() === "" ? null : Number(text);
    if (next === value) return;
    if (next !== null && !Number.isFinite(next)) setText(value === null ? "" : String(value));
    else onChange(next);
  };
  return (
    <input
      className="input"
      inputMode="decimal"
      aria-label={label}
      placeholder={placeholder}
      value={text}
      onChange={(event) => setText(event.target.value)}
      onBlur={apply}
      onKeyDown={(event) => event.key === "Enter" && apply()}
    />
  );
}
