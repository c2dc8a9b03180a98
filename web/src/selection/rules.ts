/** Rules from gestures: a stretch brushed on a plot, a number typed beside it. */

/** A stretch of the values of a column; null: open on that side. */
export interface Stretch {
  column: string;
  low: number | null;
  high: number | null;
}

/** A number as a rule writes it: no more digits than the width of the stretch gives meaning to. */
export function rounded(value: number, width: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  if (!(width > 0)) return Number(value.toPrecision(6));
  const digits = Math.ceil(Math.log10(Math.abs(value) / width)) + 3;
  return Number(value.toPrecision(Math.min(15, Math.max(1, digits))));
}

/** The rule that a stretch is, as the grammar writes it. */
export function ruleOf({ column, low, high }: Stretch): string {
  if (low !== null && high !== null) return `${column} between ${low} and ${high}`;
  if (low !== null) return `${column} >= ${low}`;
  return high !== null ? `${column} <= ${high}` : "";
}

/** All stretches at once. */
export const ruleOfAll = (stretches: readonly Stretch[]): string => stretches.map(ruleOf).filter(Boolean).join(" and ");

const PART = /^\s*([A-Za-z_]\w*)\s*(?:between\s+(\S+)\s+and\s+(\S+)|(>=|<=)\s*(\S+))\s*$/i;

/** The stretches that a rule is made of, one a column; null where it says more than stretches can. */
export function stretchesOf(rule: string): Stretch[] | null {
  if (!rule.trim()) return [];
  const found = new Map<string, Stretch>();
  for (const part of rule.split(/\band\b(?!\s*[-+\d.])/i)) {
    const match = PART.exec(part);
    const column = match?.[1];
    if (!match || !column || found.has(column)) return null;
    const [, , from, until, sign, bound] = match;
    const low = Number(from ?? (sign === ">=" ? bound : NaN));
    const high = Number(until ?? (sign === "<=" ? bound : NaN));
    if (Number.isNaN(low) && Number.isNaN(high)) return null;
    if (from !== undefined && (Number.isNaN(low) || Number.isNaN(high))) return null;
    found.set(column, { column, low: Number.isNaN(low) ? null : low, high: Number.isNaN(high) ? null : high });
  }
  return [...found.values()];
}

/** Two rules as one. */
export function combined(first: string, second: string, how: "and" | "or"): string {
  const parts = [first.trim(), second.trim()].filter(Boolean);
  if (parts.length < 2) return parts[0] ?? "";
  return parts.map((part) => (/\b(and|or|not)\b/i.test(part) && !/^\S+ between \S+ and \S+$/i.test(part) ? `(${part})` : part)).join(` ${how} `);
}
