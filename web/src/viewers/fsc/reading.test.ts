import { expect, it } from "vitest";
import { angstrom, inAngstrom, nearest } from "./reading";

it("reads resolutions as the server writes them", () => {
  expect(angstrom(5.217391304347826)).toBe("5.22 Å");
  expect(angstrom(null)).toBe("nowhere");
  expect([inAngstrom(0), inAngstrom(0.1), inAngstrom(0.3)]).toEqual(["∞", "10 Å", "3.33 Å"]);
});

it("finds the shell under the cursor", () => {
  const frequencies = [0, 0.1, 0.2, 0.3];
  expect([0.04, 0.06, 0.29, 9].map((each) => nearest(frequencies, each))).toEqual([0, 1, 3, 3]);
  expect(nearest([], 1)).toBeNull();
});
