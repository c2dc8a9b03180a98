import { expect, test } from "vitest";
import { idRanges, sortedRows } from "./sorting";

test("rows without a value come last both ways", () => {
  const values = [3, null, 1, 2, null];
  expect(sortedRows(5, values, false)).toEqual([2, 3, 0, 1, 4]);
  expect(sortedRows(5, values, true)).toEqual([0, 3, 2, 1, 4]);
  expect(sortedRows(3, null, true)).toEqual([0, 1, 2]);
});

test("names with numbers are in the order of these", () => {
  expect(sortedRows(3, ["m10", "m9", "m1"], false)).toEqual([2, 1, 0]);
});

test("ids become ranges", () => {
  expect(idRanges([8, 1, 3, 5, 6, 7])).toBe("1,3,5-8");
  expect(idRanges([])).toBe("");
});
