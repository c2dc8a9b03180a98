/** Maps of a project that lie on the grid of another, one by one, each with a name to choose it by. */

import type { Chosen } from "../../api/pairs";
import type { Companion } from "../../api/schema";
import { called, isResolution } from "./MapPicker";

export interface Entry {
  key: string;
  text: string;
  kind: string;
  /** Of its values, where it is known. */
  unit: "Å" | "";
  chosen: Chosen;
}

export function entries(companions: readonly Companion[] | undefined): Entry[] {
  return (companions ?? []).flatMap(({ output, label, kind, maps }) =>
    maps.flatMap(({ id, which, class_id }) =>
      which.map((name) => ({
        key: `${output}/${id}/${name}`,
        text: `${output} ${class_id == null ? "" : `class ${class_id} `}${called(name, which)} (${label})`,
        kind: name === "mask" ? "mask" : kind,
        unit: isResolution(name, which) ? "Å" : "",
        chosen: { output, choice: { which: name, id } },
      })),
    ),
  );
}

/** Nothing to be asked for. */
export const NOTHING: Chosen = { output: "", choice: { which: "", id: undefined } };

export const found = (all: readonly Entry[], key: string): Chosen => all.find((each) => each.key === key)?.chosen ?? NOTHING;
