/** Picks drawn over a micrograph. */

import { viridis } from "./colours";
import type { Image2d } from "./image2d";
import type { Point } from "./view";

export interface Circle extends Point {
  /** 0 to 1 from the worst to the best; null: by hand, which also has a dot in its middle. */
  score: number | null;
}

const BY_HAND = "#ff9d3c";
const SHADES = 12;

/** Draw circles of a diameter in image px; those of one colour in one stroke, as there may be thousands. */
export function drawCircles(context: CanvasRenderingContext2D, image: Image2d, circles: readonly Circle[], diameter: number): void {
  const radius = Math.max((diameter * image.view.scale) / 2, 3);
  const groups = new Map<string, Path2D>();
  const all = new Path2D();
  const dots = new Path2D();
  for (const circle of circles) {
    const { x, y } = image.toScreen(circle);
    if (x < -radius || y < -radius || x > image.screen.width + radius || y > image.screen.height + radius) continue;
    const colour = circle.score === null ? BY_HAND : viridis(0.35 + 0.65 * (Math.round(circle.score * SHADES) / SHADES));
    let path = groups.get(colour);
    if (!path) groups.set(colour, (path = new Path2D()));
    for (const each of [path, all]) {
      each.moveTo(x + radius, y);
      each.arc(x, y, radius, 0, 2 * Math.PI);
    }
    if (circle.score === null) {
      dots.moveTo(x + 2, y);
      dots.arc(x, y, 2, 0, 2 * Math.PI);
    }
  }
  context.lineWidth = 3.5;
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.stroke(all);
  context.lineWidth = 1.8;
  for (const [colour, path] of groups) {
    context.strokeStyle = colour;
    context.stroke(path);
  }
  context.fillStyle = BY_HAND;
  context.fill(dots);
}
