/** Transfer functions: the spectrum with the fit, its curves and numbers; what is bad is put on a list, for subsets without it. */

import { useMemo, useState } from "react";
import { useCtfFit, useMicrographs, type CtfFit } from "../../api/images";
import type { MicrographList } from "../../api/schema";
import { navigate, to } from "../../router";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { counted, number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import { spectrumThumbnail } from "../../api/images";
import { beside, useChosen } from "../micrographs/chosen";
import { MicrographTable, type Column } from "../micrographs/MicrographTable";
import { Steps } from "../micrographs/Steps";
import { idRanges } from "../micrographs/sorting";
import type { ViewerProps } from "../viewer";
import { CurvePlot, type Curve } from "./CurvePlot";
import { SpectrumView, type Rings } from "./SpectrumView";
import { zeros } from "./zeros";
import "./ctf.css";

const NUMBERS = [
  ["ctf_resolution", "Fit to", "46px"],
  ["defocus_u", "Defocus", "62px"],
  ["astigmatism", "Astig.", "46px"],
  ["ctf_score", "Score", "46px"],
] as const;
const FACTS = ["defocus_u", "defocus_v", "defocus_angle", "astigmatism", "defocus_error", "phase_shift", "ctf_resolution", "ctf_score", "ctf_rings", "ctf_iceness", "ctf_agreement"];
/** Columns of curves as they are called and drawn. */
const STYLES: Record<string, [name: string, colour: string, dashed?: boolean]> = {
  ctf_rotational: ["circular mean", "#8a949d"],
  ctf_equiphase: ["measured, along equal phase", "#1f6f8b"],
  ctf_fit: ["fitted", "#d9663b"],
  ctf_quality: ["local correlation", "#7a5bbf", true],
  ctf_power: ["measured", "#1f6f8b"],
  ctf_background: ["background", "#8a949d", true],
  ctf_envelope: ["envelope", "#7a5bbf", true],
};

export default function CtfViewer({ project, output }: ViewerProps) {
  const { data, error, refetch } = useMicrographs(project, output);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the transfer functions" />;
  if (!data.columns.id?.length) return <Empty>There are no transfer functions in it.</Empty>;
  return <Shown project={project} output={output} list={data} />;
}

function Shown({ project, output, list }: { project: string; output: string; list: MicrographList }) {
  const ids = list.columns.id as number[];
  const names = list.columns.micrograph_name as string[];
  const [chosen, choose] = useChosen(ids);
  const [order, setOrder] = useState<readonly number[]>(ids);
  const [rejected, setRejected] = useState<ReadonlySet<number>>(new Set());
  const mark = (id: number) => setRejected((before) => (before.has(id) ? new Set([...before].filter((each) => each !== id)) : new Set([...before, id])));
  const columns = useMemo(() => columnsOf(project, list, rejected, mark), [project, list, rejected]);
  const name = names[ids.indexOf(chosen ?? -1)] ?? "";
  const go = (step: number) => {
    const next = beside(order, chosen, step);
    if (next !== undefined) choose(next);
  };
  const kept = ids.filter((id) => !rejected.has(id));
  const subset = (items: string, chosenIds: Iterable<number>) => navigate(to.form(project, "sets.select", { items, mode: "ids", ids: idRanges(chosenIds) }));
  return (
    <div className="mic-split">
      <div className="mic-side">
        <MicrographTable label="Transfer functions" ids={ids} columns={columns} chosen={chosen} onChoose={choose} onMark={mark} onOrder={setOrder} rowHeight={46} />
        <div className="mic-foot" role="group" aria-label="What was rejected">
          <span className="soft" role="status">
            {rejected.size === 0 ? "Tick what is bad, or press Space on it." : `${counted(rejected.size, "micrograph")} rejected`}
          </span>
          {rejected.size > 0 && (
            <>
              <button type="button" className="button" onClick={() => subset(output, kept)}>
                CTFs without these …
              </button>
              <button type="button" className="button" onClick={() => subset(list.micrographs, kept)}>
                Micrographs without these …
              </button>
              <button type="button" className="button" title="A subset of their micrographs, to estimate their CTFs again" onClick={() => subset(list.micrographs, rejected)}>
                Recompute CTF of these …
              </button>
            </>
          )}
        </div>
      </div>
      <div className="mic-middle">
        <div className="mic-title">
          <Steps name={name} onStep={go} />
          <span className="grow" />
          {chosen !== null && (
            <button type="button" className={rejected.has(chosen) ? "button on" : "button"} aria-pressed={rejected.has(chosen)} onClick={() => mark(chosen)}>
              <Icon name="cross" /> {rejected.has(chosen) ? "Rejected" : "Reject"}
            </button>
          )}
        </div>
        {chosen !== null && <Fit key={chosen} project={project} output={output} id={chosen} name={name} />}
      </div>
    </div>
  );
}

function Fit({ project, output, id, name }: { project: string; output: string; id: number; name: string }) {
  const { data, error, refetch } = useCtfFit(project, output, id);
  const [model, setModel] = useState(true);
  const [showRings, setShowRings] = useState(false);
  const rings = useMemo(() => (data ? ringsOf(data) : null), [data]);
  return (
    <div className="ctf-fit">
      <div className="ctf-top">
        <div className="ctf-picture">
          <SpectrumView project={project} output={output} id={id} name={name} rings={rings} model={model} showRings={showRings} />
          <div className="row wrap">
            <label className="row">
              <input type="checkbox" checked={model} onChange={(event) => setModel(event.target.checked)} /> model in a quarter
            </label>
            <label className="row">
              <input type="checkbox" checked={showRings} onChange={(event) => setShowRings(event.target.checked)} /> first zeros
            </label>
          </div>
        </div>
        <div className="ctf-facts">{error ? <Failed error={error} retry={() => void refetch()} /> : data ? <Facts fit={data} /> : <Loading what="the fit" />}</div>
      </div>
      {data && rings && <Curves fit={data} rings={rings} name={name} />}
    </div>
  );
}

function Facts({ fit: { values } }: { fit: CtfFit }) {
  const value = (name: string) => values[name]?.value as number | null | undefined;
  const flags = [
    value("ctf_aliasing") ? `Beyond ${number(value("ctf_aliasing"))} Å the pixels of the spectrum are too coarse for its rings.` : "",
    value("ctf_drift") ? `Rings fade along one direction: ${number(value("ctf_drift"))} Å of motion are left in the image.` : "",
  ].filter(Boolean);
  return (
    <>
      {flags.map((flag) => (
        <div key={flag} className="notice advice">
          {flag}
        </div>
      ))}
      <dl className="facts">
        {FACTS.filter((name) => values[name] && value(name) !== null).map((name) => (
          <div key={name} title={values[name]?.meaning}>
            <dt>{TITLES[name] ?? name}</dt>
            <dd>
              {number(value(name))} {values[name]?.unit}
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

const TITLES: Record<string, string> = {
  defocus_u: "Defocus U", defocus_v: "Defocus V", defocus_angle: "Angle of U", astigmatism: "Astigmatism", defocus_error: "Defocus, error",
  phase_shift: "Phase shift", ctf_resolution: "Fit to", ctf_score: "Cross-correlation", ctf_rings: "Rings", ctf_iceness: "Ice ring", ctf_agreement: "Agreement",
};

function Curves({ fit, rings, name }: { fit: CtfFit; rings: Rings; name: string }) {
  const plots = useMemo(
    () =>
      fit.curves.map((curve) => ({
        frequencies: curve.x,
        zeros: zeros((rings.u + rings.v) / 2, rings, curve.x.at(-1) ?? 0),
        curves: curve.series.map(({ name: column, y }): Curve => {
          const [title, colour, dashed] = STYLES[column] ?? [column, "#257a47"];
          return { name: title, colour, values: y, dashed };
        }),
      })),
    [fit, rings],
  );
  return (
    <>
      {plots.map((plot, place) => (
        <CurvePlot key={place} {...plot} resolution={rings.resolution} label={`Measured and fitted transfer function of ${name}; dotted lines: ${plot.zeros.length} zeros, the first at ${(1 / (plot.zeros[0] ?? 1)).toFixed(1)} Å`} />
      ))}
    </>
  );
}

function ringsOf({ values }: CtfFit): Rings {
  const of = (name: string, otherwise: number) => (values[name]?.value as number | null | undefined) ?? otherwise;
  const u = of("defocus_u", 0);
  return {
    u, v: of("defocus_v", u), angle: of("defocus_angle", 0), voltage: of("voltage", 300), cs: of("cs", 2), amplitudeContrast: of("amplitude_contrast", 0.1),
    phaseShift: of("phase_shift", 0), resolution: of("ctf_resolution", 0) || null,
  };
}

function columnsOf(project: string, list: MicrographList, rejected: ReadonlySet<number>, mark: (id: number) => void): Column[] {
  const ids = list.columns.id as number[];
  const names = list.columns.micrograph_name as string[];
  const failed = (list.columns.fail_reason ?? []) as (string | null)[];
  return [
    {
      name: "rejected", title: "Bad", width: "30px", values: ids.map((id) => Number(rejected.has(id))),
      show: (row) => {
        const id = ids[row] ?? 0;
        return <input type="checkbox" tabIndex={-1} aria-label={`Reject ${names[row]}`} checked={rejected.has(id)} onChange={() => mark(id)} onClick={(event) => event.stopPropagation()} />;
      },
    },
    { name: "spectrum", title: "", width: "42px", values: null, show: (row) => <img className="mic-thumb" src={spectrumThumbnail(project, list.output, ids[row] ?? 0)} alt="" loading="lazy" /> },
    {
      name: "name", title: "Name", width: "minmax(70px, 1fr)", values: names,
      show: (row) => (
        <bdi title={failed[row] || names[row]}>
          {failed[row] && <Icon name="warning" size={13} />} {names[row]}
        </bdi>
      ),
    },
    ...NUMBERS.flatMap(([name, title, width]): Column[] => {
      const values = list.columns[name] as (number | null)[] | undefined;
      return values ? [{ name, title, width, values, unit: list.units[name], right: true, show: (row) => (values[row] == null ? "–" : number(Number(values[row]?.toPrecision(3)))) }] : [];
    }),
  ];
}
