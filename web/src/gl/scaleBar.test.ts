import { expect, it } from "vitest";
import { roundLength } from "./scaleBar";

it("scale bars are 1, 2 or 5 times a power of ten, as long as there is room for", () => {
  expect([137, 200, 99, 4.9, 0.13, 50].map(roundLength)).toEqual([100, 200, 50, 2, 0.1, 50]);
});
