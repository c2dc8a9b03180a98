import { expect, test } from "vitest";
import type { FieldSchema } from "../api/queries";
import { choices, isOptional, isShown } from "./values";

const number = { type: "number" } as FieldSchema;
const empty = { type: "null" } as FieldSchema;

test("an optional choice among nested alternatives has its choices, and may be empty", () => {
  const field = { anyOf: [{ anyOf: [{ enum: ["a", "b"] }, { const: "c" }] }, empty] } as FieldSchema;
  expect(choices(field)).toEqual(["a", "b", "c"]);
  expect(isOptional(field)).toBe(true);
  expect(choices(number)).toEqual([]);
  expect(isOptional(number)).toBe(false);
});

test("an advanced field is shown on demand only", () => {
  const field = { ...number, "x-advanced": true } as FieldSchema;
  expect(isShown(field, {}, {}, false)).toBe(false);
  expect(isShown(field, {}, {}, true)).toBe(true);
});

test("a field that hangs on another is shown by what that holds, or by its default", () => {
  const all = { mode: { default: "image" } as FieldSchema };
  const field = { ...number, "x-when": "mode=scanner" } as FieldSchema;
  expect(isShown(field, {}, all, true)).toBe(false);
  expect(isShown(field, { mode: "scanner" }, all, true)).toBe(true);
  expect(isShown({ ...number, "x-when": "mode=image" } as FieldSchema, {}, all, true)).toBe(true);
  const switched = { ...number, "x-when": "watch" } as FieldSchema;
  expect(isShown(switched, { watch: false }, {}, true)).toBe(false);
  expect(isShown(switched, { watch: true }, {}, true)).toBe(true);
});
