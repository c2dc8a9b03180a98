/** Groups and their entries as one stop of Tab, walked by arrows, Home, End and first letters: the tree view of WAI-ARIA, its rows in one flat list. */

import { useImperativeHandle, useRef, useState, type KeyboardEvent, type Ref } from "react";
import { lettersFind, rowsOf, type Branch, type Row } from "./treeRows";
import "./tree.css";

export interface TreeHandle {
  /** Focus the first entry there is, not the group above it. */
  enter: () => void;
}

interface Props {
  label: string;
  branches: readonly Branch[];
  /** Show every group open, whatever was closed: while hits are shown. */
  unfolded?: boolean;
  /** Up was pressed on the first row. */
  onLeave?: () => void;
  ref?: Ref<TreeHandle>;
}

/** Letters that follow within this time, ms, are one word. */
const PAUSE = 700;

export function Tree({ label, branches, unfolded = false, onLeave, ref }: Props) {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [at, setAt] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const typed = useRef({ word: "", when: -Infinity });
  const rows = rowsOf(branches, unfolded ? new Set() : closed);
  const stop = rows.some((row) => row.key === at) ? at : rows[0]?.key;
  const focus = (place: number) => (box.current?.querySelectorAll<HTMLElement>("[role=treeitem]")[place])?.focus();
  useImperativeHandle(ref, () => ({ enter: () => focus(rows.findIndex((row) => row.leaf)) }));

  const fold = (key: string, shut: boolean) => setClosed((before) => new Set(shut ? [...before, key] : [...before].filter((each) => each !== key)));
  const act = (row: Row) => {
    if (!row.leaf) fold(row.key, row.open);
    else if (!row.leaf.disabled) row.leaf.onChoose();
  };
  const sideways = (place: number, row: Row, inwards: boolean) => {
    if (row.leaf) {
      if (!inwards) focus(place - row.position);
    } else if (row.open === inwards) {
      if (inwards) focus(place + 1);
    } else fold(row.key, !inwards);
  };
  const search = (letter: string, place: number, now: number) => {
    const word = now - typed.current.when > PAUSE ? letter : typed.current.word + letter;
    typed.current = { word, when: now };
    const found = lettersFind(rows.map((row) => row.text), word, place);
    if (found >= 0) focus(found);
  };
  const onKey = (event: KeyboardEvent<HTMLElement>) => {
    const place = rows.findIndex((row) => row.key === (event.target as HTMLElement).dataset.key);
    const row = rows[place];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.timeStamp - typed.current.when <= PAUSE;
    if (event.key === "ArrowDown") focus(Math.min(place + 1, rows.length - 1));
    else if (event.key === "ArrowUp") place ? focus(place - 1) : onLeave?.();
    else if (event.key === "Home") focus(0);
    else if (event.key === "End") focus(rows.length - 1);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") sideways(place, row, event.key === "ArrowRight");
    else if (event.key === "Enter" || (event.key === " " && !typing)) act(row);
    else if (event.key.length === 1 && event.key !== "/") search(event.key, place, event.timeStamp);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div ref={box} className="tree" role="tree" aria-label={label} onKeyDown={onKey} onFocus={(event) => setAt((event.target as HTMLElement).dataset.key ?? "")}>
      {rows.map((row) => (
        <div
          key={row.key}
          data-key={row.key}
          role="treeitem"
          className={row.className}
          title={row.leaf?.hint}
          tabIndex={row.key === stop ? 0 : -1}
          aria-level={row.leaf ? 2 : 1}
          aria-posinset={row.position}
          aria-setsize={row.size}
          aria-expanded={row.leaf ? undefined : row.open}
          aria-disabled={row.leaf?.disabled || undefined}
          onClick={() => act(row)}
        >
          {row.text}
          {row.leaf?.note && <small>{row.leaf.note}</small>}
        </div>
      ))}
    </div>
  );
}
