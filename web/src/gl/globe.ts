/** A sphere whose cells are coloured by what is counted in them, one sees through, with a map inside. */

import {
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  DoubleSide,
  Line,
  LineBasicMaterial,
  Mesh as Body,
  MeshBasicMaterial,
  MeshStandardMaterial,
  Raycaster,
  Sphere,
  Sprite,
  SpriteMaterial,
  Vector2,
  Vector3,
} from "three";
import { direction, type Cells, type Direction } from "./cells";
import { lightOf } from "./colourMaps";
import { reach, type Lattice } from "./scene";
import { Stage } from "./stage";
import type { Mesh } from "./surfaceNets";

/** Degrees a side of the flat pieces that cells are made of. */
const PIECE = 2.6;
/** Of the sphere, the radius that the map fills. */
const FILLED = 0.8;
/** What must be in sight, the axes' names included. */
const EXTENT = 2.5;
/** How much cells hide of the map, those with few views and the fullest. */
const [FAINT, FULL] = [0.3, 0.8];
const AXES = [
  ["x", [1, 0, 0], "#ff8a80"],
  ["y", [0, 1, 0], "#8ee6a0"],
  ["z", [0, 0, 1], "#8fc7ff"],
] as const;

export class GlobeScene extends Stage {
  private readonly sphere = new Body(new BufferGeometry(), new MeshBasicMaterial({ vertexColors: true, transparent: true, depthWrite: false, side: DoubleSide }));
  private readonly map = new Body(new BufferGeometry(), new MeshStandardMaterial({ color: 0xf4f1ea, roughness: 0.7, metalness: 0.05, side: DoubleSide }));

  constructor(canvas: HTMLCanvasElement) {
    super(canvas, [0, 0, 1]);
    this.sphere.material.forceSinglePass = false; // its far side first
    this.scene.add(this.map, this.sphere);
    for (const [name, way, colour] of AXES) this.scene.add(...axis(name, new Vector3(...way), colour));
    for (const [x, y] of [[0, 0], [Math.PI / 2, 0], [Math.PI / 2, Math.PI / 2]] as const) this.scene.add(ring(x, y));
    this.extent = EXTENT;
    this.reset();
  }

  /** Look at rot 0 from a little above the equator, z upwards as in the flat map. */
  override reset(): void {
    this.look([1.75 * EXTENT, 0, 0.6 * EXTENT]);
  }

  /** Colour the cells by `counts`, the last colour of `table` being `most`; empty ones are clear. */
  show(cells: Cells, counts: readonly number[], side: number, table: Uint8Array, most: number): void {
    const [places, colours, triangles]: [number[], number[], number[]] = [[], [], []];
    const light = lightOf(table);
    const parts = Math.max(1, Math.ceil(side / PIECE));
    cells.each((cell, rot, z) => {
      const count = counts[cell] ?? 0;
      if (count === 0) return;
      const share = Math.min(1, count / Math.max(1, most));
      const shown = 3 * Math.round(255 * share);
      const first = places.length / 3;
      for (let row = 0; row <= parts; row++)
        for (let column = 0; column <= parts; column++) {
          places.push(...direction(rot[0] + ((rot[1] - rot[0]) * column) / parts, z[0] + ((z[1] - z[0]) * row) / parts));
          colours.push(light[shown] ?? 0, light[shown + 1] ?? 0, light[shown + 2] ?? 0, FAINT + (FULL - FAINT) * share);
        }
      for (let row = 0; row < parts; row++)
        for (let column = 0; column < parts; column++) {
          const corner = first + row * (parts + 1) + column;
          triangles.push(corner, corner + parts + 1, corner + 1, corner + 1, corner + parts + 1, corner + parts + 2);
        }
    });
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(Float32Array.from(places), 3));
    geometry.setAttribute("color", new BufferAttribute(Float32Array.from(colours), 4));
    geometry.setIndex(new BufferAttribute(Uint32Array.from(triangles), 1));
    this.sphere.geometry.dispose();
    this.sphere.geometry = geometry;
    this.draw();
  }

  /** Put a map inside, its centre in the sphere's. */
  inside(mesh: Mesh, { voxel, origin }: Lattice, centre: readonly number[]): void {
    const moved = [0, 1, 2].map((each) => (origin[each] ?? 0) - (centre[each] ?? 0));
    const scale = FILLED / (reach(mesh.positions, voxel, moved) || 1);
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(mesh.positions, 3));
    geometry.setAttribute("normal", new BufferAttribute(mesh.normals, 3));
    geometry.setIndex(new BufferAttribute(mesh.triangles, 1));
    this.map.geometry.dispose();
    this.map.geometry = geometry;
    this.map.scale.setScalar(voxel * scale);
    this.map.position.set(...(moved.map((each) => each * scale) as [number, number, number]));
    this.draw();
  }

  /** The direction under a point of the page. */
  under(x: number, y: number): Direction | null {
    const box = this.canvas.getBoundingClientRect();
    const ray = new Raycaster();
    ray.setFromCamera(new Vector2((2 * (x - box.left)) / box.width - 1, 1 - (2 * (y - box.top)) / box.height), this.camera);
    return ray.ray.intersectSphere(new Sphere(new Vector3(), 1), new Vector3())?.toArray() ?? null;
  }

  override dispose(): void {
    this.scene.traverse((each) => {
      if (!(each instanceof Body || each instanceof Line || each instanceof Sprite)) return;
      each.geometry.dispose();
      if (each.material instanceof SpriteMaterial) each.material.map?.dispose();
      each.material.dispose();
    });
    super.dispose();
  }
}

/** A great circle, which shows the sphere where its cells are clear: the equator, turned about x and then y. */
function ring(aboutX: number, aboutY: number): Line {
  const points = Array.from({ length: 121 }, (_, place) => new Vector3(...direction((Math.PI * place) / 60, 0)));
  const line = new Line(new BufferGeometry().setFromPoints(points), new LineBasicMaterial({ color: 0xffffff, transparent: true, opacity: 0.25 }));
  line.rotation.set(aboutX, aboutY, 0);
  return line;
}

function axis(name: string, way: Vector3, colour: string): [Line, Sprite] {
  const line = new Line(new BufferGeometry().setFromPoints([way.clone(), way.clone().multiplyScalar(1.15)]), new LineBasicMaterial({ color: colour }));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  if (context) {
    context.fillStyle = colour;
    context.font = "44px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(name, 32, 32);
  }
  const label = new Sprite(new SpriteMaterial({ map: new CanvasTexture(canvas), depthWrite: false }));
  label.position.copy(way).multiplyScalar(1.26);
  label.scale.setScalar(0.18);
  return [line, label];
}
