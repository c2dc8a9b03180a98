/** Cells of equal area on the sphere, as the server counts views in: rings about the z axis, in each of them equal parts from rot 0 on. */

export type Direction = readonly [number, number, number];

export class Cells {
  readonly count: number;
  /** Number of the first cell of each ring and, last, that of all cells. */
  readonly starts: readonly number[];

  constructor(readonly rings: readonly number[]) {
    const starts = [0];
    for (const ring of rings) starts.push((starts.at(-1) as number) + ring);
    this.starts = starts;
    this.count = starts.at(-1) as number;
  }

  /** cos tilt between two rings, from 1 down to -1. */
  edge(place: number): number {
    return 1 - (2 * (this.starts[place] as number)) / this.count;
  }

  /** The cell of a unit vector. */
  of([x, y, z]: Direction): number {
    // a share of the sphere is a share of the cells: the ring is the last that starts no later
    const share = Math.min(this.count - 1e-9, ((1 - z) / 2) * this.count);
    let [low, high] = [0, this.rings.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.starts[middle] as number) <= share + 1e-9) low = middle;
      else high = middle - 1;
    }
    const parts = this.rings[low] as number;
    const turn = (((Math.atan2(y, x) / (2 * Math.PI)) % 1) + 1) % 1;
    return (this.starts[low] as number) + Math.min(parts - 1, Math.floor(turn * parts));
  }

  /** Calls with each cell and its borders: rot in radians, cos tilt. */
  each(call: (cell: number, rot: readonly [number, number], z: readonly [number, number]) => void): void {
    this.rings.forEach((parts, ring) => {
      const z = [this.edge(ring), this.edge(ring + 1)] as const;
      for (let part = 0; part < parts; part++) call((this.starts[ring] as number) + part, [(2 * Math.PI * part) / parts, (2 * Math.PI * (part + 1)) / parts], z);
    });
  }
}

/** The unit vector of rot and cos tilt. */
export function direction(rot: number, z: number): Direction {
  const radius = Math.sqrt(Math.max(0, 1 - z * z));
  return [radius * Math.cos(rot), radius * Math.sin(rot), z];
}

/** rot (-180 to 180) and tilt (0 to 180) in degrees of a unit vector. */
export function angles([x, y, z]: Direction): { rot: number; tilt: number } {
  return { rot: (Math.atan2(y, x) * 180) / Math.PI, tilt: (Math.acos(Math.min(1, Math.max(-1, z))) * 180) / Math.PI };
}
