/** Micrographs one by one, with what is known of each: motion, defocus, and the picks on them with their scores. */

import { useCallback, useMemo, useState } from "react";
import { micrographSource, spectrumThumbnail, useMicrographPicks, useMicrographs } from "../../api/images";
import type { MicrographList } from "../../api/schema";
import { drawCircles } from "../../gl/circles";
import { ContrastControls } from "../../gl/ContrastControls";
import { ImageCanvas } from "../../gl/ImageCanvas";
import type { Image2d } from "../../gl/image2d";
import { PLAIN } from "../../gl/painter";
import { navigate, to } from "../../router";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import type { ViewerProps } from "../viewer";
import { beside, useChosen } from "./chosen";
import { MicrographTable, type Column } from "./MicrographTable";
import { Steps } from "./Steps";
import { ScoreThreshold } from "./ScoreThreshold";
import { TrajectoryCard } from "./Trajectory";

const NUMBERS = [
  ["picks", "Picks", "46px"],
  ["defocus_u", "Defocus", "62px"],
  ["ctf_resolution", "Fit to", "48px"],
  ["motion_total", "Motion", "54px"],
] as const;

export default function MicrographViewer({ project, output }: ViewerProps) {
  const { data, error, refetch } = useMicrographs(project, output);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the micrographs" />;
  if (!data.columns.id?.length) return <Empty>There are no micrographs in it.</Empty>;
  return <Shown project={project} output={output} list={data} />;
}

function Shown({ project, output, list }: { project: string; output: string; list: MicrographList }) {
  const ids = list.columns.id as number[];
  const [chosen, choose] = useChosen(ids);
  const [order, setOrder] = useState<readonly number[]>(ids);
  const [contrast, setContrast] = useState(PLAIN);
  const [lowpass, setLowpass] = useState(0);
  const [least, setLeast] = useState<number | null>(null);
  const row = ids.indexOf(chosen ?? -1);
  const of = <T,>(name: string): T | null => (list.columns[name]?.[row] as T | undefined) ?? null;
  const picked = "picks" in list.columns;
  const picks = useMicrographPicks(project, output, chosen, picked);
  const [width, height, pixelSize] = [of<number>("width"), of<number>("height"), of<number>("pixel_size")];
  const source = useMemo(
    () => (chosen !== null && width && height ? micrographSource(project, list.micrographs, { id: chosen, width, height, pixelSize: pixelSize ?? 1, weighted: false }) : null),
    [project, list.micrographs, chosen, width, height, pixelSize],
  );
  const scores = list.scores;
  const circles = useMemo(() => {
    return (picks.data?.x ?? []).flatMap((x, place) => {
      const score = picks.data?.score[place] ?? null;
      if (least !== null && score !== null && score < least) return [];
      return [{ x, y: picks.data?.y[place] ?? 0, score: score === null ? 0.6 : rank(score, scores) }];
    });
  }, [picks.data, least, scores]);
  const diameter = picks.data?.diameter ?? 60;
  const overlay = useCallback((context: CanvasRenderingContext2D, image: Image2d) => drawCircles(context, image, circles, diameter), [circles, diameter]);
  const columns = useMemo(() => columnsOf(project, list), [project, list]);
  const name = of<string>("micrograph_name") ?? "";
  const go = (step: number) => {
    const next = beside(order, chosen, step);
    if (next !== undefined) choose(next);
  };
  return (
    <div className="mic-split">
      <div className="mic-side">
        <MicrographTable label="Micrographs" ids={ids} columns={columns} chosen={chosen} onChoose={choose} onOrder={setOrder} rowHeight={46} />
      </div>
      <div className="mic-middle">
        <div className="mic-title">
          <Steps name={name} onStep={go} />
          <span className="soft">
            {order.indexOf(chosen ?? -1) + 1} of {ids.length}
          </span>
          <span className="grow" />
          {picked && (
            <span className="soft" role="status">
              {picks.data ? (circles.length < picks.data.x.length ? `${circles.length} of ${picks.data.x.length} picks` : `${circles.length} picks`) : ""}
            </span>
          )}
        </div>
        {source ? (
          <ImageCanvas
            source={source} contrast={contrast} lowpass={lowpass} overlay={overlay}
            label={`Micrograph ${name}${picked ? `, ${circles.length} picks` : ""}. Plus and minus zoom, arrows move it, 0 shows all of it, PageUp and PageDown go to the next.`}
            onKey={(event) => {
              const step = { PageDown: 1, PageUp: -1 }[event.key];
              if (step) go(step);
              return step !== undefined;
            }}
          />
        ) : (
          <Empty>The size of this micrograph is not known.</Empty>
        )}
      </div>
      <aside className="mic-details" aria-label="About the micrograph">
        {picked && scores && <ScoreThreshold project={project} output={output} scores={scores} least={least} onLeast={setLeast} here={picks.data?.score ?? []} />}
        {picked && (
          <button type="button" className="button" onClick={() => navigate(to.form(project, "pick.manual", { micrographs: list.micrographs, coordinates: output, interactive: "yes" }))}>
            <Icon name="pencil" /> Edit as manual picks
          </button>
        )}
        <section>
          <h2>Contrast</h2>
          <ContrastControls contrast={contrast} onContrast={setContrast} lowpass={lowpass} onLowpass={setLowpass} />
        </section>
        {chosen !== null && (
          <section>
            <h2>Motion</h2>
            <TrajectoryCard project={project} output={output} id={chosen} name={name} />
          </section>
        )}
        <section>
          <h2>Facts</h2>
          <dl className="facts">
            {Object.keys(list.columns)
              .filter((each) => !["id", "micrograph_name"].includes(each) && of(each) !== null && of(each) !== "")
              .map((each) => (
                <div key={each}>
                  <dt>{each.replaceAll("_", " ")}</dt>
                  <dd>
                    {number(of(each))} {list.units[each] ?? ""}
                  </dd>
                </div>
              ))}
          </dl>
        </section>
      </aside>
    </div>
  );
}

function columnsOf(project: string, list: MicrographList): Column[] {
  const ids = list.columns.id as number[];
  const names = list.columns.micrograph_name as string[];
  return [
    { name: "spectrum", title: "", width: "42px", values: null, show: (row) => <img className="mic-thumb" src={spectrumThumbnail(project, list.output, ids[row] ?? 0)} alt="" loading="lazy" /> },
    { name: "name", title: "Name", width: "minmax(80px, 1fr)", values: names, show: (row) => <bdi title={names[row]}>{names[row]}</bdi> },
    ...NUMBERS.flatMap(([name, title, width]): Column[] => {
      const values = list.columns[name] as (number | null)[] | undefined;
      return values ? [{ name, title, width, values, unit: list.units[name], right: true, show: (row) => shortly(values[row] ?? null) }] : [];
    }),
  ];
}

/** The part of all picks that have a lower score: colours tell picks apart however scores are spread. */
function rank(score: number, scores: Record<string, number[]> | null): number {
  const [at, count] = [scores?.at ?? [], scores?.count ?? []];
  const above = at.findIndex((each) => each > score);
  return 1 - (count[above < 0 ? count.length - 1 : Math.max(above - 1, 0)] ?? 0) / Math.max(count[0] ?? 1, 1);
}

const shortly = (value: number | null): string => (value === null ? "–" : Math.abs(value) >= 100 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString());
