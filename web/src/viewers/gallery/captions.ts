/** What stands below the images of each kind, by what they can be sorted, and how large a sheet is asked for. */

import type { Column } from "../../api/schema";
import { number } from "../../ui/format";

/** Images on one page: all classes there usually are; of particles as many as a screen or two holds. */
export const PAGE = { classes: 256, particles: 200 } as const;

const FIRST: Record<string, readonly string[]> = {
  classes2d: ["count", "resolution", "quality", "class_id"],
  classes3d: ["count", "resolution", "class_id"],
  particles: ["score", "match", "max_probability", "micrograph_id"],
  coordinates: ["score", "strength", "micrograph_id"],
};

/** Columns to sort by, those that tell most first. */
export function sortsOf(kind: string, columns: readonly Column[]): string[] {
  const names = columns.filter((each) => each.type !== "list").map((each) => each.name);
  const first = (FIRST[kind] ?? []).filter((name) => names.includes(name));
  return [...first, ...names.filter((name) => !first.includes(name))];
}

const SIZES = [64, 96, 128, 192, 256];

/** The side that a sheet's images are asked for at: few different ones, so that zooming asks seldom. */
export const sheetSize = (size: number): number => SIZES.find((each) => each >= size) ?? 256;

/** Å with one digit behind the point. */
const angstrom = (value: unknown): string => (typeof value === "number" ? `${value.toFixed(1)} Å` : "");

export function captionOf(kind: string, sort: string, values: Record<string, unknown>): string {
  if (kind.startsWith("classes")) {
    const parts = [number(values.count), angstrom(values.resolution ?? values.estimated_resolution)];
    if (sort === "quality") parts.push(`q ${number(values.quality)}`);
    return parts.filter(Boolean).join(" · ");
  }
  const shown = sort && values[sort] !== undefined ? values[sort] : values.score;
  return shown === undefined || shown === null ? "" : number(shown);
}
