/** Picks of one micrograph and what is done with them; a pick that the server has not numbered yet has a number below 0. */

import type { Point } from "../../gl/view";

export interface Pick extends Point {
  number: number;
  /** The model's; null for one by hand. */
  score: number | null;
}

/** Left, top, right, bottom, px. */
export type Region = readonly [number, number, number, number];

export interface Sheet {
  picks: readonly Pick[];
  region: Region | null;
  state: string;
}

export type Edit =
  | { do: "add"; picks: readonly Pick[] }
  | { do: "remove"; numbers: readonly number[] }
  | { do: "move"; number: number; x: number; y: number }
  | { do: "region"; region: Region | null };

export function applied(sheet: Sheet, edit: Edit): Sheet {
  switch (edit.do) {
    case "add":
      return { ...sheet, picks: [...sheet.picks, ...edit.picks] };
    case "remove":
      return { ...sheet, picks: sheet.picks.filter((pick) => !edit.numbers.includes(pick.number)) };
    case "move":
      return { ...sheet, picks: sheet.picks.map((pick) => (pick.number === edit.number ? { ...pick, x: edit.x, y: edit.y, score: null } : pick)) };
    case "region":
      return { ...sheet, region: edit.region };
  }
}

/** The picks that an edit needs. */
const needed = (edit: Edit): readonly number[] => (edit.do === "remove" ? edit.numbers : edit.do === "move" ? [edit.number] : []);

/** Whether an edit still makes sense on other picks than it was made on. */
export function holds(sheet: Sheet, edit: Edit): boolean {
  const there = new Set(sheet.picks.map((pick) => pick.number));
  return needed(edit).every((number) => there.has(number));
}

/** The edit with the server's numbers in place of our own. */
export function numbered(edit: Edit, numbers: ReadonlyMap<number, number>): Edit {
  const of = (number: number) => numbers.get(number) ?? number;
  if (edit.do === "remove") return { ...edit, numbers: edit.numbers.map(of) };
  if (edit.do === "move") return { ...edit, number: of(edit.number) };
  return edit;
}

/** The pick nearest to a place, if it is within reach; px. */
export function nearest(picks: readonly Pick[], place: Point, reach: number): Pick | null {
  let [found, least]: [Pick | null, number] = [null, reach];
  for (const pick of picks) {
    const away = Math.hypot(pick.x - place.x, pick.y - place.y);
    if (away <= least) [found, least] = [pick, away];
  }
  return found;
}

/** The numbers of all picks within a radius. */
export const under = (picks: readonly Pick[], place: Point, radius: number): number[] =>
  picks.filter((pick) => Math.hypot(pick.x - place.x, pick.y - place.y) <= radius).map((pick) => pick.number);

/** The numbers of all picks inside of a polygon. */
export function inside(picks: readonly Pick[], corners: readonly Point[]): number[] {
  return picks.filter(({ x, y }) => {
    let odd = false;
    corners.forEach((a, place) => {
      const b = corners[(place + 1) % corners.length] as Point;
      if (a.y > y !== b.y > y && x < a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x)) odd = !odd;
    });
    return odd;
  }).map((pick) => pick.number);
}
