/** What was typed into a form, kept until it is run: closing the form, or going elsewhere, loses nothing. */

import type { Values } from "./values";

export interface Draft {
  values: Values;
  label: string;
  seed: number;
  threads: string;
  target: "" | "local" | "slurm";
  nodes: string;
}

export const emptyDraft = (values: Values = {}): Draft => ({ values, label: "", seed: 0, threads: "", target: "", nodes: "" });

/** A form is its project, its protocol, and what its address gave it to begin with. */
export const draftKey = (project: string, protocol: string, given: Record<string, string>): string =>
  `cryoloom-draft:${JSON.stringify([project, protocol, Object.entries(given).sort()])}`;

export function readDraft(key: string, storage: Storage = sessionStorage): Draft | null {
  try {
    const kept = JSON.parse(storage.getItem(key) ?? "null") as Partial<Draft> | null;
    return kept && typeof kept.values === "object" && kept.values ? { ...emptyDraft(), ...kept } : null;
  } catch {
    return null;
  }
}

export function keepDraft(key: string, draft: Draft | null, storage: Storage = sessionStorage): void {
  try {
    if (draft) storage.setItem(key, JSON.stringify(draft));
    else storage.removeItem(key);
  } catch {
    // the browser keeps nothing for us: the form works all the same
  }
}
