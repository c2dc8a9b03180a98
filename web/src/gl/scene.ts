/** The surface of a map, in one colour or painted, and the outline of another one about it. */

import { BufferAttribute, BufferGeometry, DoubleSide, Mesh as Body, MeshStandardMaterial, Raycaster, Vector2 } from "three";
import type { Trace } from "../api/traces";
import { Chains } from "./chains";
import { lightOf } from "./colourMaps";
import { Stage } from "./stage";
import type { Mesh } from "./surfaceNets";

const PLAIN = 0x7fb7cc;
/** Of the surface when there is a model in it. */
const SHEER = 0.5;

/** Where a mesh given in voxels lies: their size, and the place of the first one. */
export interface Lattice {
  voxel: number;
  origin: readonly number[];
}

export class SurfaceScene extends Stage {
  private readonly body = new Body(new BufferGeometry(), new MeshStandardMaterial({ color: PLAIN, roughness: 0.65, metalness: 0.05, side: DoubleSide }));
  private readonly shell = new Body(
    new BufferGeometry(),
    new MeshStandardMaterial({ color: 0xffd479, transparent: true, opacity: 0.22, depthWrite: false, side: DoubleSide }),
  );
  private readonly chains = new Chains();
  private fitted = false;

  /** `centre` is what is turned about, in the units of voxel sizes. */
  constructor(
    canvas: HTMLCanvasElement,
    private readonly centre: readonly number[],
  ) {
    super(canvas);
    this.scene.add(this.body, this.shell, this.chains);
    this.shell.visible = false;
  }

  /** Show a mesh; the first one decides what is in sight. `colours` are r, g, b of each vertex. */
  show(mesh: Mesh, lattice: Lattice, colours: Uint8Array | null): void {
    this.place(this.body, mesh, lattice);
    this.paint(colours);
    if (!this.fitted && mesh.positions.length > 0) {
      this.fitted = true;
      this.extent = 2 * reach(mesh.positions, lattice.voxel, this.body.position.toArray());
      this.reset();
    }
  }

  /** Colour the mesh that is shown; null: as a whole. */
  paint(colours: Uint8Array | null): void {
    const { geometry, material } = this.body;
    if (colours) geometry.setAttribute("color", new BufferAttribute(lightOf(colours), 3));
    else geometry.deleteAttribute("color");
    material.color.set(colours ? 0xffffff : PLAIN);
    if (material.vertexColors !== (colours !== null)) {
      material.vertexColors = colours !== null;
      material.needsUpdate = true;
    }
    this.draw();
  }

  /** Show a second surface, which one sees through. */
  outline(mesh: Mesh | null, lattice: Lattice): void {
    this.shell.visible = mesh !== null;
    if (mesh) this.place(this.shell, mesh, lattice);
    this.draw();
  }

  /** Show the chains of a model in the surface, which one sees through then. */
  trace(trace: Trace | null): void {
    this.chains.show(trace, this.centre);
    const { material } = this.body;
    material.opacity = trace ? SHEER : 1;
    material.transparent = trace !== null;
    material.needsUpdate = true;
    this.draw();
  }

  /** The place of the surface under a point of the page, in the units of voxel sizes from the map's first voxel. */
  pick(x: number, y: number): [number, number, number] | null {
    const box = this.canvas.getBoundingClientRect();
    const ray = new Raycaster();
    ray.setFromCamera(new Vector2((2 * (x - box.left)) / box.width - 1, 1 - (2 * (y - box.top)) / box.height), this.camera);
    const hit = ray.intersectObject(this.body)[0];
    if (!hit) return null;
    const [a = 0, b = 0, c = 0] = this.centre;
    return [hit.point.x + a, hit.point.y + b, hit.point.z + c];
  }

  override dispose(): void {
    for (const { geometry, material } of [this.body, this.shell]) {
      geometry.dispose();
      material.dispose();
    }
    this.chains.dispose();
    super.dispose();
  }

  private place(body: Body<BufferGeometry, MeshStandardMaterial>, mesh: Mesh, { voxel, origin }: Lattice): void {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(mesh.positions, 3));
    geometry.setAttribute("normal", new BufferAttribute(mesh.normals, 3));
    geometry.setIndex(new BufferAttribute(mesh.triangles, 1));
    body.geometry.dispose();
    body.geometry = geometry;
    body.scale.setScalar(voxel);
    const [x = 0, y = 0, z = 0] = [0, 1, 2].map((axis) => (origin[axis] ?? 0) - (this.centre[axis] ?? 0));
    body.position.set(x, y, z);
    body.updateMatrixWorld();
  }
}

/** How far the object reaches from the centre: specks of noise about it, up to a fifth of the vertices, do not make it small. */
export function reach(positions: Float32Array, voxel: number, moved: readonly number[]): number {
  const count = positions.length / 3;
  const distances = new Float32Array(count);
  for (let vertex = 0; vertex < count; vertex++)
    distances[vertex] = Math.hypot(...[0, 1, 2].map((axis) => voxel * (positions[3 * vertex + axis] as number) + (moved[axis] ?? 0)));
  distances.sort();
  const within = (part: number) => distances[Math.floor(part * (count - 1))] ?? 1;
  return Math.min(within(0.97), 1.4 * within(0.8));
}
