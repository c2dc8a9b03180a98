/** Colours of numbers: readable by all eyes, and in grey. */

const STOPS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37],
] as const;

/** The colour of a number from 0 to 1. */
export function viridis(value: number): string {
  const place = Math.min(Math.max(value, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const [a, b] = [STOPS[low], STOPS[low + 1]] as [readonly number[], readonly number[]];
  return `rgb(${a.map((channel, index) => Math.round(channel + ((b[index] ?? 0) - channel) * (place - low))).join(" ")})`;
}
