/** Surfaces are made, and painted, beside the page, which goes on answering meanwhile. */

import { sampled } from "./sampling";
import { surfaceNets, type Mesh } from "./surfaceNets";

export interface Grid {
  values: Float32Array;
  shape: [number, number, number];
}

export interface Order {
  level: number;
  map: string;
  /** The map whose values at the surface are wanted, if any; of the same shape. */
  paint: string;
  /** Maps that have not been sent yet, and those that are not needed any more. */
  grids: Record<string, Grid>;
  forget: string[];
}

export interface Surface {
  mesh: Mesh;
  /** A value for each vertex. */
  values: Float32Array | null;
}

const grids = new Map<string, Grid>();

addEventListener("message", ({ data: order }: MessageEvent<Order>) => {
  order.forget.forEach((name) => grids.delete(name));
  Object.entries(order.grids).forEach(([name, grid]) => grids.set(name, grid));
  const map = grids.get(order.map);
  if (!map) return;
  const mesh = surfaceNets(map.values, map.shape, order.level);
  const paint = grids.get(order.paint);
  const values = paint ? sampled(paint.values, paint.shape, mesh.positions) : null;
  const answer: Surface = { mesh, values };
  postMessage(answer, { transfer: [mesh.positions.buffer, mesh.normals.buffer, mesh.triangles.buffer, ...(values ? [values.buffer] : [])] });
});
