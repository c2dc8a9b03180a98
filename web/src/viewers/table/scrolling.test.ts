import { describe, expect, it } from "vitest";
import { geometry, showing, TALLEST, toElement, toRows, window } from "./scrolling";

const VIEW = 500;
const ROW = 28;

describe("a million rows", () => {
  const shape = geometry(1_000_000, ROW, VIEW);

  it("stand for an element that no browser cuts off", () => {
    expect(shape.whole).toBe(28_000_000);
    expect(shape.shown).toBe(TALLEST);
  });

  it("begin at the top and end at the bottom of the bar", () => {
    expect(toRows(0, shape)).toBe(0);
    expect(toRows(TALLEST - VIEW, shape)).toBe(shape.whole - VIEW);
    expect(window(toRows(TALLEST - VIEW, shape), ROW, VIEW, 1_000_000)[1]).toBe(1_000_000);
  });

  it("come back to where they were", () => {
    for (const offset of [0, 28, 1234.5, 14e6, shape.whole - VIEW]) expect(toRows(toElement(offset, shape), shape)).toBeCloseTo(offset, 3);
  });

  it("draw few at a time, whatever the place", () => {
    for (const offset of [0, 5e6, 27_999_500]) {
      const [from, until] = window(offset, ROW, VIEW, 1_000_000);
      expect(until - from).toBeLessThan(40);
      expect(from * ROW).toBeLessThanOrEqual(offset);
      expect(until * ROW).toBeGreaterThanOrEqual(offset + VIEW);
    }
  });
});

it("few rows are as high as they are", () => {
  const shape = geometry(20, ROW, VIEW);
  expect(toRows(13, shape)).toBeCloseTo(13);
  expect(geometry(3, ROW, VIEW)).toEqual({ whole: 84, shown: 84, view: VIEW });
  expect([toRows(0, geometry(3, ROW, VIEW)), toElement(0, geometry(3, ROW, VIEW))]).toEqual([0, 0]);
  expect(window(0, ROW, VIEW, 3)).toEqual([0, 3]);
});

it("a row is brought into sight by the least movement", () => {
  expect(showing(5, 0, ROW, VIEW)).toBe(0);
  expect(showing(0, 280, ROW, VIEW)).toBe(0);
  expect(showing(100, 0, ROW, VIEW)).toBe(101 * ROW - VIEW);
});
