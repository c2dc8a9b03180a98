/** What every 3D picture has: light, a camera turned by mouse and keys, and drawing when something changes, not in a loop. */

import { AmbientLight, DirectionalLight, PerspectiveCamera, Quaternion, Scene, Spherical, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import type { Direction } from "./cells";

/** Where one looks from, and at what. */
export interface View {
  position: readonly [number, number, number];
  target: readonly [number, number, number];
}

const TURN = Math.PI / 18;
const NEARER = 0.9;

export const hasWebgl = ((): boolean => {
  try {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers give few at a time
    return context !== null;
  } catch {
    return false;
  }
})();

export class Stage {
  /** Told where one looks from when the user has turned, moved or zoomed. */
  onTurn: (view: View) => void = () => undefined;
  protected readonly scene = new Scene();
  protected readonly camera = new PerspectiveCamera(35, 1, 0.1, 10_000);
  protected extent = 1;
  private readonly renderer: WebGLRenderer;
  private readonly controls: OrbitControls;
  private readonly watcher: ResizeObserver;
  private waiting = 0;
  private led = false;

  /** Throws where the browser has no WebGL2. */
  constructor(
    protected readonly canvas: HTMLCanvasElement,
    up: Direction = [0, 1, 0],
  ) {
    this.camera.up.set(...up); // before the controls, which keep it
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    const key = new DirectionalLight(0xffffff, 2.2);
    key.position.set(0.6, 0.8, 1);
    const fill = new DirectionalLight(0xcfe3ff, 0.9);
    fill.position.set(-1, -0.4, 0.3);
    this.camera.add(key, fill); // the light comes from where one looks
    this.scene.add(this.camera, new AmbientLight(0xffffff, 0.7));
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => {
      this.draw();
      if (!this.led) this.onTurn(this.view);
    });
    this.watcher = new ResizeObserver(() => this.fit());
    this.watcher.observe(canvas);
    canvas.addEventListener("keydown", this.onKey);
    canvas.addEventListener("webglcontextrestored", this.onRestored);
  }

  get view(): View {
    return { position: this.camera.position.toArray(), target: this.controls.target.toArray() };
  }

  /** Look from where another stage does, without telling. */
  follow({ position, target }: View): void {
    this.led = true;
    this.camera.position.set(...position);
    this.controls.target.set(...target);
    this.controls.update();
    this.led = false;
    this.draw();
  }

  /** Look along -z, everything in sight. */
  reset(): void {
    this.look([0, 0, 1.9 * this.extent]);
  }

  /** Look from a place at the middle. */
  protected look(place: readonly [number, number, number]): void {
    this.camera.position.set(...place);
    this.camera.near = this.extent / 100;
    this.camera.far = 20 * this.extent;
    this.camera.updateProjectionMatrix();
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.draw();
  }

  /** The picture as it stands. */
  picture(): HTMLCanvasElement {
    this.renderer.render(this.scene, this.camera);
    const copy = document.createElement("canvas");
    copy.width = this.canvas.width;
    copy.height = this.canvas.height;
    copy.getContext("2d")?.drawImage(this.canvas, 0, 0);
    return copy;
  }

  /** Size of a pixel of the picture at the distance of what is turned about, in the units of what is shown. */
  get pixel(): number {
    const distance = this.camera.position.distanceTo(this.controls.target);
    return (2 * Math.tan((this.camera.fov * Math.PI) / 360) * distance) / this.canvas.height;
  }

  dispose(): void {
    cancelAnimationFrame(this.waiting);
    this.watcher.disconnect();
    this.canvas.removeEventListener("keydown", this.onKey);
    this.canvas.removeEventListener("webglcontextrestored", this.onRestored);
    this.controls.dispose();
    this.renderer.dispose();
  }

  protected draw(): void {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.renderer.render(this.scene, this.camera);
    });
  }

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || height === 0) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  /** A context that was lost comes back empty; three loads everything again when it draws. */
  private readonly onRestored = (): void => this.draw();

  /** Arrows turn, plus and minus zoom, 0 goes back. */
  private readonly onKey = (event: KeyboardEvent): void => {
    const turns: Record<string, readonly [number, number]> = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, -TURN], ArrowDown: [0, TURN] };
    const turn = turns[event.key];
    const zoom = { "+": NEARER, "=": NEARER, "-": 1 / NEARER }[event.key];
    if (event.key === "0") this.reset();
    else if (turn || zoom) this.move(turn ?? [0, 0], zoom ?? 1);
    else return;
    event.preventDefault();
  };

  private move([around, down]: readonly [number, number], zoom: number): void {
    const upright = new Quaternion().setFromUnitVectors(this.camera.up, new Vector3(0, 1, 0));
    const place = new Spherical().setFromVector3(this.camera.position.clone().sub(this.controls.target).applyQuaternion(upright));
    place.theta += around;
    place.phi += down;
    place.radius *= zoom;
    this.camera.position.copy(new Vector3().setFromSpherical(place.makeSafe()).applyQuaternion(upright.invert()).add(this.controls.target));
    this.controls.update();
  }
}
