/** The shell correlation of two maps, with where it falls below the thresholds. */

import type { Agreement } from "../../api/pairs";
import { number } from "../../ui/format";

const WIDTH = 760;
const HEIGHT = 340;
const LEFT = 52;
const BOTTOM = 44;
const TOP = 16;
const RIGHT = 16;
const LEAST = -0.2;

export function FscCurve({ agreement: { frequency, fsc, resolutions, pixel_size } }: { agreement: Agreement }) {
  const last = frequency.at(-1) ?? 1;
  const x = (value: number) => LEFT + (value / last) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => TOP + ((1 - Math.max(LEAST, value)) / (1 - LEAST)) * (HEIGHT - TOP - BOTTOM);
  const ticks = [1, 2, 3, 4, 5, 6].map((part) => (part / 6) * last);
  const unit = pixel_size ? "Å" : "voxels";
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Fourier shell correlation; ${resolutions.map(([at, value]) => `${at} at ${number(value)} ${unit}`).join(", ")}`} fontSize="12" fill="var(--ink)">
      {[0, 0.5, 1].map((value) => (
        <g key={value}>
          <line x1={LEFT} x2={WIDTH - RIGHT} y1={y(value)} y2={y(value)} stroke="var(--line)" />
          <text x={LEFT - 8} y={y(value) + 4} textAnchor="end">
            {value}
          </text>
        </g>
      ))}
      {ticks.map((value) => (
        <text key={value} x={Math.min(x(value), WIDTH - 22)} y={HEIGHT - BOTTOM + 18} textAnchor="middle">
          {number(Number((1 / value).toPrecision(3)))}
        </text>
      ))}
      <text x={(LEFT + WIDTH - RIGHT) / 2} y={HEIGHT - 8} textAnchor="middle" fill="var(--soft)">
        resolution ({unit})
      </text>
      {resolutions.map(([at, value]) => (
        <g key={at}>
          <line x1={LEFT} x2={WIDTH - RIGHT} y1={y(at)} y2={y(at)} stroke="var(--soft)" strokeDasharray="4 4" />
          <line x1={x(1 / value)} x2={x(1 / value)} y1={y(at)} y2={HEIGHT - BOTTOM} stroke="var(--soft)" strokeDasharray="4 4" />
          <text x={x(1 / value) + (1 / value > 0.7 * last ? -8 : 8)} y={y(at) - 6} textAnchor={1 / value > 0.7 * last ? "end" : "start"}>
            {at} at {number(Number(value.toPrecision(3)))} {unit}
          </text>
        </g>
      ))}
      <polyline fill="none" stroke="var(--accent)" strokeWidth="2" points={fsc.map((value, shell) => `${x(frequency[shell] ?? 0)},${y(value)}`).join(" ")} />
    </svg>
  );
}
