import { expect, test } from "vitest";
import type { FieldSchema } from "../api/queries";
import { choices, isEmpty, isOptional, isSame, isShown, tupleLength, valuesOf, written } from "./values";

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

test("values are the same as typed and as a run keeps them, empty ones as their default", () => {
  expect(isSame(number, "2.50", 2.5)).toBe(true);
  expect(isSame(number, "2.6", 2.5)).toBe(false);
  expect(isSame({ ...number, default: 3 }, undefined, 3)).toBe(true);
  expect(isSame({ ...number, default: 3 }, "", 4)).toBe(false);
  expect(isSame(number, undefined, null)).toBe(true);
  const text = { type: "string" } as FieldSchema;
  expect(isSame(text, "1, 2", ["1", "2"])).toBe(true);
  expect(isSame({ type: "boolean", default: false } as FieldSchema, undefined, false)).toBe(true);
  expect(isSame({ type: "boolean", default: false } as FieldSchema, true, false)).toBe(false);
});

test("zero and no are values", () => {
  expect([0, false, "", [], null, undefined].map(isEmpty)).toEqual([false, false, true, true, true, true]);
  expect([0, false, [1, 2], null].map(written)).toEqual(["0", "false", "1, 2", ""]);
});

test("a field of three numbers has three places", () => {
  const three = { anyOf: [{ type: "array", prefixItems: [number, number, number] }, empty] } as FieldSchema;
  expect(tupleLength(three)).toBe(3);
  expect(tupleLength(number)).toBe(0);
});

test("a run's inputs are filled in as outputs, one or several", () => {
  const one = { run: "r002", output: "micrographs", hash: "x" };
  expect(valuesOf({ inputs: { micrographs: one, others: [one, { ...one, run: "r003" }] }, parameters: { box: 64 } })).toEqual({
    box: 64,
    micrographs: "r002.micrographs",
    others: ["r002.micrographs", "r003.micrographs"],
  });
});
