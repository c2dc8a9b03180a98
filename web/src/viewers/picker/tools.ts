/** What the pointer does with picks. */

import type { Drag, Pointed } from "../../gl/ImageCanvas";
import type { Point } from "../../gl/view";
import type { Desk } from "./desk";
import { inside, nearest, under, type Region } from "./edits";

export type Tool = "pick" | "erase" | "lasso" | "region";

/** What is being drawn with the pointer. */
export type Sketch = { kind: "brush"; at: Point; radius: number } | { kind: "lasso"; corners: Point[] } | { kind: "region"; region: Region } | null;

interface Bench {
  desk: Desk;
  micrograph: number;
  tool: Tool;
  /** Of a particle, px. */
  diameter: number;
  /** Of the brush, px. */
  brush: number;
  size: { width: number; height: number };
  sketch: (sketch: Sketch) => void;
}

/** Nearer than this many px of the screen to its middle, a pick is taken hold of however small it is drawn. */
const GRIP = 6;

export const rectangle = (a: Point, b: Point): Region => [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];

const within = (place: Point, { width, height }: Bench["size"]): Point => ({
  x: Math.min(Math.max(place.x, -0.5), width - 0.5),
  y: Math.min(Math.max(place.y, -0.5), height - 0.5),
});

export const onImage = ({ x, y }: Point, { width, height }: Bench["size"]): boolean => x >= -0.5 && y >= -0.5 && x <= width - 0.5 && y <= height - 0.5;

/** How near a place must be to a pick to mean it. */
export const reach = (diameter: number, unit: number): number => Math.max(diameter / 2, GRIP * unit);

/** A click of the tool that adds: with Shift it takes away the nearest pick, and only that. */
export function click({ desk, micrograph, tool, diameter, size }: Bench, place: Point, { shift, unit }: Pointed): void {
  if (tool !== "pick") return;
  if (shift) removeNearest(desk, micrograph, place, reach(diameter, unit));
  else if (onImage(place, size)) desk.edit(micrograph, { do: "add", picks: [desk.pick(place.x, place.y)] });
}

export function removeNearest(desk: Desk, micrograph: number, place: Point, within: number): boolean {
  const found = nearest(desk.sheet(micrograph)?.picks ?? [], place, within);
  if (found) desk.edit(micrograph, { do: "remove", numbers: [found.number] });
  return found !== null;
}

/** What a drag from a place does; null: it moves the image. */
export function press(bench: Bench, place: Point, pointed: Pointed): Drag | null {
  switch (bench.tool) {
    case "erase":
      return erasing(bench, place);
    case "lasso":
      return lassoing(bench, place);
    case "region":
      return framing(bench, place);
    case "pick":
      return pointed.shift ? null : moving(bench, place, pointed);
  }
}

function moving({ desk, micrograph, diameter, size, sketch }: Bench, place: Point, { unit }: Pointed): Drag | null {
  // half the radius: a press farther out moves the image, so that one can get along where picks are dense
  const held = nearest(desk.sheet(micrograph)?.picks ?? [], place, Math.max(diameter / 4, GRIP * unit));
  if (!held) return null;
  const to = (now: Point) => within({ x: held.x + now.x - place.x, y: held.y + now.y - place.y }, size);
  return {
    move: (now) => sketch({ kind: "brush", at: to(now), radius: diameter / 2 }),
    end: (now) => {
      sketch(null);
      desk.edit(micrograph, { do: "move", number: held.number, ...to(now) });
    },
  };
}

/** All that the brush went over is one edit. */
function erasing({ desk, micrograph, brush, sketch }: Bench, place: Point): Drag {
  const gone = new Set<number>();
  const over = (now: Point) => {
    under(desk.sheet(micrograph)?.picks ?? [], now, brush / 2).forEach((number) => gone.add(number));
    sketch({ kind: "brush", at: now, radius: brush / 2 });
  };
  over(place);
  return {
    move: over,
    end: (now) => {
      over(now);
      sketch(null);
      if (gone.size) desk.edit(micrograph, { do: "remove", numbers: [...gone] });
    },
  };
}

function lassoing({ desk, micrograph, sketch }: Bench, place: Point): Drag {
  const corners = [place];
  return {
    move: (now) => {
      corners.push(now);
      sketch({ kind: "lasso", corners });
    },
    end: () => {
      sketch(null);
      const numbers = inside(desk.sheet(micrograph)?.picks ?? [], corners);
      if (numbers.length) desk.edit(micrograph, { do: "remove", numbers });
    },
  };
}

function framing({ desk, micrograph, size, sketch }: Bench, place: Point): Drag {
  const of = (now: Point) => rectangle(within(place, size), within(now, size));
  return {
    move: (now) => sketch({ kind: "region", region: of(now) }),
    end: (now) => {
      sketch(null);
      const region = of(now);
      if (region[0] < region[2] && region[1] < region[3]) desk.edit(micrograph, { do: "region", region });
    },
  };
}
