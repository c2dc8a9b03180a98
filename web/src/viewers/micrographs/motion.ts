/** Motion as it is drawn. */

import type { Trajectory } from "../../api/images";

export type Way = readonly (readonly [number, number])[];

/** The motion of the whole, in Å where the pixel size is known. */
export function way({ whole, pixel_size }: Pick<Trajectory, "whole" | "pixel_size">): { points: Way; unit: string } {
  const factor = pixel_size ?? 1;
  return { points: whole.x.map((x, frame) => [x * factor, (whole.y[frame] ?? 0) * factor] as const), unit: pixel_size ? "Å" : "px" };
}

/** 1, 2 or 5 times a power of ten, not above a length. */
export function niceStep(length: number): number {
  const power = 10 ** Math.floor(Math.log10(length));
  return ([5, 2, 1].find((each) => each * power <= length) ?? 1) * power;
}

/** The ways of the parts of a micrograph on a square of `size`, about their places, and how much they are enlarged: the longest fills its part. */
export function localWays({ local }: Pick<Trajectory, "local">, size: number): { ways: Way[]; gain: number } {
  if (!local) return { ways: [], gain: 1 };
  const { places, x, y } = local;
  const at = (from: number[][][], frame: number, row: number, column: number) => from[frame]?.[row]?.[column] ?? 0;
  const cell = size / places;
  let longest = 1e-6;
  for (let row = 0; row < places; row++)
    for (let column = 0; column < places; column++)
      for (let frame = 0; frame < x.length; frame++) longest = Math.max(longest, Math.hypot(at(x, frame, row, column), at(y, frame, row, column)));
  const gain = (0.45 * cell) / longest;
  const ways: Way[] = [];
  for (let row = 0; row < places; row++)
    for (let column = 0; column < places; column++)
      ways.push(x.map((_, frame) => [(column + 0.5) * cell + gain * at(x, frame, row, column), (row + 0.5) * cell + gain * at(y, frame, row, column)] as const));
  return { ways, gain };
}
