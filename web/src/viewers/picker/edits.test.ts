import { expect, test } from "vitest";
import { applied, holds, inside, nearest, under, type Pick, type Sheet } from "./edits";

const pick = (number: number, x: number, y: number, score: number | null = null): Pick => ({ number, x, y, score });
const sheet: Sheet = { picks: [pick(1, 10, 10), pick(2, 14, 10, 0.7), pick(3, 100, 50)], region: null, state: "manual" };

test("of overlapping picks only the nearest is found, and none out of reach", () => {
  expect(nearest(sheet.picks, { x: 13, y: 10 }, 20)?.number).toBe(2);
  expect(nearest(sheet.picks, { x: 50, y: 50 }, 20)).toBeNull();
});

test("the brush takes all that is under it", () => {
  expect(under(sheet.picks, { x: 12, y: 10 }, 5)).toEqual([1, 2]);
});

test("a polygon holds what is inside of it, also where it is not convex", () => {
  const bent = [{ x: 0, y: 0 }, { x: 20, y: 0 }, { x: 20, y: 20 }, { x: 12, y: 20 }, { x: 12, y: 5 }, { x: 0, y: 5 }];
  expect(inside(sheet.picks, bent)).toEqual([2]);
});

test("edits do what they say and leave the sheet before as it was", () => {
  const moved = applied(sheet, { do: "move", number: 2, x: 20, y: 21 });
  expect(moved.picks[1]).toEqual(pick(2, 20, 21, null));
  expect(applied(moved, { do: "remove", numbers: [1, 3] }).picks.map((each) => each.number)).toEqual([2]);
  expect(applied(sheet, { do: "add", picks: [pick(-1, 5, 6)] }).picks).toHaveLength(4);
  expect(applied(sheet, { do: "region", region: [0, 0, 5, 5] }).region).toEqual([0, 0, 5, 5]);
  expect(sheet.picks).toHaveLength(3);
});

test("edits of picks that are gone no longer hold", () => {
  expect(holds(sheet, { do: "remove", numbers: [1, 9] })).toBe(false);
  expect(holds(sheet, { do: "move", number: 3, x: 0, y: 0 })).toBe(true);
  expect(holds(sheet, { do: "add", picks: [] })).toBe(true);
});
