/** A run on the canvas: state by colour, word and icon; progress; what it gave. */

import { Handle, Position, type NodeProps } from "@xyflow/react";
import { memo } from "react";
import type { Progress, RunNode } from "../api/schema";
import { duration, number } from "../ui/format";
import { StateBadge } from "../ui/StateBadge";
import type { JobNode } from "./boxes";
import { Chips } from "./Chips";
import { stateColour } from "./colours";
import { Thumbnail } from "./Thumbnail";

/** Share of the work that is done, or null when nobody knows. */
export const share = (progress: Progress): number | null => (progress.total ? Math.min(1, progress.done / progress.total) : null);

/** What is being done, or how much of it is: the bar beside it shows parts of a whole of 1. */
const doing = ({ done, total, unit, message }: Progress): string => {
  if (total && (total !== 1 || unit)) return `${number(done)} of ${number(total)}`;
  return message || (total ? `${Math.round(100 * done)} %` : `${number(done)} ${unit}`);
};

export function ProgressBar({ progress }: { progress: Progress }) {
  const done = share(progress);
  const rest = progress.remaining == null ? "" : `, ${duration(progress.remaining)} to go`;
  return (
    <div className="progress">
      <div className="bar" role="progressbar" aria-label={progress.name || "progress"} aria-valuemin={0} aria-valuemax={100} aria-valuenow={done === null ? undefined : Math.round(done * 100)}>
        <div style={{ width: `${(done ?? 0) * 100}%` }} />
      </div>
      <small>{doing(progress) + rest}</small>
    </div>
  );
}

/** Failed items of all kinds together. */
export const failedItems = (node: RunNode): number => Object.values(node.failed_items).reduce((sum, count) => sum + count, 0);

export const JobBox = memo(function JobBox({ data: { node, project, faded }, selected }: NodeProps<JobNode>) {
  const bad = failedItems(node);
  return (
    <div className={`job ${selected ? "selected" : ""} ${faded ? "faded" : ""}`} style={{ borderLeftColor: stateColour(node.state) }}>
      <Handle type="target" position={Position.Top} isConnectable={false} />
      <div className="words">
        <div className="head">
          <span className="mono">{node.run}</span>
          <StateBadge state={node.state} />
        </div>
        <strong title={node.label || node.protocol}>{node.label || node.protocol}</strong>
        <small className="soft">{node.label ? node.protocol : "\u00a0"}</small>
      </div>
      <Thumbnail project={project} node={node} />
      {node.progress && node.state === "running" ? (
        <ProgressBar progress={node.progress} />
      ) : (
        <div className="chips">
          {bad > 0 && <span className="chip bad">{bad} failed</span>}
          <Chips project={project} node={node} />
        </div>
      )}
      <Handle type="source" position={Position.Bottom} isConnectable={false} />
    </div>
  );
});
