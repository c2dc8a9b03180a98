/** Reading a curve over spatial frequency: resolutions in words, where it falls, and the shell under the cursor. */

import type { Curves } from "../../api/schema";

/** What lengths are in: voxels where a map does not say how large they are. */
export type Unit = "Å" | "voxels";

export interface FscCurve {
  /** Tells the curve from the others of its plot. */
  name: string;
  title: string;
  /** 1/unit, rising. */
  frequency: number[];
  values: (number | null)[];
  /** By threshold the resolution at which the curve falls below it, as the server found it. */
  crossings: Readonly<Record<string, number | null>>;
}

export const THRESHOLDS = [0.143, 0.5] as const;

/** The curves of an output, which have their frequencies in common. */
export const curvesOf = ({ frequency, curves }: Curves): FscCurve[] => curves.map((curve) => ({ ...curve, frequency }));

/** A resolution as people write it. */
export const resolution = (value: number | null, unit: Unit = "Å"): string => (value === null ? "nowhere" : `${value.toFixed(2)} ${unit}`);

/** A spatial frequency as the resolution it is. */
export const resolutionAt = (frequency: number, unit: Unit = "Å"): string => (frequency > 0 ? `${Number((1 / frequency).toPrecision(3))} ${unit}` : "∞");

/** Where a curve falls, in words. */
export function falls({ title, crossings }: FscCurve, unit: Unit): string {
  const each = THRESHOLDS.map((level) => [level, crossings[level] ?? null] as const);
  return `${title}: below ${each.map(([level, value]) => `${level} ${value === null ? "" : "at "}${resolution(value, unit)}`).join(", ")}`;
}

/** The place of the frequency that is nearest; frequencies rise. */
export function nearest(frequencies: readonly number[], frequency: number): number | null {
  let best: number | null = null;
  frequencies.forEach((each, place) => {
    if (best === null || Math.abs(each - frequency) < Math.abs((frequencies[best] as number) - frequency)) best = place;
  });
  return best;
}
