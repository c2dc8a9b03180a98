/** The columns of any set as plots. A brush gives a rule, the rule is what is selected, and the histograms show what stays. */

import { useCallback, useMemo, useState } from "react";
import { useColumns, useHistograms, usePoints } from "../../api/sets";
import type { Column } from "../../api/schema";
import { stretchesOf, type Stretch } from "../../selection/rules";
import { isEmpty, NOTHING, ofRule } from "../../selection/selection";
import { SelectionBar } from "../../selection/SelectionBar";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Tabs } from "../../ui/Tabs";
import type { ViewerProps } from "../viewer";
import { RuleBox } from "../RuleBox";
import { useOrder } from "../useOrder";
import { Histogram } from "./Histogram";
import { Scatter } from "./Scatter";
import { taken } from "./taken";
import { telling } from "./telling";
import "./plots.css";

const TABS = [
  ["histograms", "Histograms"],
  ["scatter", "Scatter"],
  ["rows", "Over the rows"],
] as const;

export default function PlotsViewer({ project, output, kind }: ViewerProps) {
  const { data, error, refetch } = useColumns(project, output);
  const [{ where }, setOrder] = useOrder();
  const [tab, setTab] = useState<(typeof TABS)[number][0]>("histograms");
  const [how, setHow] = useState<"and" | "or">("and");
  const onRule = useCallback((rule: string) => setOrder({ where: rule }), [setOrder]);
  const onStretches = useCallback((stretches: Stretch[]) => onRule(taken(where, stretches, how)), [where, how, onRule]);
  const columns = useMemo(() => data?.columns.filter((each) => each.type === "number" || each.type === "yes/no") ?? [], [data]);
  const names = useMemo(() => data?.columns.map((each) => each.name) ?? [], [data]);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the columns" />;
  if (data.of === 0 || columns.length === 0) return <Empty>There are no numbers to plot in {output}.</Empty>;
  const selection = where.trim() ? ofRule(where) : NOTHING;
  return (
    <div className="plots-viewer">
      <div className="plot-tools">
        <RuleBox project={project} output={output} where={where} columns={names} label="Keep" onRule={onRule} />
        <label className="row">
          <span className="soft">A brush</span>
          <select value={how} onChange={(event) => setHow(event.target.value as "and" | "or")} aria-label="How a brush joins the rule">
            <option value="and">narrows the rule (and)</option>
            <option value="or">widens the rule (or)</option>
          </select>
        </label>
      </div>
      <Tabs label="Plots" tabs={TABS} value={tab} onChange={setTab} />
      <div className="plot-room">
        {tab === "histograms" ? (
          <Histograms project={project} output={output} kind={kind} columns={columns} rows={data.of} where={where} onStretches={onStretches} />
        ) : (
          <Pair key={tab} project={project} output={output} kind={kind} columns={columns} lines={tab === "rows"} onStretches={onStretches} />
        )}
      </div>
      <SelectionBar project={project} output={output} selection={selection} what="rows" onSelect={(next) => onRule(isEmpty(next) ? "" : (next.where ?? ""))} />
    </div>
  );
}

interface Plots {
  project: string;
  output: string;
  kind: string;
  columns: Column[];
  onStretches: (stretches: Stretch[]) => void;
}

function Histograms({ project, output, kind, columns, rows, where, onStretches }: Plots & { rows: number; where: string }) {
  const [shown, setShown] = useState(() => telling(kind, columns));
  const [bins, setBins] = useState(() => Math.min(50, Math.max(8, Math.round(2 * Math.sqrt(rows)))));
  const { data, error, refetch } = useHistograms(project, output, shown, bins, where);
  const stretches = useMemo(() => new Map(stretchesOf(where)?.map((each) => [each.column, each])), [where]);
  const onStretch = useCallback((stretch: Stretch) => onStretches([stretch]), [onStretches]);
  const others = columns.filter((each) => !shown.includes(each.name));
  return (
    <>
      <div className="row wrap">
        <select aria-label="Add a histogram" value="" onChange={(event) => event.target.value && setShown([...shown, event.target.value])}>
          <option value="">Add a column …</option>
          {others.map((each) => (
            <option key={each.name}>{each.name}</option>
          ))}
        </select>
        <label className="row">
          <span className="soft">Bins</span>
          <input className="input bins" type="number" min={2} max={500} value={bins} onChange={(event) => setBins(Math.min(500, Math.max(2, Number(event.target.value) || 2)))} />
        </label>
        {data && (
          <span role="status" className="soft">
            {where ? `${number(data.count)} of ${number(data.of)} rows stay` : `${number(data.of)} rows; drag over a histogram to choose`}
          </span>
        )}
      </div>
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && shown.length > 0 && <Loading what="the histograms" />}
      {shown.length === 0 && <Empty>Add a column to see its histogram.</Empty>}
      <div className="histograms">
        {data?.columns.map((each) => (
          <Histogram key={each.column.name} bins={each} stretch={stretches.get(each.column.name)} onStretch={onStretch} onRemove={() => setShown(shown.filter((name) => name !== each.column.name))} />
        ))}
      </div>
    </>
  );
}

function Pair({ project, output, kind, columns, lines, onStretches }: Plots & { lines: boolean }) {
  const first = useMemo(() => telling(kind, columns), [kind, columns]);
  const [y, setY] = useState(first[0] ?? columns[0]?.name ?? "");
  const [x, setX] = useState(first[1] ?? first[0] ?? columns[0]?.name ?? "");
  const { data, error, refetch } = usePoints(project, output, y, lines ? "" : x, "");
  const choose = (label: string, value: string, onChange: (name: string) => void) => (
    <label className="row">
      <span className="soft">{label}</span>
      <select aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
        {columns.map((each) => (
          <option key={each.name}>{each.name}</option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <div className="row wrap">
        {choose("y", y, setY)}
        {!lines && choose("x", x, setX)}
      </div>
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="the points" />}
      {data && data.xs.length === 0 && <Empty>No row has a value in both columns.</Empty>}
      {data && data.xs.length > 0 && <Scatter points={data} lines={lines} onStretches={onStretches} />}
    </>
  );
}
