/** What a form holds, and which of its fields matter. */

import type { FieldSchema } from "../api/queries";
import type { RunDetail } from "../api/schema";
import { references } from "../run/ParametersTab";

export type Values = Record<string, unknown>;

/** The types that a field's value may have, optional ones included. */
export const alternatives = (field: FieldSchema): FieldSchema[] => field.anyOf?.flatMap(alternatives) ?? [field];

/** The choices of a field, empty when it has none. */
export const choices = (field: FieldSchema): (string | number)[] => alternatives(field).flatMap((each) => each.enum ?? (each.const === undefined ? [] : [each.const]));

export const isOptional = (field: FieldSchema): boolean => alternatives(field).some((each) => each.type === "null");

/** How many values a field of a fixed number of them has; 0 for any other field. */
export const tupleLength = (field: FieldSchema): number => alternatives(field).find((each) => each.prefixItems)?.prefixItems?.length ?? 0;

export const isNumeric = (field: FieldSchema): boolean => {
  const types = alternatives(field).map((each) => each.type);
  return types.some((type) => type === "number" || type === "integer") && !types.includes("string") && !types.includes("array");
};

/** Whether nothing was given: the default then counts. */
export const isEmpty = (value: unknown): boolean => value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);

/** A value as a field shows it. */
export const written = (value: unknown): string => (Array.isArray(value) ? value.map(String).join(", ") : isEmpty(value) ? "" : String(value));

/** Whether a field is asked for: its level, and what it hangs on (``x-when``: ``name`` or ``name=value``). */
export function isShown(field: FieldSchema, values: Values, all: Record<string, FieldSchema>, advanced: boolean): boolean {
  if (field["x-advanced"] && !advanced) return false;
  const when = field["x-when"];
  if (!when) return true;
  const [name = "", wanted] = when.split("=");
  const value = values[name] ?? all[name]?.default;
  return wanted === undefined ? Boolean(value) : String(value) === wanted;
}

/** The inputs and parameters of a run, as a form holds them. */
export function valuesOf(run: Pick<RunDetail, "inputs" | "parameters">): Values {
  const inputs = Object.entries(run.inputs).map(([name, each]) => {
    const found = references(each).map(({ run: id, output }) => `${id}.${output}`);
    return [name, Array.isArray(each) ? found : found[0]] as const;
  });
  return { ...run.parameters, ...Object.fromEntries(inputs) };
}

/** Whether two values of a field mean the same: typed texts are compared with what a run keeps, empty ones with the default. */
export function isSame(field: FieldSchema, one: unknown, other: unknown): boolean {
  const [a, b] = [one, other].map((value) => (isEmpty(value) ? field.default : value));
  if (isEmpty(a) || isEmpty(b)) return isEmpty(a) && isEmpty(b);
  if (isNumeric(field)) return Number(a) === Number(b);
  const plain = (value: unknown) => written(value).split(",").map((part) => part.trim()).join(",");
  return plain(a) === plain(b);
}
