/** What the colours of a map mean. */

import { useEffect, useRef } from "react";
import { number } from "../../ui/format";

export function ColourBar({ table, low, high, unit = "" }: { table: Uint8Array; low: number; high: number; unit?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const line = context.createImageData(256, 1);
    for (let place = 0; place < 256; place++) line.data.set([table[3 * place] ?? 0, table[3 * place + 1] ?? 0, table[3 * place + 2] ?? 0, 255], 4 * place);
    context.putImageData(line, 0, 0);
  }, [table]);
  return (
    <span className="row mono colour-bar">
      {number(low)}
      <canvas ref={canvas} width={256} height={1} role="img" aria-label={`Colours from ${number(low)} to ${number(high)} ${unit}`.trim()} />
      {number(high)} {unit}
    </span>
  );
}
