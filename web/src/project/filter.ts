/** Which runs are shown: by step, state, tag and words. */

import type { RunNode } from "../api/schema";

export interface Filter {
  text: string;
  state: string;
  step: string;
  tag: string;
}

export const stepOf = (node: RunNode): string => node.protocol.split(".")[0] ?? "";

export const isOpen = (filter: Filter): boolean => !filter.text.trim() && !filter.state && !filter.step && !filter.tag;

export function fits(node: RunNode, filter: Filter): boolean {
  if (filter.state && node.state !== filter.state) return false;
  if (filter.step && stepOf(node) !== filter.step) return false;
  if (filter.tag && !node.tags.includes(filter.tag)) return false;
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const told = `${node.run} ${node.label} ${node.protocol} ${node.tags.join(" ")}`.toLowerCase();
  return words.every((word) => told.includes(word));
}

/** The values that there are of something, each once, in order. */
export const valuesOf = (nodes: readonly RunNode[], of: (node: RunNode) => readonly string[]): string[] => [...new Set(nodes.flatMap(of))].sort();

/** The run made last among those in a state. */
export const lastIn = (nodes: readonly RunNode[], states: readonly string[]): RunNode | undefined =>
  nodes.reduce<RunNode | undefined>((last, node) => (states.includes(node.state) && (!last || node.created >= last.created) ? node : last), undefined);

/** The runs themselves and all that rests on them. */
export function withDependents(nodes: readonly RunNode[], runs: readonly string[]): Set<string> {
  const found = new Set(runs);
  let size = -1;
  while (size !== found.size) {
    size = found.size;
    for (const node of nodes) if (node.inputs.some((link) => found.has(link.run))) found.add(node.run);
  }
  return found;
}
