/** The picks, the region, the cursor and what is being drawn, over the micrograph. */

import { drawCircles } from "../../gl/circles";
import type { Image2d } from "../../gl/image2d";
import type { Point } from "../../gl/view";
import type { Region, Sheet } from "./edits";
import type { Sketch } from "./tools";

export interface Scene {
  sheet: Sheet | undefined;
  /** Of a particle, and the side of its box, px. */
  diameter: number;
  box: number;
  sketch: Sketch;
  /** Where keys pick; null while nobody uses them. */
  cursor: Point | null;
  hovered: Point | null;
  boxes: boolean;
}

const BRIGHT = "#ffe066";

export function drawScene(context: CanvasRenderingContext2D, image: Image2d, scene: Scene): void {
  const { sheet, diameter, box, sketch, cursor } = scene;
  if (sheet?.region) drawRegion(context, image, sheet.region);
  drawCircles(context, image, sheet?.picks ?? [], diameter);
  if (scene.boxes) drawBoxes(context, image, sheet?.picks ?? [], box);
  if (sketch) drawSketch(context, image, sketch);
  if (cursor) drawCursor(context, image, cursor, diameter);
}

function drawBoxes(context: CanvasRenderingContext2D, image: Image2d, picks: readonly Point[], side: number): void {
  const size = side * image.view.scale;
  context.strokeStyle = "rgb(255 255 255 / 55%)";
  context.lineWidth = 1;
  context.beginPath();
  for (const pick of picks) {
    const { x, y } = image.toScreen(pick);
    context.rect(x - size / 2, y - size / 2, size, size);
  }
  context.stroke();
}

/** What is outside of the region is darker. */
function drawRegion(context: CanvasRenderingContext2D, image: Image2d, [left, top, right, bottom]: Region): void {
  const [a, b] = [image.toScreen({ x: left, y: top }), image.toScreen({ x: right, y: bottom })];
  context.fillStyle = "rgb(0 0 0 / 35%)";
  context.beginPath();
  context.rect(0, 0, image.screen.width, image.screen.height);
  context.rect(a.x, a.y, b.x - a.x, b.y - a.y);
  context.fill("evenodd");
  context.setLineDash([6, 4]);
  context.strokeStyle = BRIGHT;
  context.lineWidth = 1.5;
  context.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
  context.setLineDash([]);
}

function drawSketch(context: CanvasRenderingContext2D, image: Image2d, sketch: NonNullable<Sketch>): void {
  if (sketch.kind === "region") return drawRegion(context, image, sketch.region);
  context.strokeStyle = BRIGHT;
  context.lineWidth = 1.5;
  context.beginPath();
  if (sketch.kind === "brush") {
    const { x, y } = image.toScreen(sketch.at);
    context.arc(x, y, sketch.radius * image.view.scale, 0, 2 * Math.PI);
  } else {
    sketch.corners.map((corner) => image.toScreen(corner)).forEach(({ x, y }) => context.lineTo(x, y));
  }
  context.stroke();
}

function drawCursor(context: CanvasRenderingContext2D, image: Image2d, cursor: Point, diameter: number): void {
  const { x, y } = image.toScreen(cursor);
  const size = Math.max((diameter * image.view.scale) / 2, 8);
  for (const [colour, width] of [["#000", 4], ["#fff", 1.5]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + dx * 3, y + dy * 3);
      context.lineTo(x + dx * size, y + dy * size);
    }
    context.stroke();
  }
}
