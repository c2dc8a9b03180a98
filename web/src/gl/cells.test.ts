import { describe, expect, it } from "vitest";
import { angles, Cells, direction } from "./cells";
import { fromMap, toMap } from "./mollweide";

/** As `equal_cells(10)` of the server. */
const upper = Array.from({ length: 9 }, (_, ring) => Math.max(3, Math.round(36 * Math.sin(((ring + 0.5) * Math.PI) / 18))));
const cells = new Cells([...upper, ...upper.toReversed()]);

describe("cells of equal area", () => {
  it("hold their own middles", () => {
    cells.each((cell, rot, z) => expect(cells.of(direction((rot[0] + rot[1]) / 2, (z[0] + z[1]) / 2))).toBe(cell));
  });

  it("have equal areas and cover the sphere", () => {
    let whole = 0;
    cells.each((_, rot, z) => {
      const area = (rot[1] - rot[0]) * (z[0] - z[1]);
      expect(area).toBeCloseTo((4 * Math.PI) / cells.count, 9);
      whole += area;
    });
    expect(whole).toBeCloseTo(4 * Math.PI, 6);
  });

  it("know both poles and the seam", () => {
    expect(cells.of([0, 0, 1])).toBe(0);
    expect(cells.of([0, 0, -1])).toBe(cells.starts.at(-2));
    expect(cells.of([1, -1e-17, 0])).toBeLessThan(cells.count);
  });
});

describe("the flat map", () => {
  it("leads back to where one came from", () => {
    for (const rot of [-170, -60, 0, 33, 179])
      for (const tilt of [2, 45, 90, 130, 178]) {
        const there = direction((rot * Math.PI) / 180, Math.cos((tilt * Math.PI) / 180));
        const back = fromMap(...toMap(there));
        there.forEach((value, axis) => expect(back?.[axis]).toBeCloseTo(value, 5));
        expect(angles(there).rot).toBeCloseTo(rot, 6);
        expect(angles(there).tilt).toBeCloseTo(tilt, 6);
      }
  });

  it("keeps areas: every cell has its share of the pixels", () => {
    const counts = new Array<number>(cells.count).fill(0);
    const [width, height] = [1200, 600];
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const there = fromMap((4 * (column + 0.5)) / width - 2, 1 - (2 * (row + 0.5)) / height);
        if (there) counts[cells.of(there)] = (counts[cells.of(there)] ?? 0) + 1;
      }
    const share = (Math.PI / 4) * width * height / cells.count;
    counts.forEach((count) => expect(Math.abs(count / share - 1)).toBeLessThan(0.06));
  });

  it("has the north pole at the top, rot 0 in the middle, and an outside", () => {
    expect(toMap([0, 0, 1])[1]).toBeCloseTo(1, 6);
    expect(toMap([1, 0, 0]).map((value) => Math.abs(value) < 1e-6)).toEqual([true, true]);
    expect(toMap([0, 1, 0])[0]).toBeCloseTo(1, 6);
    expect(fromMap(1.9, 0.9)).toBeNull();
  });
});
