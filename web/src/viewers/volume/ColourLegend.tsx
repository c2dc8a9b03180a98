/** What the colours of a surface mean, how often each occurs on it, and between which values they run. */

import { useEffect, useRef } from "react";
import { histogram } from "../../gl/sampling";
import { ColourBar } from "./ColourBar";

const BINS = 64;

interface Props {
  what: string;
  unit: string;
  values: Float32Array;
  table: Uint8Array;
  low: number;
  high: number;
  /** Between which values colours may run for the whole map, not what is seen of it. */
  whole: readonly [number, number] | null;
  onChange: (low: number, high: number) => void;
  onAutomatic: () => void;
}

export function ColourLegend({ what, unit, values, table, low, high, whole, onChange, onAutomatic }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const { width, height } = context.canvas;
    const counts = histogram(values, BINS, low, high);
    const most = Math.max(1, ...counts);
    context.clearRect(0, 0, width, height);
    counts.forEach((count, bin) => {
      const place = 3 * Math.round((255 * (bin + 0.5)) / BINS);
      context.fillStyle = `rgb(${table[place]} ${table[place + 1]} ${table[place + 2]})`;
      const tall = (height * count) / most;
      context.fillRect((bin * width) / BINS, height - tall, width / BINS, tall);
    });
  }, [values, table, low, high]);
  const limit = (value: number, label: string, set: (value: number) => void) => (
    <input className="input" type="number" step="any" aria-label={unit ? `${label} (${unit})` : label} value={Number(value.toPrecision(4))} onChange={(event) => event.target.value !== "" && set(Number(event.target.value))} />
  );
  return (
    <div className="legend card" role="group" aria-label="Colours of the surface">
      <span className="soft">{what}</span>
      <canvas ref={canvas} width={256} height={48} role="img" aria-label="How often each value occurs on the surface" />
      <ColourBar table={table} low={low} high={high} unit={unit} />
      <span className="row">
        {limit(low, "Lowest value in colour", (value) => onChange(value, high))}
        {limit(high, "Highest value in colour", (value) => onChange(low, value))}
        <button type="button" className="button" title="Let the colours run over what is seen" onClick={onAutomatic}>
          Fit
        </button>
        {whole && (
          <button type="button" className="button" title="Let the colours run over the whole map, as in its report" onClick={() => onChange(...whole)}>
            All
          </button>
        )}
      </span>
    </div>
  );
}
