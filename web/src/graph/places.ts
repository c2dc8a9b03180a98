/** Where boxes stand: where the server put them, unless somebody moved them; and the way from box to box by keyboard. */

import type { Graph, RunNode } from "../api/schema";

export interface Point {
  x: number;
  y: number;
}

export const BOX = { width: 238, height: 104 };
export const STEP = { x: 278, y: 146 };
/** Magnification below which a box cannot be read; nothing goes below it but by somebody's hand. */
export const READABLE = 0.72;

export type Moved = Readonly<Record<string, Point>>;

const key = (project: string): string => `cryoloom-places-${project}`;

/** The boxes of a project that were moved, kept by the browser. */
export function keptPlaces(project: string): Moved {
  try {
    return JSON.parse(localStorage.getItem(key(project)) ?? "{}") as Moved;
  } catch {
    return {};
  }
}

export function keepPlaces(project: string, moved: Moved): void {
  if (Object.keys(moved).length === 0) localStorage.removeItem(key(project));
  else localStorage.setItem(key(project), JSON.stringify(moved));
}

/** The place of a box, in pixels at full size. */
export function placeOf(graph: Graph, moved: Moved, run: string): Point {
  const [column, row] = graph.places[run] ?? [0, 0];
  return moved[run] ?? { x: column * STEP.x, y: row * STEP.y };
}

export interface View extends Point {
  zoom: number;
}

/** The first view: fitted to the width as far as boxes stay readable, and at the lower end of it the run made last. */
export function firstView(graph: Graph, moved: Moved, width: number, height: number): View {
  const places = graph.nodes.map((node) => placeOf(graph, moved, node.run));
  const left = Math.min(...places.map((place) => place.x));
  const right = Math.max(...places.map((place) => place.x)) + BOX.width;
  const top = Math.min(...places.map((place) => place.y));
  const margin = 28;
  const zoom = Math.min(1, Math.max(READABLE, (width - 2 * margin) / (right - left)));
  const newest = graph.nodes.reduce((last, node) => (node.created >= last.created ? node : last));
  const end = placeOf(graph, moved, newest.run);
  const fits = (right - left) * zoom <= width;
  const x = fits ? (width - (left + right) * zoom) / 2 : width / 2 - (end.x + BOX.width / 2) * zoom;
  const y = Math.min(margin - top * zoom, height - margin - (end.y + BOX.height) * zoom);
  return { x, y, zoom };
}

export type Arrow = "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight";

/** The run that an arrow key leads to: up and down along the edges, left and right to the next box at about the same height. */
export function neighbour(graph: Graph, moved: Moved, run: string, arrow: Arrow): string | undefined {
  const here = placeOf(graph, moved, run);
  const node = graph.nodes.find((each) => each.run === run);
  const away = (each: RunNode): number => {
    const there = placeOf(graph, moved, each.run);
    return Math.hypot(there.x - here.x, there.y - here.y);
  };
  const nearest = (among: RunNode[]) => among.reduce<RunNode | undefined>((best, each) => (best && away(best) <= away(each) ? best : each), undefined)?.run;
  if (arrow === "ArrowUp") {
    const parents = new Set(node?.inputs.map((link) => link.run));
    return nearest(graph.nodes.filter((each) => parents.has(each.run)));
  }
  if (arrow === "ArrowDown") return nearest(graph.nodes.filter((each) => each.inputs.some((link) => link.run === run)));
  const side = arrow === "ArrowLeft" ? -1 : 1;
  return nearest(
    graph.nodes.filter((each) => {
      const there = placeOf(graph, moved, each.run);
      return (there.x - here.x) * side > BOX.width / 4 && Math.abs(there.y - here.y) < STEP.y / 2;
    }),
  );
}

/** A line from box to box; one that passes other rows goes around them, in the gap beside the column it starts from. */
export function line(from: Point, to: Point): string {
  const gap = STEP.y - BOX.height;
  if (to.y - from.y <= gap * 1.5) {
    const bend = Math.max(18, Math.abs(to.y - from.y) / 2);
    return `M${from.x},${from.y} C${from.x},${from.y + bend} ${to.x},${to.y - bend} ${to.x},${to.y}`;
  }
  const side = to.x < from.x ? -1 : 1;
  const knee = gap / 2;
  const r = Math.min(8, knee);
  const beside = from.x + side * (BOX.width / 2 + (STEP.x - BOX.width) / 2);
  const lane = Math.abs(beside - to.x) < 3 * r ? to.x : beside;
  const after = lane < to.x ? 1 : -1;
  if (lane === to.x) return `M${from.x},${from.y} V${from.y + knee - r} Q${from.x},${from.y + knee} ${from.x + side * r},${from.y + knee} H${lane - side * r} Q${lane},${from.y + knee} ${lane},${from.y + knee + r} V${to.y}`;
  return [
    `M${from.x},${from.y} V${from.y + knee - r} Q${from.x},${from.y + knee} ${from.x + side * r},${from.y + knee}`,
    `H${lane - side * r} Q${lane},${from.y + knee} ${lane},${from.y + knee + r}`,
    `V${to.y - knee - r} Q${lane},${to.y - knee} ${lane + after * r},${to.y - knee}`,
    `H${to.x - after * r} Q${to.x},${to.y - knee} ${to.x},${to.y - knee + r} V${to.y}`,
  ].join(" ");
}
