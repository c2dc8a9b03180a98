/** Surfaces are made beside the page, which goes on answering meanwhile. */

import { surfaceNets } from "./surfaceNets";

export interface Order {
  number: number;
  level: number;
  /** Only when it is another map than the last one's. */
  map?: { values: Float32Array; shape: [number, number, number] };
}

let map: Order["map"];

addEventListener("message", (event: MessageEvent<Order>) => {
  const { number, level } = event.data;
  map = event.data.map ?? map;
  if (!map) return;
  const mesh = surfaceNets(map.values, map.shape, level);
  postMessage({ number, mesh }, { transfer: [mesh.positions.buffer, mesh.normals.buffer, mesh.triangles.buffer] });
});
