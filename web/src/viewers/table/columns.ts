/** Which columns a table shows at first, how wide each is, and where the user's own choice is kept. */

import type { Column } from "../../api/schema";

/** Columns that say where something lies or of what it was made: there on request. */
const TECHNICAL = /(_path|blake3|_quick|^stack_index|^optics_group|^magnification|^voltage|^cs|^amplitude_contrast|^movie_pixel_size|^micrograph_pixel_size|^phase_flipped|^ctf_premultiplied|^contrast|^box_size)$/;

export const usual = (columns: readonly Column[]): string[] => columns.map((each) => each.name).filter((name) => !TECHNICAL.test(name));

const key = (kind: string) => `cryoloom-columns:${kind}`;

/** The chosen columns that a set has, in the order chosen. */
export function chosenColumns(kind: string, columns: readonly Column[]): string[] {
  const known = new Set(columns.map((each) => each.name));
  try {
    const kept = JSON.parse(localStorage.getItem(key(kind)) ?? "[]") as string[];
    const there = kept.filter((name) => known.has(name));
    if (there.length > 0) return there;
  } catch {
    // not written by us
  }
  return usual(columns);
}

export const keepColumns = (kind: string, names: readonly string[]): void => localStorage.setItem(key(kind), JSON.stringify(names));

/** In px: the name, its unit and the arrow of a sorted column fit. */
export const width = ({ name, type, unit }: Column): number =>
  Math.min(280, Math.max(type === "text" ? 170 : 92, Math.ceil(36 + 8.2 * name.length + (unit ? 8 + 8 * unit.length : 0))));
