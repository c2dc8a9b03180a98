/** Images of a set side by side, one picture a page: chosen by click, by stretch, by rule, or as the program suggests. */

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { sheetPicture, useColumns, useCount, useFollowing, useSheet, type Cell, type Sheet } from "../../api/sets";
import { inverted, isChosen, ofRule, toggled, withRows, type Selection } from "../../selection/selection";
import { SelectionBar } from "../../selection/SelectionBar";
import { useSelection } from "../../selection/useSelection";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import type { ViewerProps } from "../viewer";
import { RuleBox } from "../RuleBox";
import { useOrder } from "../useOrder";
import { captionOf, PAGE, sheetSize, sortsOf } from "./captions";
import "./gallery.css";

const BESIDE = 16;

export default function GalleryViewer({ project, output, kind }: ViewerProps) {
  const classes = kind.startsWith("classes");
  const columns = useColumns(project, output);
  const [given, setOrder] = useOrder();
  const [page, setPage] = useState(0);
  const [size, setSize] = useState(classes ? 112 : 72);
  const { selection, select, undo, canUndo } = useSelection(project, output);
  const names = useMemo(() => columns.data?.columns.map((each) => each.name) ?? [], [columns.data]);
  const sorts = useMemo(() => sortsOf(kind, columns.data?.columns ?? []), [kind, columns.data]);
  // largest classes first, unless somebody asked for another order
  const order = given.sort || !classes ? given : { ...given, sort: "count", descending: true };
  const limit = classes ? PAGE.classes : PAGE.particles;
  const wanted = { ...order, offset: page * limit, limit, columns: BESIDE, size: sheetSize(size) };
  const { data, error, refetch, isPlaceholderData } = useSheet(project, output, wanted);
  const rule = selection.where || null;
  const following = useFollowing(project, output, order, page * limit, data?.items.length ?? 0, rule);
  const count = useCount(project, output, order.where);
  const onRule = useCallback((where: string) => (setPage(0), setOrder({ where })), [setOrder]);
  const problem = columns.error ?? error;
  if (problem) return <Failed error={problem} retry={() => void refetch()} />;
  if (!columns.data || !data) return <Loading what="the images" />;
  const pages = Math.max(1, Math.ceil(data.count / limit));
  const selectAll = () => select(ofRule(order.where));
  return (
    <div className="gallery-viewer">
      <div className="gallery-tools">
        <RuleBox project={project} output={output} where={order.where} columns={names} onRule={onRule} />
        <label className="row">
          <span className="soft">Sort by</span>
          <select aria-label="Sort by" value={order.sort} onChange={(event) => (setPage(0), setOrder({ sort: event.target.value, descending: event.target.value === "count" || event.target.value === "quality" || event.target.value === "score" }))}>
            <option value="">as stored</option>
            {sorts.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
          <button type="button" className="button" aria-label={order.descending ? "Largest first" : "Smallest first"} disabled={!order.sort} onClick={() => (setPage(0), setOrder({ sort: order.sort, descending: !order.descending }))}>
            {order.descending ? "▼" : "▲"}
          </button>
        </label>
        <label className="row">
          <span className="soft">Zoom</span>
          <input type="range" min={40} max={256} step={8} value={size} aria-valuetext={`${size} pixels`} onChange={(event) => setSize(Number(event.target.value))} />
        </label>
      </div>
      {data.count === 0 ? (
        <Empty>{order.where ? "No image follows this rule." : `There are no images in ${output}.`}</Empty>
      ) : (
        <Images
          sheet={data}
          picture={sheetPicture(project, output, { ...wanted, offset: data.offset })}
          size={size}
          stale={isPlaceholderData}
          caption={(values) => captionOf(kind, order.sort, values)}
          label={`Images of ${output}`}
          selection={selection}
          follows={(id) => following.data?.get(id) ?? false}
          onSelect={select}
          onAll={selectAll}
        />
      )}
      <div className="select-tools">
        <button type="button" className="button plain" onClick={selectAll}>
          {order.where ? `Select all ${number(count.data)} that follow the rule` : "Select all"}
        </button>
        <button type="button" className="button plain" onClick={() => select(inverted(selection))}>
          Invert
        </button>
        {names.includes("good") && (
          <button type="button" className="button plain" onClick={() => select(ofRule("good == true"))} title="What the classification itself calls good; look before you trust it">
            <Icon name="wand" size={14} /> Select what is suggested
          </button>
        )}
        {pages > 1 && (
          <span className="row paging">
            <button type="button" className="button" aria-label="Page before" disabled={page === 0} onClick={() => setPage(page - 1)}>
              <Icon name="back" size={14} />
            </button>
            <span role="status">
              page {number(page + 1)} of {number(pages)}
            </span>
            <button type="button" className="button" aria-label="Next page" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>
              <Icon name="forward" size={14} />
            </button>
          </span>
        )}
        <span className="soft hint">Click chooses or leaves out, Shift a stretch. Keys: arrows, Space, Ctrl+A.</span>
      </div>
      <SelectionBar project={project} output={output} selection={selection} what={classes ? "classes" : kind} onSelect={select} onUndo={canUndo ? undo : undefined} />
    </div>
  );
}

interface ImagesProps {
  sheet: Sheet;
  picture: string;
  size: number;
  stale: boolean;
  label: string;
  caption: (values: Record<string, unknown>) => string;
  selection: Selection;
  follows: (id: number) => boolean;
  onSelect: (selection: Selection) => void;
  onAll: () => void;
}

function Images({ sheet, picture, size, stale, label, caption, selection, follows, onSelect, onAll }: ImagesProps) {
  const box = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const [anchor, setAnchor] = useState(0);
  const { items } = sheet;
  useEffect(() => {
    setActive(0);
    setAnchor(0);
    box.current?.scrollTo(0, 0);
  }, [sheet.offset]);
  const chosen = (item: Cell) => isChosen(selection, item.id, follows(item.id));
  const pick = (place: number, stretch: boolean) => {
    const item = items[place];
    if (!item) return;
    setActive(place);
    if (!stretch) {
      setAnchor(place);
      return onSelect(toggled(selection, item.id));
    }
    const [from, until] = [Math.min(anchor, place), Math.max(anchor, place)];
    onSelect(withRows(selection, items.slice(from, until + 1).map((each) => [each.id, chosen(each)] as const)));
  };
  const onKey = (event: React.KeyboardEvent) => {
    const beside = besideNow(box.current);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: beside, ArrowUp: -beside, Home: -items.length, End: items.length }[event.key];
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) onAll();
    else if (event.key === " " || event.key === "Enter") pick(active, event.shiftKey);
    else if (step !== undefined) {
      const next = Math.min(Math.max(0, active + step), items.length - 1);
      if (event.shiftKey) pick(next, true);
      setActive(next);
      box.current?.children[next]?.scrollIntoView({ block: "nearest" });
    } else return;
    event.preventDefault();
  };
  const scale = size / sheet.cell;
  return (
    <div
      ref={box}
      className={stale ? "gallery stale" : "gallery"}
      role="listbox"
      aria-label={label}
      aria-multiselectable
      aria-activedescendant={`image-${items[active]?.id ?? ""}`}
      tabIndex={0}
      style={{ gridTemplateColumns: `repeat(auto-fill, minmax(${size + 12}px, max-content))` }}
      onKeyDown={onKey}
    >
      {items.map((item, place) => {
        const suggested = item.values.good;
        const words = caption(item.values);
        return (
          <div
            key={item.id}
            id={`image-${item.id}`}
            role="option"
            aria-selected={chosen(item)}
            aria-label={`${item.id}: ${words}${suggested === true ? ", suggested" : ""}`}
            className={place === active ? "image active" : "image"}
            style={{ width: size + 8 }}
            onMouseDown={(event) => event.shiftKey && event.preventDefault()}
            onClick={(event) => pick(place, event.shiftKey)}
          >
            <span
              className="of-sheet"
              style={{
                width: size,
                height: size,
                backgroundImage: `url("${picture}")`,
                backgroundSize: `${sheet.columns * sheet.cell * scale}px auto`,
                backgroundPosition: `${-item.column * size}px ${-item.row * size}px`,
              }}
            />
            <span className="check">{chosen(item) && <Icon name="check" size={14} />}</span>
            {suggested === true && (
              <span className="suggested" title="The classification itself calls it good">
                <Icon name="wand" size={12} />
              </span>
            )}
            <span className="caption">{words}</span>
          </div>
        );
      })}
    </div>
  );
}

/** How many images stand in a row at present. */
function besideNow(box: HTMLDivElement | null): number {
  const all = [...(box?.children ?? [])] as HTMLElement[];
  const first = all[0]?.offsetTop;
  const next = all.findIndex((each) => each.offsetTop !== first);
  return next < 0 ? Math.max(1, all.length) : next;
}
