/** What the canvas is given to draw: a box a run, an arrow a pair of runs. Objects that say the same stay the same. */

import type { Edge, Node } from "@xyflow/react";
import type { Graph, RunNode } from "../api/schema";
import { BOX, placeOf, type Moved } from "./places";

export type JobNode = Node<{ node: RunNode; project: string; faded: boolean }, "job">;

export interface Look {
  project: string;
  moved: Moved;
  chosen: ReadonlySet<string>;
  /** The one that the keyboard starts from. */
  current: string;
  /** Those that a filter leaves; null: all. */
  found: ReadonlySet<string> | null;
}

/** Boxes of fixed size: measured ones vanish while an event replaces them. `before`: those drawn last, kept where nothing changed. */
export function boxes(graph: Graph, { project, moved, chosen, current, found }: Look, before: ReadonlyMap<string, JobNode> = new Map()): JobNode[] {
  return graph.nodes.map((node) => {
    const position = placeOf(graph, moved, node.run);
    const selected = chosen.has(node.run);
    const focusable = node.run === current;
    const faded = found !== null && !found.has(node.run);
    const old = before.get(node.run);
    const same = old?.data.node === node && old.selected === selected && old.focusable === focusable && old.data.faded === faded;
    if (old && same && old.position.x === position.x && old.position.y === position.y) return old;
    return {
      id: node.run,
      type: "job",
      position,
      ...BOX,
      data: { node, project, faded },
      selected,
      focusable,
      ariaLabel: `${node.run} ${node.label || node.protocol}, ${node.state}`,
    };
  });
}

export function arrows(graph: Graph): Edge[] {
  const known = new Set(graph.nodes.map((node) => node.run));
  const found = new Map<string, Edge>();
  for (const node of graph.nodes)
    for (const link of node.inputs)
      if (known.has(link.run)) found.set(`${link.run}-${node.run}`, { id: `${link.run}-${node.run}`, type: "path", source: link.run, target: node.run });
  return [...found.values()];
}
