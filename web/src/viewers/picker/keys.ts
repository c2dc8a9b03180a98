/** Picking without a mouse: arrows move a cursor, Enter picks, Delete removes the nearest. */

import { useEffect, type KeyboardEvent, type RefObject } from "react";
import type { Image2d } from "../../gl/image2d";
import type { Point, Size } from "../../gl/view";
import { reach, type Tool } from "./tools";

interface Wanted {
  cursor: RefObject<Point | null>;
  hovered: Point | null;
  size: Size;
  image: RefObject<Image2d | null>;
  diameter: number;
  go: (step: number) => void;
  setTool: (tool: Tool) => void;
  undo: () => void;
  redo: () => void;
  add: (place: Point) => void;
  remove: (place: Point, within: number) => boolean;
}

/** Px of the screen that an arrow moves the cursor; with Shift it is 1 px of the image. */
const STEP = 10;
const EDGE = 24;
const ARROWS: Record<string, readonly [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TOOLS: Record<string, Tool> = { p: "pick", e: "erase", l: "lasso", r: "region" };

export function usePickKeys(wanted: Wanted) {
  const { undo, redo } = wanted;
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (typing || event.key.toLowerCase() !== "z" || event.altKey) return;
      event.preventDefault();
      if (event.shiftKey) redo();
      else undo();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [undo, redo]);

  return (event: KeyboardEvent, image: Image2d): boolean => {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const { cursor, hovered, size, diameter, go, setTool, add, remove } = wanted;
    const place = cursor.current ?? hovered ?? { x: Math.round(image.view.x), y: Math.round(image.view.y) };
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = event.shiftKey ? 1 : STEP / image.view.scale;
      cursor.current = {
        x: Math.min(Math.max(place.x + arrow[0] * step, 0), size.width - 1),
        y: Math.min(Math.max(place.y + arrow[1] * step, 0), size.height - 1),
      };
      follow(image, cursor.current);
      return true;
    }
    const tool = TOOLS[event.key.toLowerCase()];
    if (event.key === "Enter") add((cursor.current ??= place));
    else if (event.key === "Delete" || event.key === "Backspace") remove((cursor.current ??= place), reach(diameter, 1 / image.view.scale));
    else if (event.key === "PageDown") go(1);
    else if (event.key === "PageUp") go(-1);
    else if (event.key === "Escape" && cursor.current) cursor.current = null;
    else if (tool) setTool(tool);
    else return false;
    image.redrawOver();
    return true;
  };
}

/** Keep the cursor on the screen. */
function follow(image: Image2d, cursor: Point): void {
  const { x, y } = image.toScreen(cursor);
  const over = (at: number, length: number) => Math.max(at - (length - EDGE), 0) + Math.min(at - EDGE, 0);
  const [dx, dy] = [over(x, image.screen.width), over(y, image.screen.height)];
  if (dx || dy) image.pan(-dx, -dy);
  else image.redrawOver();
}
