/** Outputs and runs dragged from the canvas onto an input. */

import type { Offer } from "../api/schema";

/** ``RUN.OUTPUT``, or a run's id alone. */
export const OUTPUT = "application/x-cryoloom-output";

export const carriesOutput = (event: { dataTransfer: DataTransfer }): boolean => event.dataTransfer.types.includes(OUTPUT);

/** The offer that what was dropped means: the output itself, or the run's first that fits; undefined when none does. */
export const dropped = (text: string, offers: readonly Offer[]): Offer | undefined =>
  offers.find(({ output }) => output === text) ?? offers.find(({ output }) => output.slice(0, output.indexOf(".")) === text);
