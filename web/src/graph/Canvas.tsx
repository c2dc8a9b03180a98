/** The runs as boxes, in the places that the server gave them. */

import { Background, Controls, MiniMap, ReactFlow, type Edge, type Node } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useMemo } from "react";
import type { Graph, RunNode } from "../api/schema";
import { Empty } from "../ui/Feedback";
import { stateColour } from "./colours";
import { JobBox } from "./JobBox";
import "./canvas.css";

export const BOX = { width: 214, height: 96 };
const STEP = { x: 268, y: 124 };

export type JobNode = Node<{ node: RunNode }, "job">;

const nodeTypes = { job: JobBox };
/** Boxes of fixed size: measured ones vanish while an event replaces them. */
export function boxes(graph: Graph, selected: string): JobNode[] {
  return graph.nodes.map((node) => {
    const [column, row] = graph.places[node.run] ?? [0, 0];
    return { id: node.run, type: "job", position: { x: column * STEP.x, y: row * STEP.y }, ...BOX, data: { node }, selected: node.run === selected, ariaLabel: `${node.run} ${node.label || node.protocol}, ${node.state}` };
  });
}

export function arrows(graph: Graph): Edge[] {
  const known = new Set(graph.nodes.map((node) => node.run));
  const found = new Map<string, Edge>();
  for (const node of graph.nodes)
    for (const link of node.inputs)
      if (known.has(link.run)) found.set(`${link.run}-${node.run}`, { id: `${link.run}-${node.run}`, source: link.run, target: node.run });
  return [...found.values()];
}

interface Props {
  graph: Graph;
  selected: string;
  onSelect: (run: string) => void;
  onOpen: (run: string) => void;
}

export function Canvas({ graph, selected, onSelect, onOpen }: Props) {
  const nodes = useMemo(() => boxes(graph, selected), [graph, selected]);
  const edges = useMemo(() => arrows(graph), [graph]);
  if (graph.nodes.length === 0) return <Empty>Nothing here yet. Choose a protocol at the left; the first one imports movies.</Empty>;
  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      nodeTypes={nodeTypes}
      onNodeClick={(_, box) => onSelect(box.id)}
      onNodeDoubleClick={(_, box) => onOpen(box.id)}
      onPaneClick={() => onSelect("")}
      nodesDraggable={false}
      nodesConnectable={false}
      onlyRenderVisibleElements
      fitView
      fitViewOptions={{ maxZoom: 1, padding: 0.12 }}
      minZoom={0.05}
      proOptions={{ hideAttribution: false }}
    >
      <Background gap={24} />
      <Controls showInteractive={false} />
      <MiniMap pannable zoomable nodeColor={(box) => stateColour((box as JobNode).data.node.state)} ariaLabel="Map of all runs" />
    </ReactFlow>
  );
}
