/** Over the runs: which are shown and how, and the way to those that need a look. */

import { useMemo } from "react";
import type { RunNode } from "../api/schema";
import { navigate, to, type Shown } from "../router";
import { counted } from "../ui/format";
import { Icon, type IconName } from "../ui/Icon";
import { isOpen, lastIn, stepOf, valuesOf, type Filter } from "./filter";

export type Mode = "" | "list" | "cards";

const MODES: readonly (readonly [Mode, IconName, string])[] = [
  ["", "tree", "Canvas"],
  ["list", "list", "List"],
  ["cards", "cards", "Cards"],
];

interface Props {
  project: string;
  nodes: readonly RunNode[];
  mode: Mode;
  filter: Filter;
  found: number;
}

function Choice({ label, name, value, values }: { label: string; name: Shown; value: string; values: string[] }) {
  return (
    <select aria-label={label} value={value} onChange={(event) => navigate(to.shown({ [name]: event.target.value }), { replace: true })}>
      <option value="">{label}: all</option>
      {values.map((each) => (
        <option key={each}>{each}</option>
      ))}
    </select>
  );
}

export function RunBar({ project, nodes, mode, filter, found }: Props) {
  const steps = useMemo(() => valuesOf(nodes, (node) => [stepOf(node)]), [nodes]);
  const states = useMemo(() => valuesOf(nodes, (node) => [node.state]), [nodes]);
  const tags = useMemo(() => valuesOf(nodes, (node) => node.tags), [nodes]);
  const running = lastIn(nodes, ["running", "queued", "blocked"]);
  const failed = lastIn(nodes, ["failed", "lost"]);
  return (
    <div className="run-bar" role="toolbar" aria-label="How runs are shown">
      <div className="row modes" role="group" aria-label="View">
        {MODES.map(([each, icon, name]) => (
          <button key={each} type="button" className={each === mode ? "button on" : "button"} aria-pressed={each === mode} aria-label={name} title={name} onClick={() => navigate(to.shown({ "show-as": each }), { replace: true })}>
            <Icon name={icon} />
          </button>
        ))}
      </div>
      <input className="input" type="search" placeholder="Filter runs" aria-label="Filter runs" value={filter.text} onChange={(event) => navigate(to.shown({ "with-text": event.target.value }), { replace: true })} />
      <Choice label="Step" name="with-step" value={filter.step} values={steps} />
      <Choice label="State" name="with-state" value={filter.state} values={states} />
      {tags.length > 0 && <Choice label="Tag" name="with-tag" value={filter.tag} values={tags} />}
      {!isOpen(filter) && (
        <>
          <span className="soft" role="status">
            {found} of {counted(nodes.length, "run")}
          </span>
          <button type="button" className="button plain" onClick={() => navigate(to.shown({ "with-text": "", "with-step": "", "with-state": "", "with-tag": "" }), { replace: true })}>
            Show all
          </button>
        </>
      )}
      <span className="grow" />
      {running && (
        <button type="button" className="button" title="Go to the last running run" onClick={() => navigate(to.run(project, running.run))}>
          <Icon name="spinner" /> {running.run}
        </button>
      )}
      {failed && (
        <button type="button" className="button danger" title="Go to the last failed run" onClick={() => navigate(to.run(project, failed.run, "log"))}>
          <Icon name="warning" /> {failed.run}
        </button>
      )}
    </div>
  );
}
