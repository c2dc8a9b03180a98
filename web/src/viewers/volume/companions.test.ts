import { describe, expect, it } from "vitest";
import { entries } from "./companions";

describe("maps to choose from", () => {
  it("are told by what they hold: only local resolutions are in Å", () => {
    const maps = (output: string, which: string[]) => ({ output, label: "fine", kind: "volume", maps: [{ id: 1, which, class_id: null }] });
    const found = entries([maps("r001.volume", ["map", "half1"]), maps("r002.volume", ["map", "painter", "coloured"])]);
    expect(found.map(({ text, unit }) => [text, unit])).toEqual([
      ["r001.volume map (fine)", ""],
      ["r001.volume half map 1 (fine)", ""],
      ["r002.volume local resolution (fine)", "Å"],
      ["r002.volume local resolution, solvent filled (fine)", "Å"],
      ["r002.volume map that is coloured (fine)", ""],
    ]);
  });
});
