/** What a form holds, and which of its fields matter. */

import type { FieldSchema } from "../api/queries";

export type Values = Record<string, unknown>;

/** The types that a field's value may have, optional ones included. */
export const alternatives = (field: FieldSchema): FieldSchema[] => field.anyOf?.flatMap(alternatives) ?? [field];

/** The choices of a field, empty when it has none. */
export const choices = (field: FieldSchema): (string | number)[] => alternatives(field).flatMap((each) => each.enum ?? (each.const === undefined ? [] : [each.const]));

export const isOptional = (field: FieldSchema): boolean => alternatives(field).some((each) => each.type === "null");

/** Whether a field is asked for: its level, and what it hangs on (``x-when``: ``name`` or ``name=value``). */
export function isShown(field: FieldSchema, values: Values, all: Record<string, FieldSchema>, advanced: boolean): boolean {
  if (field["x-advanced"] && !advanced) return false;
  const when = field["x-when"];
  if (!when) return true;
  const [name = "", wanted] = when.split("=");
  const value = values[name] ?? all[name]?.default;
  return wanted === undefined ? Boolean(value) : String(value) === wanted;
}
