import { expect, test } from "vitest";
import { bounded, fitted, panned, scaleBar, toImage, toScreen, zoomed } from "./view";

const image = { width: 4096, height: 3000 };
const screen = { width: 800, height: 600 };

test("the fitted image has its first row at the top and its middle in the middle", () => {
  const view = fitted(image, screen);
  expect(view.scale).toBeCloseTo(800 / 4096, 10);
  const first = toScreen(view, screen, { x: -0.5, y: -0.5 });
  const last = toScreen(view, screen, { x: 4095.5, y: 2999.5 });
  expect(first.x).toBeCloseTo(0, 8);
  expect(last.x).toBeCloseTo(800, 8);
  expect(first.y).toBeLessThan(last.y);
  expect(first.y + last.y).toBeCloseTo(600, 8);
});

test("places go to the screen and back at every zoom", () => {
  for (const scale of [0.1, 1, 7]) {
    const view = { x: 1234.5, y: 77, scale };
    const back = toImage(view, screen, toScreen(view, screen, { x: 1000.25, y: 90.75 }));
    expect(back.x).toBeCloseTo(1000.25, 8);
    expect(back.y).toBeCloseTo(90.75, 8);
  }
});

test("zooming keeps what is under the pointer, panning moves it with the pointer", () => {
  const view = { x: 2000, y: 1500, scale: 0.5 };
  const pointer = { x: 123, y: 456 };
  const held = toImage(view, screen, pointer);
  const under = toImage(zoomed(view, screen, 3, pointer), screen, pointer);
  expect(under.x).toBeCloseTo(held.x, 8);
  expect(under.y).toBeCloseTo(held.y, 8);
  const moved = toScreen(panned(view, 10, -20), screen, held);
  expect(moved.x).toBeCloseTo(133, 8);
  expect(moved.y).toBeCloseTo(436, 8);
});

test("a view stays on the image and within reason", () => {
  const view = bounded({ x: -500, y: 9999, scale: 1e6 }, image, screen);
  expect(view).toEqual({ x: 0, y: 2999, scale: 32 });
  expect(bounded({ x: 0, y: 0, scale: 0 }, image, screen).scale).toBeCloseTo(fitted(image, screen).scale / 2, 10);
});

test("a scale bar is 1, 2 or 5 times a power of ten, not longer than asked for", () => {
  expect(scaleBar(1, 1)).toEqual({ length: 100, text: "100 Å" });
  expect(scaleBar(0.1, 1).text).toBe("100 nm");
  for (const scale of [0.03, 0.17, 0.5, 1, 4, 30]) {
    const { length } = scaleBar(scale, 1.34);
    expect(length).toBeLessThanOrEqual(150);
    expect(length).toBeGreaterThan(150 / 2.6);
  }
});
