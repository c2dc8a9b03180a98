/** A run on the canvas: state by colour, word and icon; progress; what it gave. */

import { Handle, Position, type NodeProps } from "@xyflow/react";
import { memo } from "react";
import type { Progress, RunNode } from "../api/schema";
import { duration, number } from "../ui/format";
import { StateBadge } from "../ui/StateBadge";
import type { JobNode } from "./Canvas";
import { stateColour } from "./colours";

/** Share of the work that is done, or null when nobody knows. */
export const share = (progress: Progress): number | null => (progress.total ? Math.min(1, progress.done / progress.total) : null);

export function ProgressBar({ progress }: { progress: Progress }) {
  const done = share(progress);
  const rest = progress.remaining == null ? "" : `, ${duration(progress.remaining)} to go`;
  const text = progress.total ? `${number(progress.done)} of ${number(progress.total)}${rest}` : (progress.message ?? "");
  return (
    <div className="progress">
      <div className="bar" role="progressbar" aria-label={progress.name || "progress"} aria-valuemin={0} aria-valuemax={100} aria-valuenow={done === null ? undefined : Math.round(done * 100)}>
        <div style={{ width: `${(done ?? 0) * 100}%` }} />
      </div>
      <small>{text}</small>
    </div>
  );
}

const failed = (node: RunNode): number => Object.values(node.failed_items).reduce((sum, count) => sum + count, 0);

export const JobBox = memo(function JobBox({ data: { node }, selected }: NodeProps<JobNode>) {
  const bad = failed(node);
  return (
    <div className={selected ? "job selected" : "job"} style={{ borderLeftColor: stateColour(node.state) }}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <div className="head">
        <span className="mono">{node.run}</span>
        <StateBadge state={node.state} />
      </div>
      <strong title={node.label || node.protocol}>{node.label || node.protocol}</strong>
      {node.label && <small className="soft">{node.protocol}</small>}
      {node.progress && node.state === "running" ? (
        <ProgressBar progress={node.progress} />
      ) : (
        <div className="chips">
          {node.outputs
            .filter((each) => each.count !== null)
            .map((each) => (
              <span key={each.name} className="chip">
                {number(each.count)} {each.name}
              </span>
            ))}
          {bad > 0 && <span className="chip bad">{bad} failed</span>}
        </div>
      )}
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
});
