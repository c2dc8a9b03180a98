/** The outputs of a run in a few words each: they open their viewer, and are dragged onto the inputs of a form. */

import type { Chip, RunNode } from "../api/schema";
import { navigate, to } from "../router";
import { number } from "../ui/format";

/** What a dragged output is: ``RUN.OUTPUT`` as text of this type. */
export const OUTPUT_TYPE = "application/x-cryoloom-output";

/** Kinds whose rows are the points of a curve: nobody counts them. */
const CURVES = new Set(["fsc"]);

export const chipText = (chip: Chip): string => {
  if (CURVES.has(chip.kind)) return chip.name;
  const many = chip.count !== 1 && (chip.name === "volume" || chip.name === "mask"); // a set of several, too
  const what = chip.count === null || (chip.count === 1 && chip.resolution != null) ? chip.name : `${number(chip.count)} ${chip.name}${many ? "s" : ""}`;
  return chip.resolution != null ? `${what} ${chip.resolution.toPrecision(3)} Å` : what;
};

export function Chips({ project, node }: { project: string; node: RunNode }) {
  return node.outputs.map((chip) => {
    const there = chip.count !== null;
    return (
      <button
        key={chip.name}
        type="button"
        className={there ? "chip nodrag" : "chip nodrag coming"}
        tabIndex={-1} // the panel's summary has the same, for the keyboard
        draggable
        title={there ? `${chip.kind}: open, or drag onto an input` : `${chip.kind}: not there yet; drag onto an input`}
        onDragStart={(event) => {
          event.dataTransfer.setData(OUTPUT_TYPE, `${node.run}.${chip.name}`);
          event.dataTransfer.setData("text/plain", `${node.run}.${chip.name}`);
          event.dataTransfer.effectAllowed = "copyLink";
        }}
        onClick={(event) => {
          if (!there) return; // the box itself takes the click
          event.stopPropagation();
          navigate(to.analyze(project, node.run, chip.name));
        }}
      >
        {chipText(chip)}
      </button>
    );
  });
}
