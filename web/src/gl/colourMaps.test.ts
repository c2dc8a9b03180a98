import { describe, expect, it } from "vitest";
import { colours, painted } from "./colourMaps";

const table = colours("viridis");
const pixel = (pixels: Uint8ClampedArray, place: number) => [...pixels.slice(4 * place, 4 * place + 4)];

describe("a plane in colours", () => {
  it("runs between its limits, which need not be whole bytes", () => {
    const pixels = painted(Uint8Array.of(0, 100, 101, 255), table, 100.25, 100.75);
    expect(pixel(pixels, 0)).toEqual(pixel(pixels, 1));
    expect(pixel(pixels, 2)).toEqual([...table.slice(-3), 255]);
    expect(pixel(pixels, 3)).toEqual(pixel(pixels, 2));
  });
  it("is seen through where there is nothing, if it is hollow", () => {
    const plane = Uint8Array.of(0, 1);
    expect([3, 7].map((place) => painted(plane, table, 0, 255, true)[place])).toEqual([0, 255]);
    expect([3, 7].map((place) => painted(plane, table, 0, 255)[place])).toEqual([255, 255]);
  });
});
