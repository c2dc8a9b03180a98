import { describe, expect, it } from "vitest";
import { colours } from "./colourMaps";
import { histogram, quantiles, sampled, tinted } from "./sampling";

const shape = [3, 4, 5] as const;

/** A map that is linear in x, y and z, which trilinear sampling repeats exactly. */
const linear = Float32Array.from({ length: 60 }, (_, place) => (place % 5) + 10 * (Math.floor(place / 5) % 4) + 100 * Math.floor(place / 20));

describe("values between voxels", () => {
  it("are those of a linear map", () => {
    const places = [0, 0, 0, 1.5, 2.25, 0.75, 4, 3, 2, 3.99, 0.01, 1];
    const found = sampled(linear, shape, Float32Array.from(places));
    for (let number = 0; number < found.length; number++) {
      const [x = 0, y = 0, z = 0] = places.slice(3 * number, 3 * number + 3);
      expect(found[number]).toBeCloseTo(x + 10 * y + 100 * z, 3);
    }
  });

  it("are the border's outside", () => {
    expect([...sampled(linear, shape, Float32Array.from([-1, -2, -3, 9, 9, 9]))]).toEqual([0, 234]);
  });

  it("know axes of one voxel", () => {
    expect([...sampled(Float32Array.from([7]), [1, 1, 1], Float32Array.from([0, 0, 0]))]).toEqual([7]);
  });
});

it("colours go from the first of a table to its last", () => {
  const table = colours("viridis");
  const found = tinted(Float32Array.from([-5, 1, 2, 3, 99, NaN]), table, 1, 3);
  const at = (number: number) => [...found.slice(3 * number, 3 * number + 3)];
  expect(at(0)).toEqual([...table.slice(0, 3)]);
  expect(at(1)).toEqual(at(0));
  expect(at(2)).toEqual([...table.slice(3 * 128, 3 * 129)]);
  expect(at(3)).toEqual([...table.slice(3 * 255)]);
  expect(at(4)).toEqual(at(3));
  expect(at(5)).toEqual(at(0));
});

it("histograms count every value, those outside at the ends", () => {
  expect([...histogram(Float32Array.from([-1, 0, 0.4, 1.2, 2, 7]), 2, 0, 2)]).toEqual([3, 3]);
  expect([...histogram(Float32Array.from([3, 3]), 2, 3, 3)]).toEqual([2, 0]);
});

it("quantiles are values below which parts of all lie", () => {
  expect(quantiles(Float32Array.from([5, 1, 2, 4, 3]), 0, 0.5, 1)).toEqual([1, 3, 5]);
});
