import { expect, test } from "vitest";
import { shade } from "./painter";
import { levelFor, lowpassedLevel, tilesIn } from "./tiles";
import { fitted } from "./view";

test("pictures are as fine as the screen shows", () => {
  expect([0.05, 0.125, 0.2, 0.25, 0.4, 0.5, 0.7, 1, 8].map((scale) => levelFor(scale, 1))).toEqual([8, 8, 4, 4, 2, 2, 1, 1, 1]);
  expect(levelFor(0.25, 2)).toBe(2);
});

test("only the tiles on the screen are asked for, those in the middle first", () => {
  const image = { width: 11520, height: 8184 };
  const screen = { width: 1000, height: 700 };
  const tiles = tilesIn({ x: 5000, y: 4000, scale: 1 }, screen, image, 1);
  expect(tiles.length).toBeLessThanOrEqual(3 * 3);
  expect(tiles[0]).toEqual({ level: 1, column: 9, row: 7 });
  expect(tiles.every(({ column, row }) => column >= 8 && column <= 10 && row >= 7 && row <= 8)).toBe(true);
  const all = tilesIn(fitted(image, screen), screen, image, 4);
  expect(all.length).toBe(Math.ceil(11520 / 2048) * Math.ceil(8184 / 2048));
});

test("a tile that only touches the screen with its edge is asked for, none beyond the image", () => {
  const corner = tilesIn({ x: 0, y: 0, scale: 1 }, { width: 100, height: 100 }, { width: 600, height: 400 }, 1);
  expect(corner).toEqual([{ level: 1, column: 0, row: 0 }]);
  const right = tilesIn({ x: 511.6, y: 10, scale: 1 }, { width: 2, height: 2 }, { width: 600, height: 400 }, 1);
  expect(right.map((tile) => tile.column).sort()).toEqual([0, 1]);
});

test("low-passed images are not asked for finer than they are, and fit a texture", () => {
  const k3 = { width: 11520, height: 8184 };
  expect(lowpassedLevel(40, 1, k3, 1, 8192)).toBe(4);
  expect(lowpassedLevel(7, 1, k3, 1, 8192)).toBe(2);
  expect(lowpassedLevel(4, 1, k3, 1, 8192)).toBe(2);
  expect(lowpassedLevel(4, 1, { width: 4096, height: 4096 }, 1, 8192)).toBe(1);
});

test("contrast maps black to 0, white to 1, and bends between", () => {
  const contrast = { black: 0.2, white: 0.6, gamma: 1 };
  expect([shade(0, contrast), shade(51, contrast), shade(153, contrast), shade(255, contrast)].map((each) => Number(each.toFixed(6)))).toEqual([0, 0, 1, 1]);
  expect(shade(102, { ...contrast, gamma: 2 })).toBeCloseTo(0.25, 6);
});
