/** The chains of an atomic model as lines. */

import { BufferAttribute, BufferGeometry, LineBasicMaterial, LineSegments } from "three";
import type { Trace } from "../api/traces";
import { lightOf } from "./colourMaps";

const LOW = [230, 97, 1];
const HIGH = [124, 242, 154];
const UNKNOWN = [255, 255, 255];

/** r, g, b of each residue: orange where the map does not show it, green where it does, as in the reports; white where that is not known. */
export function residueColours(values: readonly (number | null)[]): Uint8Array {
  return Uint8Array.from(
    values.flatMap((value) => {
      if (value === null) return UNKNOWN;
      const share = Math.min(1, Math.max(0, value));
      return LOW.map((low, channel) => Math.round(low + share * ((HIGH[channel] as number) - low)));
    }),
  );
}

/** Lines that nothing hides, about a centre. */
export class Chains extends LineSegments<BufferGeometry, LineBasicMaterial> {
  constructor() {
    super(new BufferGeometry(), new LineBasicMaterial({ vertexColors: true, depthTest: false, transparent: true }));
    this.renderOrder = 1;
    this.visible = false;
  }

  show(trace: Trace | null, [x = 0, y = 0, z = 0]: readonly number[]): void {
    this.visible = trace !== null;
    if (!trace) return;
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(trace.points), 3));
    geometry.setAttribute("color", new BufferAttribute(lightOf(residueColours(trace.values)), 3));
    geometry.setIndex(trace.links);
    this.geometry.dispose();
    this.geometry = geometry;
    this.position.set(-x, -y, -z);
  }

  dispose(): void {
    this.geometry.dispose();
    this.material.dispose();
  }
}
