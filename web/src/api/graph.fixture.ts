/** A run for tests. */

import type { RunNode } from "./schema";

export const node = (run: string, more: Partial<RunNode> = {}): RunNode => ({
  run,
  protocol: "import.movies",
  label: "",
  tags: [],
  state: "draft",
  reason: "",
  failed_items: {},
  progress: null,
  created: Number(run.slice(1)),
  inputs: [],
  outputs: [],
  watches: false,
  ...more,
});
