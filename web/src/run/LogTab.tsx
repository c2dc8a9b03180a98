/** What a run printed: followed while it works, searched, and opened at the first error. */

import { useEffect, useMemo, useRef, useState } from "react";
import { ACTIVE } from "../api/graph";
import { at, get } from "../api/client";
import type { Logged, RunDetail } from "../api/schema";
import { Empty, Failed } from "../ui/Feedback";

const TAIL = 200_000;
const PAUSE = 1000;
const ERROR = /error|exception|traceback|failed|killed/i;

function useLog(project: string, run: string, active: boolean) {
  const [text, setText] = useState("");
  const [error, setError] = useState<unknown>(null);
  const offset = useRef(-TAIL);
  useEffect(() => {
    let over = false;
    let timer = 0;
    const read = async () => {
      try {
        const piece = await get<Logged>(`${at.run(project, run)}/log`, { after: offset.current });
        if (over) return;
        offset.current = piece.offset;
        if (piece.text) setText((before) => before + piece.text);
        if (piece.offset < piece.size) return void read();
      } catch (problem) {
        if (!over) setError(problem);
      }
      if (!over && active) timer = window.setTimeout(() => void read(), PAUSE);
    };
    void read();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [project, run, active]);
  return { text, error };
}

export function LogTab({ project, run }: { project: string; run: RunDetail }) {
  const { text, error } = useLog(project, run.run, ACTIVE.has(run.state));
  const [search, setSearch] = useState("");
  const [follow, setFollow] = useState(ACTIVE.has(run.state));
  const box = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => text.split("\n"), [text]);
  const wanted = search.toLowerCase();
  const firstError = lines.findIndex((line) => ERROR.test(line));
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, text]);
  if (error) return <Failed error={error} />;
  if (text === "") return <Empty>{run.state === "draft" ? "It has not been started." : "It printed nothing."}</Empty>;
  return (
    <>
      <div className="row wrap">
        <input className="input grow" type="search" placeholder="Search the log" aria-label="Search the log" value={search} onChange={(event) => setSearch(event.target.value)} />
        {firstError >= 0 && (
          <button type="button" className="button" onClick={() => box.current?.children[firstError]?.scrollIntoView({ block: "center" })}>
            First error
          </button>
        )}
        <label className="row">
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} /> Follow
        </label>
      </div>
      <div ref={box} className="log mono" role="log" aria-live="off" tabIndex={0} aria-label="Output log">
        {lines.map((line, place) => (
          <div key={place} className={`${ERROR.test(line) ? "error" : ""} ${wanted && line.toLowerCase().includes(wanted) ? "hit" : ""}`} hidden={wanted !== "" && !line.toLowerCase().includes(wanted)}>
            {line || "\u00a0"}
          </div>
        ))}
      </div>
    </>
  );
}
