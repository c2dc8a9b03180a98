/** Which map of an output is shown: of several volumes one, and of it the map, a half map, a mask. */

import type { Choice, VolumeInfo, VolumeRow } from "../../api/volumes";
import { number } from "../../ui/format";

const WORDS: Record<string, string> = { map: "map", half1: "half map 1", half2: "half map 2", mask: "mask", unfiltered: "unfiltered map", masked: "masked map", coloured: "map that is coloured", painter: "local resolution, solvent filled" };

/** Whether a map, one of those of its row, holds local resolutions in Å. */
export const isResolution = (name: string, which: readonly string[]): boolean => which.includes("painter") && (name === "map" || name === "painter");

export const called = (name: string, which: readonly string[]): string => (name === "map" && isResolution(name, which) ? "local resolution" : (WORDS[name] ?? name));

const named = (row: VolumeRow): string => {
  if (row.class_id === undefined) return `volume ${row.id}`;
  const share = row.distribution === undefined ? "" : `, ${number(100 * row.distribution)} %`;
  return `class ${row.class_id}${row.count === undefined ? "" : `: ${number(row.count)} particles`}${share}`;
};

export function MapPicker({ info, choice, onChange }: { info: VolumeInfo; choice: Choice; onChange: (choice: Choice) => void }) {
  const row = info.volumes.find((each) => each.id === info.id);
  return (
    <>
      {info.volumes.length > 1 && (
        <label className="row">
          Volume
          <select value={info.id} onChange={(event) => onChange({ ...choice, id: Number(event.target.value) })}>
            {info.volumes.map((each) => (
              <option key={each.id} value={each.id}>
                {named(each)}
              </option>
            ))}
          </select>
        </label>
      )}
      {row && row.which.length > 1 && (
        <label className="row">
          Show
          <select value={info.name} onChange={(event) => onChange({ ...choice, which: event.target.value })}>
            {row.which.map((each) => (
              <option key={each} value={each}>
                {called(each, row.which)}
              </option>
            ))}
          </select>
        </label>
      )}
    </>
  );
}
