/** Reading a curve over spatial frequency: resolutions in words, and the shell under the cursor. */

/** A resolution as people write it. */
export const angstrom = (value: number | null): string => (value === null ? "nowhere" : `${value.toFixed(2)} Å`);

/** A spatial frequency in 1/Å as the resolution it is. */
export const inAngstrom = (frequency: number): string => (frequency > 0 ? `${Number((1 / frequency).toPrecision(3))} Å` : "∞");

/** The place of the frequency that is nearest; frequencies rise. */
export function nearest(frequencies: readonly number[], frequency: number): number | null {
  let best: number | null = null;
  frequencies.forEach((each, place) => {
    if (best === null || Math.abs(each - frequency) < Math.abs((frequencies[best] as number) - frequency)) best = place;
  });
  return best;
}
