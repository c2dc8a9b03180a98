/** Outputs and runs dragged from the canvas onto an input. */

import type { Offer } from "../api/schema";
import { OUTPUT_TYPE } from "../graph/Chips";

export const carriesOutput = (event: { dataTransfer: DataTransfer }): boolean => event.dataTransfer.types.includes(OUTPUT_TYPE);

/** The offer that what was dropped means: the output itself, or the run's first that fits; undefined when none does. */
export const dropped = (text: string, offers: readonly Offer[]): Offer | undefined =>
  offers.find(({ output }) => output === text) ?? offers.find(({ output }) => output.slice(0, output.indexOf(".")) === text);
