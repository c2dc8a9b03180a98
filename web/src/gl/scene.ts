/** A lit mesh that can be turned, moved and zoomed; drawn when something changes, not in a loop. */

import {
  AmbientLight,
  BufferAttribute,
  BufferGeometry,
  Color,
  DirectionalLight,
  DoubleSide,
  Mesh as Body,
  MeshStandardMaterial,
  PerspectiveCamera,
  Scene,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import type { Mesh } from "./surfaceNets";

export class SurfaceScene {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(35, 1, 0.1, 10_000);
  private readonly controls: OrbitControls;
  private readonly body: Body<BufferGeometry, MeshStandardMaterial>;
  private readonly watcher: ResizeObserver;
  private waiting = false;
  private fitted = false;
  private extent = 1;

  /** Throws where the browser has no WebGL2. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.body = new Body(new BufferGeometry(), new MeshStandardMaterial({ color: 0x7fb7cc, roughness: 0.65, metalness: 0.05, side: DoubleSide }));
    const key = new DirectionalLight(0xffffff, 2.2);
    key.position.set(0.6, 0.8, 1);
    const fill = new DirectionalLight(0xcfe3ff, 0.9);
    fill.position.set(-1, -0.4, 0.3);
    this.camera.add(key, fill); // the light comes from where one looks
    this.scene.add(this.body, this.camera, new AmbientLight(0xffffff, 0.7));
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.controls.listenToKeyEvents(canvas);
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(canvas);
    canvas.addEventListener("webglcontextrestored", () => this.draw());
  }

  /** Show a mesh given in voxels of size `voxel`, the first one at `origin`; the first mesh decides what is in sight. */
  show(mesh: Mesh, voxel: number, origin: readonly number[], centre: readonly number[]): void {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(mesh.positions, 3));
    geometry.setAttribute("normal", new BufferAttribute(mesh.normals, 3));
    geometry.setIndex(new BufferAttribute(mesh.triangles, 1));
    this.body.geometry.dispose();
    this.body.geometry = geometry;
    this.body.scale.setScalar(voxel);
    const moved = [0, 1, 2].map((axis) => (origin[axis] ?? 0) - (centre[axis] ?? 0));
    this.body.position.set(moved[0] ?? 0, moved[1] ?? 0, moved[2] ?? 0);
    if (!this.fitted && mesh.positions.length > 0) {
      this.fitted = true;
      this.extent = 2 * reach(mesh.positions, voxel, moved);
      this.reset();
    }
    this.draw();
  }

  /** Look along -z, everything in sight. */
  reset(): void {
    this.camera.position.set(0, 0, 1.9 * this.extent);
    this.camera.near = this.extent / 100;
    this.camera.far = 20 * this.extent;
    this.camera.updateProjectionMatrix();
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.draw();
  }

  setColour(colour: string): void {
    this.body.material.color = new Color(colour);
    this.draw();
  }

  /** The picture as it stands. */
  picture(): string {
    this.renderer.render(this.scene, this.camera);
    return this.canvas.toDataURL("image/png");
  }

  dispose(): void {
    this.watcher.disconnect();
    this.controls.dispose();
    this.body.geometry.dispose();
    this.body.material.dispose();
    this.renderer.dispose();
  }

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || height === 0) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  private draw(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.renderer.render(this.scene, this.camera);
    });
  }
}

/** Distance from the centre within which 97 % of the vertices lie: specks of noise do not make the object small. */
function reach(positions: Float32Array, voxel: number, moved: readonly number[]): number {
  const count = positions.length / 3;
  const distances = new Float32Array(count);
  for (let vertex = 0; vertex < count; vertex++)
    distances[vertex] = Math.hypot(...[0, 1, 2].map((axis) => voxel * (positions[3 * vertex + axis] as number) + (moved[axis] ?? 0)));
  return distances.sort()[Math.floor(0.97 * (count - 1))] ?? 1;
}
