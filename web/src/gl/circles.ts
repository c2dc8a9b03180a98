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
/** Px of the screen: of circles above it few are seen, and a stamp would be a large picture. */
const LARGE = 150;

/** Draw circles of a diameter in image px. Each is a stamp of its colour: stroking thousands of arcs takes a hundred times as long. */
export function drawCircles(context: CanvasRenderingContext2D, image: Image2d, circles: readonly Circle[], diameter: number): void {
  const radius = Math.max((diameter * image.view.scale) / 2, 3);
  const reach = radius + 3;
  const stamps = new Map<string, HTMLCanvasElement>();
  for (const circle of circles) {
    const { x, y } = image.toScreen(circle);
    if (x < -reach || y < -reach || x > image.screen.width + reach || y > image.screen.height + reach) continue;
    const colour = circle.score === null ? BY_HAND : viridis(0.35 + 0.65 * (Math.round(circle.score * SHADES) / SHADES));
    if (radius > LARGE) {
      ring(context, x, y, radius, colour, circle.score === null);
      continue;
    }
    let made = stamps.get(colour);
    if (!made) stamps.set(colour, (made = stamp(radius, colour, circle.score === null)));
    context.drawImage(made, x - reach, y - reach, 2 * reach, 2 * reach);
  }
}

function stamp(radius: number, colour: string, dotted: boolean): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const middle = radius + 3;
  canvas.width = canvas.height = Math.ceil(2 * middle * devicePixelRatio);
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  context.scale(canvas.width / (2 * middle), canvas.height / (2 * middle));
  ring(context, middle, middle, radius, colour, dotted);
  return canvas;
}

function ring(context: CanvasRenderingContext2D, x: number, y: number, radius: number, colour: string, dotted: boolean): void {
  for (const [style, width] of [["rgb(0 0 0 / 55%)", 3.5], [colour, 1.8]] as const) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
  if (!dotted) return;
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, 2, 0, 2 * Math.PI);
  context.fill();
}
