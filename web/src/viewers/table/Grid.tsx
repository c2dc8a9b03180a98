/** The rows that can be seen, of as many as there are. */

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { cell, ROWS, useRows, type Order } from "../../api/sets";
import type { Column, Page } from "../../api/schema";
import { isChosen, type Selection } from "../../selection/selection";
import { Failed } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import { toast } from "../../ui/Toasts";
import { useSettled } from "../../ui/useSettled";
import { width } from "./columns";
import { Picture, pictureOf } from "./Picture";
import { geometry, showing, toElement, toRows, window as rowsSeen } from "./scrolling";

interface Props {
  project: string;
  output: string;
  kind: string;
  columns: readonly Column[];
  /** All columns of the set: whether rows can be disabled. */
  known: ReadonlySet<string>;
  count: number;
  order: Order;
  pictures: boolean;
  selection: Selection;
  /** A row to go to, from 0; a new object goes there again. */
  target: { row: number } | null;
  onSort: (column: string) => void;
  /** A gesture on a row: `id`, whether it is chosen, its place and how. */
  onPick: (row: { place: number; id: number; chosen: boolean }, how: "only" | "toggle" | "range") => void;
  onAll: () => void;
}

const HEAD = 34;
const MARK = 78;

export function Grid({ project, output, kind, columns, known, count, order, pictures, selection, target, onSort, onPick, onAll }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState(400);
  const [offset, setOffset] = useState(0);
  const latest = useRef(0); // several turns of the wheel may come before the next drawing
  const [active, setActive] = useState<[row: number, column: number]>([0, 0]);
  const rowHeight = pictures ? 60 : 28;
  const shape = useMemo(() => geometry(count, rowHeight, view), [count, rowHeight, view]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setView(Math.max(100, element.clientHeight - HEAD)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const shapeNow = useRef(shape);
  const scrollTo = useCallback((next: number) => {
    const { whole, view } = shapeNow.current;
    latest.current = Math.min(Math.max(0, next), Math.max(0, whole - view));
    setOffset(latest.current);
    if (box.current) box.current.scrollTop = toElement(latest.current, shapeNow.current);
  }, []);
  useLayoutEffect(() => {
    shapeNow.current = shape;
    scrollTo(latest.current);
  }, [shape, scrollTo]);
  useEffect(() => scrollTo(0), [order, scrollTo]);
  const heightNow = useRef(rowHeight);
  heightNow.current = rowHeight;
  useEffect(() => {
    if (!target) return; // gone to once: what is filtered or resized afterwards does not come back to it
    scrollTo((target.row - 2) * heightNow.current);
    setActive([target.row, 0]);
    box.current?.focus();
  }, [target, scrollTo]);
  // where the bar stands for more than it is high, the wheel would skip rows: it moves the rows themselves
  useEffect(() => {
    const element = box.current;
    if (!element || shape.whole <= shape.shown) return;
    const onWheel = (event: WheelEvent) => {
      if (event.ctrlKey || event.shiftKey || event.deltaY === 0) return;
      event.preventDefault();
      scrollTo(latest.current + event.deltaY * (event.deltaMode === 1 ? rowHeight : 1));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [shape, rowHeight, scrollTo]);

  const onScroll = () => {
    const top = box.current?.scrollTop ?? 0;
    if (Math.abs(top - toElement(latest.current, shape)) < 1) return;
    latest.current = toRows(top, shape);
    setOffset(latest.current);
  };

  const [from, until] = rowsSeen(offset, rowHeight, view, count);
  const [settledFrom, settledUntil] = useSettled(useMemo(() => [from, until] as const, [from, until]), 40);
  const pieces = useMemo(() => around(settledFrom, settledUntil, count), [settledFrom, settledUntil, count]);
  const wanted = useMemo(() => {
    const more = ["id", ...(known.has("enabled") ? ["enabled"] : []), ...(known.has("fail_reason") ? ["fail_reason"] : [])];
    return [...new Set([...more, ...columns.map((each) => each.name)])];
  }, [columns, known]);
  const rows = useRows(project, output, order, wanted, pieces, selection.where || null);
  const picture = pictures ? pictureOf(kind) : null;

  const rowAt = (place: number) => {
    const page = rows.pages.get(Math.floor(place / ROWS));
    if (!page) return null;
    const within = place % ROWS;
    const id = cell(page, within, "id") as number;
    return { page, within, id, chosen: isChosen(selection, id, page.marked?.[within]) };
  };
  const pick = (place: number, how: "only" | "toggle" | "range") => {
    const row = rowAt(place);
    if (row) onPick({ place, id: row.id, chosen: row.chosen }, how);
  };
  const move = (row: number, column: number) => {
    const next = Math.min(Math.max(0, row), count - 1);
    setActive([next, Math.min(Math.max(0, column), columns.length - 1)]);
    scrollTo(showing(next, offset, rowHeight, view));
  };
  const copy = () => {
    const row = rowAt(active[0]);
    const name = columns[active[1]]?.name;
    if (!row || !name) return;
    const value = cell(row.page, row.within, name);
    void navigator.clipboard?.writeText(value === null || value === undefined ? "" : String(value)).then(() => toast("Copied"));
  };
  const onKey = (event: React.KeyboardEvent) => {
    if (event.target !== event.currentTarget) return;
    const [row, column] = active;
    const page = Math.max(1, Math.floor(view / rowHeight) - 1);
    const steps: Record<string, () => void> = {
      ArrowDown: () => (move(row + 1, column), event.shiftKey && pick(row + 1, "range")),
      ArrowUp: () => (move(row - 1, column), event.shiftKey && pick(row - 1, "range")),
      ArrowRight: () => move(row, column + 1),
      ArrowLeft: () => move(row, column - 1),
      PageDown: () => move(row + page, column),
      PageUp: () => move(row - page, column),
      Home: () => move(event.ctrlKey ? 0 : row, event.ctrlKey ? column : 0),
      End: () => move(event.ctrlKey ? count - 1 : row, event.ctrlKey ? column : columns.length - 1),
      " ": () => pick(row, event.shiftKey ? "range" : "toggle"),
      Enter: () => pick(row, "only"),
    };
    if (event.ctrlKey || event.metaKey) Object.assign(steps, { a: onAll, c: copy });
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    step();
  };

  const template = `${MARK}px ${picture ? "64px " : ""}${columns.map((each) => `${width(each)}px`).join(" ")}`;
  const shown = Array.from({ length: until - from }, (_, number) => from + number);
  const top = toElement(offset, shape) - offset;
  return (
    <>
      {rows.error && <Failed error={rows.error} retry={rows.retry} />}
      <div
        ref={box}
        className="grid"
        role="grid"
        aria-label={`Table of ${output}`}
        aria-rowcount={count + 1}
        aria-colcount={columns.length + (picture ? 2 : 1)}
        aria-multiselectable
        aria-activedescendant={active[0] >= from && active[0] < until ? `cell-${active[0]}-${active[1]}` : undefined}
        tabIndex={0}
        onScroll={onScroll}
        onKeyDown={onKey}
      >
        <div className="grid-row head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, height: HEAD }}>
          <span className="mark" role="columnheader">
            row
          </span>
          {picture && <span role="columnheader">picture</span>}
          {columns.map((each) => (
            <Heading key={each.name} column={each} order={order} onSort={onSort} />
          ))}
        </div>
        <div role="rowgroup" style={{ height: shape.shown, position: "relative" }}>
          {shown.map((place) => {
            const row = rowAt(place);
            return (
              <div
                key={place}
                className={`grid-row${row?.chosen ? " chosen" : ""}${row && cell(row.page, row.within, "enabled") === false ? " disabled" : ""}`}
                role="row"
                aria-rowindex={place + 2}
                aria-selected={row?.chosen ?? false}
                style={{ gridTemplateColumns: template, height: rowHeight, transform: `translateY(${place * rowHeight + top}px)` }}
                onMouseDown={(event) => event.shiftKey && event.preventDefault()}
                onClick={(event) => pick(place, event.shiftKey ? "range" : event.ctrlKey || event.metaKey || (event.target as HTMLElement).closest(".mark") ? "toggle" : "only")}
              >
                <span className="mark" role="gridcell">
                  <span className="box">{row?.chosen && <Icon name="check" size={12} />}</span>
                  {number(place + 1)}
                  {row && <Disabled page={row.page} row={row.within} />}
                </span>
                {picture && (
                  <span role="gridcell" className="picture">
                    {row && <Picture project={project} output={output} kind={picture} id={row.id} place={place} order={order} />}
                  </span>
                )}
                {columns.map((each, column) => {
                  const value = row ? cell(row.page, row.within, each.name) : undefined;
                  return (
                    <span
                      key={each.name}
                      id={`cell-${place}-${column}`}
                      role="gridcell"
                      className={`${each.type}${active[0] === place && active[1] === column ? " active" : ""}`}
                      title={row ? String(value ?? "") : undefined}
                      onClick={() => setActive([place, column])}
                    >
                      {row ? number(value) : ""}
                    </span>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}

/** The pieces that hold some rows, and their neighbours, so that the next screen is there before it is asked for. */
function around(from: number, until: number, count: number): number[] {
  const last = Math.max(0, Math.ceil(count / ROWS) - 1);
  const first = Math.max(0, Math.floor(from / ROWS) - 1);
  const end = Math.min(last, Math.floor(Math.max(0, until - 1) / ROWS) + 1);
  return count === 0 ? [] : Array.from({ length: end - first + 1 }, (_, number) => first + number);
}

function Heading({ column, order, onSort }: { column: Column; order: Order; onSort: (name: string) => void }) {
  const sorted = order.sort === column.name ? (order.descending ? "descending" : "ascending") : "none";
  const meaning = `${column.name}${column.unit ? `, ${column.unit}` : ""}${column.meaning ? `: ${column.meaning}` : ""}`;
  return (
    <span role="columnheader" aria-sort={sorted} className={column.type}>
      <button type="button" title={meaning} onClick={() => onSort(column.name)}>
        {column.name}
        {column.unit && <small> {column.unit}</small>}
        <span className="arrow" aria-hidden="true">
          {sorted === "ascending" ? "▲" : sorted === "descending" ? "▼" : ""}
        </span>
      </button>
    </span>
  );
}

/** That a row is not used any more, and why. */
function Disabled({ page, row }: { page: Page; row: number }) {
  if (cell(page, row, "enabled") !== false) return null;
  const why = String(cell(page, row, "fail_reason") ?? "") || "disabled";
  return (
    <span className="off" title={why}>
      <Icon name="warning" size={12} />
      <span className="hidden">disabled: {why}</span>
    </span>
  );
}
