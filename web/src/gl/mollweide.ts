/** Mollweide's map of the sphere, which keeps areas: an ellipse from -2 to 2 and -1 to 1, rot 0 in the middle, the north pole at 1. */

import { direction, type Direction } from "./cells";

const NEAR = 1e-9;
const ROUNDS = 60;

/** The place of a unit vector. */
export function toMap([x, y, z]: Direction): [number, number] {
  const rot = Math.atan2(y, x);
  const wanted = Math.PI * Math.max(-1, Math.min(1, z));
  let [low, high] = [-Math.PI / 2, Math.PI / 2];
  for (let round = 0; round < ROUNDS && high - low > NEAR; round++) {
    const middle = (low + high) / 2;
    if (2 * middle + Math.sin(2 * middle) < wanted) low = middle;
    else high = middle;
  }
  const theta = (low + high) / 2;
  return [(2 / Math.PI) * rot * Math.cos(theta), Math.sin(theta)];
}

/** The unit vector at a place; null outside of the map. */
export function fromMap(across: number, up: number): Direction | null {
  if (across * across / 4 + up * up >= 1) return null;
  const theta = Math.asin(up);
  return direction((Math.PI * across) / (2 * Math.cos(theta)), (2 * theta + Math.sin(2 * theta)) / Math.PI);
}
