import { expect, it } from "vitest";
import { taken } from "./taken";

const brush = [{ column: "a", low: 1, high: 2 }];

it("a brush takes the place of the one before it on its column, and keeps the others", () => {
  expect(taken("", brush, "and")).toBe("a between 1 and 2");
  expect(taken("a >= 9 and b <= 3", brush, "and")).toBe("b <= 3 and a between 1 and 2");
  expect(taken("a >= 9 and b <= 3", [{ column: "a", low: null, high: null }], "and")).toBe("b <= 3");
});

it("a rule that says more is narrowed, or widened", () => {
  expect(taken("a > 5 or b < 3", brush, "and")).toBe("(a > 5 or b < 3) and a between 1 and 2");
  expect(taken("a >= 5", brush, "or")).toBe("a >= 5 or a between 1 and 2");
});
