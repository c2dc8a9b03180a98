/** The runs as boxes; they are dragged, chosen, walked through by keyboard, and never move by themselves. */

import { Background, BaseEdge, Controls, MiniMap, Panel, ReactFlow, type EdgeProps, type NodeChange, type ReactFlowInstance } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Graph } from "../api/schema";
import { Icon } from "../ui/Icon";
import { arrows, boxes, type JobNode } from "./boxes";
import { stateColour } from "./colours";
import { JobBox } from "./JobBox";
import { BOX, firstView, keepPlaces, keptPlaces, line, neighbour, placeOf, type Arrow, type Moved } from "./places";
import "./canvas.css";

function PathEdge({ sourceX, sourceY, targetX, targetY }: EdgeProps) {
  return <BaseEdge path={line({ x: sourceX, y: sourceY }, { x: targetX, y: targetY })} />;
}

const nodeTypes = { job: JobBox };
const MAP = { width: 150, height: 110 };
const edgeTypes = { path: PathEdge };

interface Props {
  project: string;
  graph: Graph;
  /** The run whose panel is open; empty: none. */
  open: string;
  chosen: ReadonlySet<string>;
  found: ReadonlySet<string> | null;
  onChoose: (chosen: ReadonlySet<string>) => void;
  onSelect: (run: string) => void;
  onOpen: (run: string) => void;
  onDelete: (runs: string[]) => void;
}

export function Canvas({ project, graph, open, chosen, found, onChoose, onSelect, onOpen, onDelete }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const flow = useRef<ReactFlowInstance<JobNode> | null>(null);
  const [moved, setMoved] = useState<Moved>(() => keptPlaces(project));
  const [walked, setWalked] = useState("");
  const byBox = useRef(false);
  const known = useMemo(() => new Set(graph.nodes.map((node) => node.run)), [graph.nodes]);
  const current = [walked, open, graph.nodes.at(-1)?.run ?? ""].find((run) => known.has(run)) ?? "";
  const drawn = useRef<ReadonlyMap<string, JobNode>>(new Map());
  const nodes = useMemo(() => boxes(graph, { project, moved, chosen, current, found }, drawn.current), [graph, project, moved, chosen, current, found]);
  useEffect(() => {
    drawn.current = new Map(nodes.map((node) => [node.id, node]));
  }, [nodes]);
  const edges = useMemo(() => arrows(graph), [graph.nodes]);

  const bringIntoView = (run: string) => {
    const box = frame.current?.getBoundingClientRect();
    if (!flow.current || !box) return;
    const { x, y } = placeOf(graph, moved, run);
    const { x: left, y: top, zoom } = flow.current.getViewport();
    const seen = x * zoom + left >= 0 && y * zoom + top >= 0 && (x + BOX.width) * zoom + left <= box.width && (y + BOX.height) * zoom + top <= box.height;
    if (!seen) void flow.current.setCenter(x + BOX.width / 2, y + BOX.height / 2, { zoom });
  };
  useEffect(() => {
    if (known.has(open)) bringIntoView(open);
  }, [open, known.has(open)]);
  useEffect(() => {
    if (!walked) return;
    bringIntoView(walked);
    const focus = () => {
      const box = frame.current?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(walked)}"]`);
      if (box) box.tabIndex = 0; // the canvas will do so too, but later
      box?.focus({ preventScroll: true });
    };
    focus();
    const timer = setTimeout(focus, 60); // a box outside of the view is not there before that has moved
    return () => clearTimeout(timer);
  }, [walked]);

  useEffect(() => {
    const box = frame.current;
    if (!box) return;
    let width = box.clientWidth;
    // What is in the middle stays there when a panel opens or closes beside it.
    const observer = new ResizeObserver(() => {
      const view = flow.current?.getViewport();
      if (view) void flow.current?.setViewport({ ...view, x: view.x + (box.clientWidth - width) / 2 });
      width = box.clientWidth;
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, []);

  const onKey = (event: React.KeyboardEvent) => {
    const run = (event.target as HTMLElement).closest<HTMLElement>(".react-flow__node")?.dataset.id;
    if (!run || event.target !== event.currentTarget.querySelector(`.react-flow__node[data-id="${CSS.escape(run)}"]`)) return;
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const next = neighbour(graph, moved, run, event.key as Arrow);
      if (next) setWalked(next);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (run === open) onOpen(run);
      else onSelect(run);
    } else if (event.key === " ") {
      event.preventDefault();
      onChoose(toggled(chosen, run));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      onDelete(chosen.has(run) ? [...chosen] : [run]);
    }
  };

  const onChanges = (changes: NodeChange<JobNode>[]) => {
    const places = changes.flatMap((change) => (change.type === "position" && change.position ? [[change.id, change.position] as const] : []));
    if (places.length > 0) setMoved((before) => ({ ...before, ...Object.fromEntries(places) }));
    if (!byBox.current) return;
    const next = new Set(chosen);
    for (const change of changes) if (change.type === "select") next[change.selected ? "add" : "delete"](change.id);
    onChoose(next);
  };

  const tidy = () => {
    setMoved({});
    keepPlaces(project, {});
  };

  return (
    <div ref={frame} className="flow" onKeyDown={onKey}>
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        onInit={(instance) => {
          flow.current = instance;
          const size = frame.current?.getBoundingClientRect();
          if (size) void instance.setViewport(firstView(graph, moved, size.width, size.height));
        }}
        onNodesChange={onChanges}
        onNodeDragStop={(_event, _box, dragged) => keepPlaces(project, { ...moved, ...Object.fromEntries(dragged.map((box) => [box.id, box.position])) })}
        onNodeClick={(event, box) => {
          if (event.shiftKey || event.ctrlKey || event.metaKey) onChoose(toggled(chosen, box.id));
          else onSelect(box.id);
        }}
        onNodeDoubleClick={(_, box) => onOpen(box.id)}
        onPaneClick={() => onSelect("")}
        onSelectionStart={() => {
          byBox.current = true;
        }}
        onSelectionEnd={() => {
          byBox.current = false;
        }}
        multiSelectionKeyCode={null}
        deleteKeyCode={null}
        selectionKeyCode="Shift"
        nodesConnectable={false}
        edgesFocusable={false}
        disableKeyboardA11y
        onlyRenderVisibleElements
        zoomOnDoubleClick={false}
        nodeDragThreshold={4}
        minZoom={0.05}
        maxZoom={1.6}
        proOptions={{ hideAttribution: false }}
      >
        <Background gap={24} />
        <Controls showInteractive={false} fitViewOptions={{ maxZoom: 1, padding: 0.08 }} />
        <MiniMap pannable zoomable style={MAP} nodeColor={(box) => stateColour((box as JobNode).data.node.state)} ariaLabel="Map of all runs" />
        {Object.keys(moved).length > 0 && (
          <Panel position="top-right">
            <button type="button" className="button" onClick={tidy}>
              <Icon name="tree" /> Tidy
            </button>
          </Panel>
        )}
      </ReactFlow>
    </div>
  );
}

function toggled(chosen: ReadonlySet<string>, run: string): ReadonlySet<string> {
  const next = new Set(chosen);
  if (!next.delete(run)) next.add(run);
  return next;
}
