/** The runs as a list, the newest first; only what is visible is in the page. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import type { RunNode } from "../api/schema";
import { chipText } from "../graph/Chips";
import { share } from "../graph/JobBox";
import { Thumbnail } from "../graph/Thumbnail";
import { Empty } from "../ui/Feedback";
import { moment } from "../ui/format";
import { StateBadge } from "../ui/StateBadge";
import "./run-list.css";

interface Props {
  project: string;
  nodes: readonly RunNode[];
  cards: boolean;
  open: string;
  chosen: ReadonlySet<string>;
  onChoose: (chosen: ReadonlySet<string>) => void;
  onSelect: (run: string) => void;
  onDelete: (runs: string[]) => void;
}

const HEIGHT = { list: 34, cards: 122 };
const CARD = 250;

export function RunList({ project, nodes, cards, open, chosen, onChoose, onSelect, onDelete }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const last = useRef("");
  const columns = cards ? Math.max(1, Math.floor((frame.current?.clientWidth ?? 3 * CARD) / CARD)) : 1;
  const rows = Math.ceil(nodes.length / columns);
  const rowHeight = cards ? HEIGHT.cards : HEIGHT.list;
  const virtual = useVirtualizer({ count: rows, getScrollElement: () => frame.current, estimateSize: () => rowHeight, overscan: 6 });
  useEffect(() => {
    virtual.measure();
  }, [rowHeight, virtual]);
  if (nodes.length === 0) return <Empty>No run is like this.</Empty>;

  const choose = (run: string, range: boolean) => {
    const next = new Set(chosen);
    const from = nodes.findIndex((node) => node.run === last.current);
    const place = nodes.findIndex((node) => node.run === run);
    if (range && from >= 0) for (const node of nodes.slice(Math.min(from, place), Math.max(from, place) + 1)) next.add(node.run);
    else if (!next.delete(run)) next.add(run);
    last.current = run;
    onChoose(next);
  };
  const onKey = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: columns, ArrowUp: -columns, ArrowRight: cards ? 1 : 0, ArrowLeft: cards ? -1 : 0 }[event.key];
    const run = (event.target as HTMLElement).closest<HTMLElement>("[data-run]")?.dataset.run;
    if (!run) return;
    if (event.key === "Delete") onDelete(chosen.has(run) ? [...chosen] : [run]);
    const next = step && nodes[nodes.findIndex((node) => node.run === run) + step];
    if (!next) return;
    event.preventDefault();
    virtual.scrollToIndex(Math.floor(nodes.indexOf(next) / columns));
    requestAnimationFrame(() => frame.current?.querySelector<HTMLElement>(`[data-run="${CSS.escape(next.run)}"] .name`)?.focus());
  };

  return (
    <div ref={frame} className={cards ? "run-list cards" : "run-list"} onKeyDown={onKey} role="list" aria-label="Runs">
      <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((row) => (
          <div key={row.index} className="line" style={{ transform: `translateY(${row.start}px)`, height: rowHeight, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
            {nodes.slice(row.index * columns, (row.index + 1) * columns).map((node) => (
              <div key={node.run} role="listitem" data-run={node.run} className={`item ${node.run === open ? "open" : ""}`}>
                <input type="checkbox" aria-label={`Choose ${node.run}`} checked={chosen.has(node.run)} onChange={(event) => choose(node.run, (event.nativeEvent as MouseEvent).shiftKey)} />
                <button type="button" className="name" onClick={(event) => (event.shiftKey ? choose(node.run, true) : onSelect(node.run))}>
                  <span className="mono soft">{node.run}</span> {node.label || node.protocol}
                </button>
                <StateBadge state={node.state} />
                <span className="soft share">{node.progress && share(node.progress) !== null ? `${Math.round(100 * (share(node.progress) ?? 0))} %` : ""}</span>
                <span className="soft protocol">{node.protocol}</span>
                <span className="soft gives">{node.outputs.filter((chip) => chip.count !== null).map(chipText).join(", ") || node.reason}</span>
                <span className="soft tags">{node.tags.join(", ")}</span>
                <span className="soft when">{moment(node.created)}</span>
                {cards && <Thumbnail project={project} node={node} />}
              </div>
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}
