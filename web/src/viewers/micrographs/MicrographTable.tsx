/** A list of micrographs that is sorted by any column; arrows move along it. Only what is on the screen is in the page. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { Icon } from "../../ui/Icon";
import { sortedRows } from "./sorting";
import "./micrographs.css";

export interface Column {
  name: string;
  title: string;
  /** CSS grid track. */
  width: string;
  values: readonly (number | string | null)[] | null;
  show: (row: number) => ReactNode;
  unit?: string;
  right?: boolean;
}

interface Props {
  label: string;
  ids: readonly number[];
  columns: readonly Column[];
  chosen: number | null;
  onChoose: (id: number) => void;
  rowHeight?: number;
  /** Marks a row; Space does it, too. */
  onMark?: (id: number) => void;
  onOrder?: (ids: readonly number[]) => void;
}

export const MicrographTable = memo(function MicrographTable({ label, ids, columns, chosen, onChoose, rowHeight = 30, onMark, onOrder }: Props) {
  const [sort, setSort] = useState<{ name: string; descending: boolean } | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const values = columns.find((column) => column.name === sort?.name)?.values ?? null;
  const order = useMemo(() => sortedRows(ids.length, values, sort?.descending ?? false), [ids, values, sort]);
  const rows = useVirtualizer({ count: ids.length, getScrollElement: () => box.current, estimateSize: () => rowHeight, overscan: 6 });
  const place = order.findIndex((row) => ids[row] === chosen);
  useEffect(() => onOrder?.(order.map((row) => ids[row] as number)), [order, ids, onOrder]);
  useEffect(() => {
    if (place >= 0) rows.scrollToIndex(place);
  }, [place, rows]);

  const onKey = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -ids.length, End: ids.length }[event.key];
    const id = step === undefined ? undefined : ids[order[Math.min(Math.max(place + step, 0), ids.length - 1)] ?? -1];
    if (id !== undefined) onChoose(id);
    else if (event.key === " " && onMark && chosen !== null) onMark(chosen);
    else return;
    event.preventDefault();
  };
  const tracks = { gridTemplateColumns: columns.map((column) => column.width).join(" ") };
  const names = columns.find((column) => column.name === "name")?.values;
  return (
    <>
      <div className="mic-table" role="grid" aria-label={label} aria-rowcount={ids.length + 1} aria-colcount={columns.length}>
        <div className="mic-row head" role="row" aria-rowindex={1} style={tracks}>
          {columns.map((column) => {
            const sorted = sort?.name === column.name;
            return (
              <div key={column.name} role="columnheader" className={column.right ? "right" : undefined} aria-sort={sorted ? (sort.descending ? "descending" : "ascending") : "none"}>
                {column.values ? (
                  <button type="button" title={column.unit ? `${column.title}, ${column.unit}` : column.title} onClick={() => setSort({ name: column.name, descending: sorted && !sort.descending })}>
                    {column.title}
                    {sorted && <Icon name={sort.descending ? "down" : "up"} size={12} />}
                  </button>
                ) : (
                  <span className={column.title ? undefined : "hidden"}>{column.title || "Picture"}</span>
                )}
              </div>
            );
          })}
        </div>
        <div ref={box} className="mic-rows" role="rowgroup" tabIndex={0} aria-label={label} onKeyDown={onKey}>
          <div style={{ height: rows.getTotalSize(), position: "relative" }} role="presentation">
            {rows.getVirtualItems().map(({ index, start }) => {
              const row = order[index] ?? 0;
              const id = ids[row] ?? -1;
              return (
                <div key={id} className="mic-row" role="row" aria-rowindex={index + 2} aria-selected={id === chosen} style={{ ...tracks, height: rowHeight, transform: `translateY(${start}px)` }} onClick={() => onChoose(id)}>
                  {columns.map((column) => (
                    <div key={column.name} role="gridcell" className={column.right ? "right" : column.name === "name" ? "mic-name" : undefined}>
                      {column.show(row)}
                    </div>
                  ))}
                </div>
              );
            })}
          </div>
        </div>
      </div>
      <span className="hidden" aria-live="polite">
        {place >= 0 && `${names?.[order[place] as number] ?? chosen}, ${place + 1} of ${ids.length}`}
      </span>
    </>
  );
});
