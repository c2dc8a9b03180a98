/** The surface of a map at a level, by naive surface nets (Gibson 1998): one vertex a cell that the surface crosses, four-sided faces split in two. */

export interface Mesh {
  /** x, y, z of each vertex, in voxels */
  positions: Float32Array;
  /** unit vectors out of what is above the level */
  normals: Float32Array;
  /** three vertices a triangle, anticlockwise seen from outside */
  triangles: Uint32Array;
}

/**
 * The surface at `level` of `values` `[z, y, x]` of `shape` (z, y, x).
 *
 * Memory: the map, one index a voxel of two layers, and the mesh.
 */
export function surfaceNets(values: Float32Array, shape: readonly [number, number, number], level: number): Mesh {
  const [depth, height, width] = shape;
  const layer = width * height;
  const at = (x: number, y: number, z: number): number => values[z * layer + y * width + x] as number;
  const positions: number[] = [];
  const triangles: number[] = [];
  let below = new Int32Array(layer).fill(-1);
  let here = new Int32Array(layer).fill(-1);
  const face = (a: number, b: number, c: number, d: number, outward: boolean) => {
    if (outward) triangles.push(a, b, c, a, c, d);
    else triangles.push(a, c, b, a, d, c);
  };
  for (let z = 0; z < depth - 1; z++) {
    here.fill(-1);
    for (let y = 0; y < height - 1; y++) {
      for (let x = 0; x < width - 1; x++) {
        const start = z * layer + y * width + x;
        let mask = 0;
        for (let corner = 0; corner < 8; corner++) {
          const offset = (corner & 1) + ((corner >> 1) & 1) * width + (corner >> 2) * layer;
          if ((values[start + offset] as number) > level) mask |= 1 << corner;
        }
        if (mask === 0 || mask === 255) continue;
        let count = 0;
        let sx = 0;
        let sy = 0;
        let sz = 0;
        for (let corner = 0; corner < 8; corner++) {
          for (let axis = 0; axis < 3; axis++) {
            const other = corner | (1 << axis);
            if (other === corner || ((mask >> corner) & 1) === ((mask >> other) & 1)) continue;
            const cx = corner & 1;
            const cy = (corner >> 1) & 1;
            const cz = corner >> 2;
            const from = at(x + cx, y + cy, z + cz);
            const to = at(x + (other & 1), y + ((other >> 1) & 1), z + (other >> 2));
            const part = (level - from) / (to - from);
            sx += cx + (axis === 0 ? part : 0);
            sy += cy + (axis === 1 ? part : 0);
            sz += cz + (axis === 2 ? part : 0);
            count++;
          }
        }
        const place = y * width + x;
        const vertex = positions.length / 3;
        here[place] = vertex;
        positions.push(x + sx / count, y + sy / count, z + sz / count);
        // The faces around the three edges that start at this cell's first corner; their other cells came before.
        const inside = (mask & 1) === 1;
        if (((mask >> 1) & 1) !== (mask & 1) && y > 0 && z > 0)
          face(vertex, here[place - width] as number, below[place - width] as number, below[place] as number, inside);
        if (((mask >> 2) & 1) !== (mask & 1) && x > 0 && z > 0)
          face(vertex, below[place] as number, below[place - 1] as number, here[place - 1] as number, inside);
        if (((mask >> 4) & 1) !== (mask & 1) && x > 0 && y > 0)
          face(vertex, here[place - 1] as number, here[place - width - 1] as number, here[place - width] as number, inside);
      }
    }
    [below, here] = [here, below];
  }
  return { positions: Float32Array.from(positions), normals: normals(values, shape, positions), triangles: Uint32Array.from(triangles) };
}

/** Minus the gradient of the map at each vertex, of unit length. */
function normals(values: Float32Array, [depth, height, width]: readonly [number, number, number], positions: number[]): Float32Array {
  const found = new Float32Array(positions.length);
  const inside = (place: number, side: number): number => Math.min(side - 1, Math.max(0, place));
  const at = (x: number, y: number, z: number): number =>
    values[(inside(z, depth) * height + inside(y, height)) * width + inside(x, width)] as number;
  for (let vertex = 0; vertex < positions.length; vertex += 3) {
    const x = Math.round(positions[vertex] as number);
    const y = Math.round(positions[vertex + 1] as number);
    const z = Math.round(positions[vertex + 2] as number);
    const gx = at(x - 1, y, z) - at(x + 1, y, z);
    const gy = at(x, y - 1, z) - at(x, y + 1, z);
    const gz = at(x, y, z - 1) - at(x, y, z + 1);
    const length = Math.hypot(gx, gy, gz) || 1;
    found[vertex] = gx / length;
    found[vertex + 1] = gy / length;
    found[vertex + 2] = gz / length;
  }
  return found;
}
