import { expect, test } from "vitest";
import { boxUnit, fastBox } from "./BoxSize";
import { bytes, folderOf, joined } from "./Browser";
import { patternLike } from "./FilePattern";
import { sameLie } from "./GainOrientation";

test("a box is counted in what the form says", () => {
  expect(boxUnit({}, 1.5)).toBe(1.5);
  expect(boxUnit({ bin: "2" }, 1.5)).toBe(3);
  expect(boxUnit({ box_unit: "input-px", bin: 2 }, 1.5)).toBe(1.5);
  expect(boxUnit({ box_unit: "angstrom" }, 1.5)).toBe(1);
  expect(boxUnit({ resize: "sampling-rate", pixel_size: "4" }, 1.5)).toBe(4);
  expect(boxUnit({ resize: "factor", pixel_size: "4", bin: 2 }, 1.5)).toBe(3);
});

test("the smallest fast box that is not too small", () => {
  const boxes = [32, 36, 40];
  expect([31, 32, 33, 40, 41].map((each) => fastBox(each, boxes))).toEqual([32, 32, 36, 40, 42]);
});

test("the folder of a path or pattern", () => {
  expect(folderOf("/data/run1/m_*.mrc")).toBe("/data/run1");
  expect(folderOf("/data/*/m.mrc")).toBe("/data");
  expect(folderOf("/data/run1/gain.mrc")).toBe("/data/run1");
  expect(folderOf("/m#.mrc")).toBe("/");
  expect(folderOf("")).toBe("");
  expect(folderOf("movies/*.mrc")).toBe("");
});

test("paths are put together once", () => {
  expect(joined("/data", "a")).toBe("/data/a");
  expect(joined("/", "a")).toBe("/a");
  expect(joined("", "/root")).toBe("/root");
});

test("a pattern for files like one", () => {
  expect(patternLike("/data/m_001.mrc")).toBe("/data/*.mrc");
  expect(patternLike("/data.x/m.001.tif.bz2")).toBe("/data.x/*.tif.bz2");
  expect(patternLike("/data/raw")).toBe("/data/*");
});

test("bytes as people read them", () => {
  expect([0, 999, 12_600_000, 3.21e12].map(bytes)).toEqual(["0 B", "999 B", "12.6 MB", "3.21 TB"]);
});

test("upside-down is left-right after half a turn", () => {
  expect(sameLie({ rotation: 0, flip: "upside-down" }, { rotation: 180, flip: "left-right" })).toBe(true);
  expect(sameLie({ rotation: 0, flip: "none" }, { rotation: 0, flip: "left-right" })).toBe(false);
});
