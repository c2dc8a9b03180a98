/** Chosen rows, without knowing them: a rule, and the ids of rows for which it is the other way round. */

import type { Chosen } from "../api/sets";

export interface Selection {
  /** A rule that chosen rows follow; "": all rows, null: none. */
  where: string | null;
  /** Ids of rows that were chosen or left out by hand. */
  flipped: ReadonlySet<number>;
}

export const NOTHING: Selection = { where: null, flipped: new Set() };

/** Most rows that may be chosen by hand, as the server has it. */
export const MOST = 200_000;

export const ofRule = (where: string): Selection => ({ where: where.trim(), flipped: new Set() });

export const isEmpty = ({ where, flipped }: Selection): boolean => where === null && flipped.size === 0;

/** Whether a row is chosen; `follows`: it follows the rule (of no importance where there is none). */
export function isChosen({ where, flipped }: Selection, id: number, follows = false): boolean {
  const base = where === null ? false : where === "" ? true : follows;
  return base !== flipped.has(id);
}

/** Choose a row, or leave it out. */
export function toggled(selection: Selection, id: number): Selection {
  const flipped = new Set(selection.flipped);
  if (!flipped.delete(id)) flipped.add(id);
  return { ...selection, flipped };
}

/** Choose some rows in addition; each with whether it is chosen already. */
export function withRows(selection: Selection, rows: Iterable<readonly [id: number, chosen: boolean]>): Selection {
  const flipped = new Set(selection.flipped);
  for (const [id, chosen] of rows) {
    if (chosen) continue;
    if (!flipped.delete(id)) flipped.add(id);
  }
  return { ...selection, flipped };
}

/** What is not chosen. Rows for which the rule is unknown follow neither it nor its opposite. */
export function inverted({ where, flipped }: Selection): Selection {
  if (where === null) return { where: "", flipped };
  if (where === "") return { where: null, flipped };
  const inner = /^not \((.*)\)$/s.exec(where)?.[1];
  return { where: inner !== undefined && balanced(inner) ? inner : `not (${where})`, flipped };
}

/** Whether every bracket of a rule is closed within it, so that one around it can be taken off. */
function balanced(rule: string): boolean {
  let depth = 0;
  for (const sign of rule.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, "")) {
    if (sign === "(") depth += 1;
    if (sign === ")" && --depth < 0) return false;
  }
  return depth === 0;
}

export const toServer = ({ where, flipped }: Selection): Chosen => ({ where, flipped: [...flipped].sort((a, b) => a - b) });

/** A selection as text that outlives a reload. */
export const written = (selection: Selection): string => JSON.stringify(toServer(selection));

export function read(text: string | null): Selection {
  if (!text) return NOTHING;
  try {
    const { where, flipped } = JSON.parse(text) as Chosen;
    const ids = Array.isArray(flipped) ? flipped.filter(Number.isInteger) : [];
    return { where: typeof where === "string" ? where : null, flipped: new Set(ids) };
  } catch {
    return NOTHING; // not written by us: nothing is chosen
  }
}
