import { expect, it } from "vitest";
import { curvesOf, falls, nearest, resolution, resolutionAt } from "./reading";

it("reads resolutions as the server writes them", () => {
  expect(resolution(5.217391304347826)).toBe("5.22 Å");
  expect(resolution(null)).toBe("nowhere");
  expect([resolutionAt(0), resolutionAt(0.1), resolutionAt(0.3)]).toEqual(["∞", "10 Å", "3.33 Å"]);
  expect([resolution(4, "voxels"), resolutionAt(0.25, "voxels")]).toEqual(["4.00 voxels", "4 voxels"]);
});

it("says where the server found a curve to fall, and reads nothing off the curve", () => {
  const told = { output: "r001.fsc", frequency: [0, 0.1, 0.2], resolution: 10, curves: [{ name: "fsc", title: "masked", values: [1, 0.9, null], crossings: { "0.143": 10, "0.5": null } }] };
  expect(curvesOf(told).map((curve) => [curve.frequency, falls(curve, "Å")])).toEqual([[[0, 0.1, 0.2], "masked: below 0.143 at 10.00 Å, 0.5 nowhere"]]);
});

it("finds the shell under the cursor", () => {
  const frequencies = [0, 0.1, 0.2, 0.3];
  expect([0.04, 0.06, 0.29, 9].map((each) => nearest(frequencies, each))).toEqual([0, 1, 3, 3]);
  expect(nearest([], 1)).toBeNull();
});
