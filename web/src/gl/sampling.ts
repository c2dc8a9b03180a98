/** Values of a map between its voxels, and what colours and a histogram make of them. */

/** The values of a map `[z, y, x]` of `shape` (z, y, x) at places x, y, z in voxels, between voxels linear; places outside take the border's. */
export function sampled(values: Float32Array, [depth, height, width]: readonly [number, number, number], places: Float32Array): Float32Array {
  const found = new Float32Array(places.length / 3);
  const at = (x: number, y: number, z: number): number => values[(z * height + y) * width + x] as number;
  for (let number = 0; number < found.length; number++) {
    const x = Math.min(width - 1, Math.max(0, places[3 * number] as number));
    const y = Math.min(height - 1, Math.max(0, places[3 * number + 1] as number));
    const z = Math.min(depth - 1, Math.max(0, places[3 * number + 2] as number));
    const left = Math.min(Math.floor(x), Math.max(0, width - 2));
    const up = Math.min(Math.floor(y), Math.max(0, height - 2));
    const front = Math.min(Math.floor(z), Math.max(0, depth - 2));
    const right = Math.min(left + 1, width - 1);
    const down = Math.min(up + 1, height - 1);
    const back = Math.min(front + 1, depth - 1);
    const along = (row: number, layer: number): number => at(left, row, layer) + (x - left) * (at(right, row, layer) - at(left, row, layer));
    const near = along(up, front) + (y - up) * (along(down, front) - along(up, front));
    const far = along(up, back) + (y - up) * (along(down, back) - along(up, back));
    found[number] = near + (z - front) * (far - near);
  }
  return found;
}

/** Colours r, g, b of values from `low` to `high`. */
export function tinted(values: Float32Array, table: Uint8Array, low: number, high: number): Uint8Array {
  const colours = new Uint8Array(3 * values.length);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let number = 0; number < values.length; number++) {
    const shown = Math.min(255, Math.max(0, Math.round(((values[number] as number) - low) * scale) || 0));
    for (let channel = 0; channel < 3; channel++) colours[3 * number + channel] = table[3 * shown + channel] as number;
  }
  return colours;
}

/** How many values lie in each of `bins` equal parts from `low` to `high`; those outside count at the ends. */
export function histogram(values: Float32Array, bins: number, low: number, high: number): Uint32Array {
  const counts = new Uint32Array(bins);
  const scale = high > low ? bins / (high - low) : 0;
  for (const value of values) {
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((value - low) * scale) || 0));
    counts[bin] = (counts[bin] as number) + 1;
  }
  return counts;
}

/** The values below which these parts of all lie. */
export function quantiles(values: Float32Array, ...parts: number[]): number[] {
  const sorted = values.slice().sort();
  return parts.map((part) => sorted[Math.round(part * (sorted.length - 1))] ?? 0);
}
