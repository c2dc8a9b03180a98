/** Any set as a table: sorted, filtered and paged by the server, so that a million rows cost what a screen of them costs. */

import { useCallback, useMemo, useState } from "react";
import { idsOf, useColumns, useCount } from "../../api/sets";
import { inverted, isChosen, MOST, ofRule, toggled, withRows } from "../../selection/selection";
import { SelectionBar } from "../../selection/SelectionBar";
import { useSelection } from "../../selection/useSelection";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import { toast, toastError } from "../../ui/Toasts";
import type { ViewerProps } from "../viewer";
import { RuleBox } from "../RuleBox";
import { useOrder } from "../useOrder";
import { ColumnChooser } from "./ColumnChooser";
import { chosenColumns, keepColumns } from "./columns";
import { Grid } from "./Grid";
import { pictureOf } from "./Picture";
import "./table.css";

export default function TableViewer({ project, output, kind }: ViewerProps) {
  const { data, error, refetch } = useColumns(project, output);
  const [order, setOrder] = useOrder();
  const count = useCount(project, output, order.where);
  const { selection, select, undo, canUndo } = useSelection(project, output);
  const [chosen, setChosen] = useState<string[] | null>(null);
  const [choosing, setChoosing] = useState(false);
  const [pictures, setPictures] = useState(kind === "classes2d" || kind === "classes3d");
  const [target, setTarget] = useState<{ row: number } | null>(null);
  const [anchor, setAnchor] = useState(0);

  const names = useMemo(() => data?.columns.map((each) => each.name) ?? [], [data]);
  const known = useMemo(() => new Set(names), [names]);
  const shown = useMemo(() => {
    const wanted = new Set(chosen ?? chosenColumns(kind, data?.columns ?? []));
    return data?.columns.filter((each) => wanted.has(each.name)) ?? [];
  }, [data, chosen, kind]);
  const onRule = useCallback((where: string) => setOrder({ where }), [setOrder]);

  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the table" />;
  if (data.of === 0) return <Empty>There are no rows in {output}.</Empty>;

  const onSort = (column: string) => {
    if (order.sort !== column) setOrder({ sort: column, descending: false });
    else if (!order.descending) setOrder({ descending: true });
    else setOrder({ sort: "", descending: false });
  };
  const extend = async (to: number) => {
    const [from, until] = [Math.min(anchor, to), Math.max(anchor, to)];
    if (until - from >= MOST) return toast(`A stretch of ${number(until - from + 1)} rows is too long to choose by hand: filter by a rule, then select all rows that follow it.`, "bad");
    const found = await idsOf(project, output, order, from, until, selection.where);
    select(withRows(selection, found.map(([id, follows]) => [id, isChosen(selection, id, follows)] as const)));
  };
  const onPick = (row: { place: number; id: number; chosen: boolean }, how: "only" | "toggle" | "range") => {
    if (how === "range") return void extend(row.place).catch(toastError);
    setAnchor(row.place);
    select(how === "only" ? { where: null, flipped: new Set([row.id]) } : toggled(selection, row.id));
  };
  const selectAll = () => select(ofRule(order.where));
  const rows = count.data ?? data.of;
  return (
    <div className="table-viewer">
      <div className="table-tools">
        <RuleBox project={project} output={output} where={order.where} columns={names} onRule={onRule} />
        <span className="soft" role="status">
          {rows === data.of ? `${number(rows)} rows` : `${number(rows)} of ${number(data.of)} rows`}
        </span>
        <GoTo count={rows} onGo={(row) => setTarget({ row })} />
        {pictureOf(kind) && (
          <button type="button" className={pictures ? "button on" : "button"} aria-pressed={pictures} onClick={() => setPictures(!pictures)}>
            Pictures
          </button>
        )}
        <button type="button" className="button" onClick={() => setChoosing(true)}>
          <Icon name="list" /> Columns <span className="soft">{shown.length}/{data.columns.length}</span>
        </button>
      </div>
      {rows === 0 ? (
        <Empty>No row follows this rule.</Empty>
      ) : (
        <Grid
          project={project}
          output={output}
          kind={kind}
          columns={shown}
          known={known}
          count={rows}
          order={order}
          pictures={pictures}
          selection={selection}
          target={target}
          onSort={onSort}
          onPick={onPick}
          onAll={selectAll}
        />
      )}
      <div className="select-tools">
        <button type="button" className="button plain" onClick={selectAll}>
          {order.where ? `Select all ${number(rows)} that follow the rule` : "Select all"}
        </button>
        <button type="button" className="button plain" onClick={() => select(inverted(selection))}>
          Invert
        </button>
        <span className="soft hint">Click selects a row, Ctrl or its box adds one, Shift a stretch. Keys: arrows, Space, Ctrl+A, Ctrl+C copies a cell.</span>
      </div>
      <SelectionBar project={project} output={output} selection={selection} what="rows" onSelect={select} onUndo={canUndo ? undo : undefined} />
      {choosing && (
        <ColumnChooser
          columns={data.columns}
          shown={shown.map((each) => each.name)}
          onChoose={(next) => {
            setChosen(next);
            keepColumns(kind, next);
          }}
          onClose={() => setChoosing(false)}
        />
      )}
    </div>
  );
}

function GoTo({ count, onGo }: { count: number; onGo: (row: number) => void }) {
  const [text, setText] = useState("");
  return (
    <form
      className="go-to"
      onSubmit={(event) => {
        event.preventDefault();
        const row = Number(text);
        if (Number.isInteger(row) && row >= 1) onGo(Math.min(row, count) - 1);
      }}
    >
      <input className="input" type="number" min={1} max={count} aria-label="Go to row" placeholder="Go to row" value={text} onChange={(event) => setText(event.target.value)} />
    </form>
  );
}
