/** What a run printed: followed while it works, searched, and opened at the first error. */

import { useEffect, useMemo, useRef, useState } from "react";
import { ACTIVE } from "../api/graph";
import { useLog } from "../api/log";
import type { RunDetail } from "../api/schema";
import { Empty, Failed } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { firstError, hits, isError } from "./log";

export function LogTab({ project, run }: { project: string; run: RunDetail }) {
  const active = ACTIVE.has(run.state);
  const { text, error } = useLog(project, run.run, active);
  const [search, setSearch] = useState("");
  const [follow, setFollow] = useState(active);
  const [here, setHere] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => text.split("\n"), [text]);
  const found = useMemo(() => hits(lines, search), [lines, search]);
  const marked = useMemo(() => new Set(found), [found]);
  const wrong = useMemo(() => firstError(lines), [lines]);
  const opened = useRef(false);
  const show = (line: number) => {
    setFollow(false);
    setHere(line);
    const shown = box.current?.children[line] as HTMLElement | undefined;
    if (box.current && shown) box.current.scrollTop = shown.offsetTop - box.current.offsetTop - box.current.clientHeight / 2;
  };
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, text]);
  useEffect(() => {
    if (opened.current || text === "" || active) return;
    opened.current = true;
    if (run.state === "failed" && wrong >= 0) show(wrong);
  }, [text, active, run.state, wrong]);
  useEffect(() => {
    if (found[0] !== undefined) show(found[0]);
  }, [search]);
  const step = (by: number) => {
    const place = found.indexOf(here);
    const next = found[(place < 0 ? (by > 0 ? 0 : found.length - 1) : place + by + found.length) % found.length];
    if (next !== undefined) show(next);
  };
  if (error && text === "") return <Failed error={error} />;
  if (text === "") return <Empty>{run.state === "draft" ? "It has not been started." : active ? "It has printed nothing yet." : "It printed nothing."}</Empty>;
  return (
    <>
      <div className="row wrap">
        <input
          className="input grow"
          type="search"
          placeholder="Search the log"
          aria-label="Search the log"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
          onKeyDown={(event) => event.key === "Enter" && (event.preventDefault(), step(event.shiftKey ? -1 : 1))}
        />
        {search && (
          <>
            <span className="soft" role="status">
              {found.length === 0 ? "not found" : `${Math.max(1, found.indexOf(here) + 1)} of ${found.length}`}
            </span>
            <button type="button" className="button plain" aria-label="Previous" disabled={found.length === 0} onClick={() => step(-1)}>
              <Icon name="back" size={13} />
            </button>
            <button type="button" className="button plain" aria-label="Next" disabled={found.length === 0} onClick={() => step(1)}>
              <Icon name="forward" size={13} />
            </button>
          </>
        )}
        {wrong >= 0 && (
          <button type="button" className="button" onClick={() => show(wrong)}>
            First error
          </button>
        )}
        <label className="row">
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} /> Follow
        </label>
      </div>
      <div ref={box} className="log mono" role="log" aria-live="off" tabIndex={0} aria-label="Output log">
        {lines.map((line, place) => (
          <div key={place} className={`${isError(line) ? "error" : ""} ${marked.has(place) ? "hit" : ""} ${place === here ? "here" : ""}`}>
            {line || "\u00a0"}
          </div>
        ))}
      </div>
    </>
  );
}
