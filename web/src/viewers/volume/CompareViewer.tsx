/** Two maps of a project side by side: linked slices with their difference, linked surfaces, and their shell correlation. */

import { useMemo, useRef, useState } from "react";
import { useAgreement, useCompanions, useDifference, type Agreement, type Chosen } from "../../api/pairs";
import { useBrick, useVolume, type Axis, type Choice, type VolumeInfo } from "../../api/volumes";
import { colours } from "../../gl/colourMaps";
import type { SurfaceScene } from "../../gl/scene";
import { hasWebgl } from "../../gl/stage";
import { navigate, to, usePlace } from "../../router";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { Tabs } from "../../ui/Tabs";
import { FscPlot } from "../fsc/FscPlot";
import type { ViewerProps } from "../viewer";
import { CompanionPicker } from "./CompanionPicker";
import { entries, type Entry } from "./companions";
import { MapPicker } from "./MapPicker";
import { PlanePicture, type PlaneLook } from "./PlanePicture";
import { SlicePane } from "./SlicePane";
import { middle, sideOf, type Spot } from "./spot";
import { SurfaceCanvas } from "./SurfaceCanvas";
import { useSurface } from "./useSurface";
import "./volume.css";

type Mode = "slices" | "surfaces" | "fsc";

const BRICK = 128;
/** Standard deviations about the mean that slices show: solvent is seen, and protein does not burn out. */
const SHOWN = [-3, 9] as const;

/** The map that the address names second: an output, or one map of it. */
function second(all: readonly Entry[], wanted: string): Entry | undefined {
  return all.find(({ key }) => key === wanted) ?? all.find(({ chosen }) => chosen.output === wanted);
}

export default function CompareViewer({ project, output }: ViewerProps) {
  const wanted = usePlace().query.get("with") ?? "";
  const [choice, setChoice] = useState<Choice>({ which: "", id: undefined });
  const first = useMemo(() => ({ output, choice }), [output, choice]);
  const { data: info, error, refetch } = useVolume(project, output, choice);
  const companions = useCompanions(project, first);
  const all = useMemo(() => entries(companions.data).filter(({ chosen }) => info && !(chosen.output === output && chosen.choice.which === info.name && chosen.choice.id === info.id)), [companions.data, info, output]);
  const problem = error ?? companions.error;
  if (problem) return <Failed error={problem} retry={() => (void refetch(), void companions.refetch())} />;
  if (!info || !companions.data) return <Loading what="the maps" />;
  const other = second(all, wanted);
  const bar = (
    <>
      <MapPicker info={info} choice={choice} onChange={setChoice} />
      <CompanionPicker label="Compare with" none="choose a map" all={all} value={other?.key ?? ""} onChange={(key) => navigate(to.compareMaps(project, output, key), { replace: true })} />
    </>
  );
  return (
    <div className="surface pair">
      {other ? <Sides key={other.key} project={project} first={first} info={info} other={other} bar={bar} /> : <div className="viewer-bar">{bar}</div>}
      {all.length === 0 && <Empty>No other map of this project has this box ({info.shape.toReversed().join(" × ")}) and pixel size.</Empty>}
      {all.length > 0 && !other && (
        <Empty>{wanted ? `${wanted} has no map of the same box and pixel size as ${output}.` : "Choose the map to compare with: those with the same box and pixel size are offered."}</Empty>
      )}
    </div>
  );
}

function Sides({ project, first, info, other, bar }: { project: string; first: Chosen; info: VolumeInfo; other: Entry; bar: React.ReactNode }) {
  const [mode, setMode] = useState<Mode>("slices");
  const { data, error } = useVolume(project, other.chosen.output, other.chosen.choice);
  const agreement = useAgreement(project, first, other.chosen);
  const told = agreement.data;
  return (
    <>
      <div className="viewer-bar">
        {bar}
        <Tabs
          label="Comparison"
          tabs={[
            ["slices", "Slices"],
            ["surfaces", "Surfaces"],
            ["fsc", "Shell correlation"],
          ]}
          value={mode}
          onChange={setMode}
        />
        <output className="mono soft" aria-label="Agreement">
          {told
            ? `correlation ${number(told.correlation)}; FSC ${told.resolutions.map(([at, value]) => `${at} at ${number(Number(value.toPrecision(3)))} ${told.pixel_size ? "Å" : "voxels"}`).join(", ")}`
            : agreement.error
              ? ""
              : "correlating …"}
        </output>
      </div>
      {error && <Failed error={error} />}
      {agreement.error && <Failed error={agreement.error} />}
      {!data && !error && <Loading what={other.text} />}
      {data && mode === "slices" && <LinkedSlices project={project} first={first} info={info} other={other} otherInfo={data} />}
      {data && mode === "surfaces" && (hasWebgl ? <LinkedSurfaces project={project} first={first} info={info} other={other} otherInfo={data} /> : <div className="notice advice">This browser has no WebGL2, which surfaces need; compare slices instead.</div>)}
      {mode === "fsc" && (told ? <ShellCorrelation agreement={told} title={`${first.output} and ${other.text}`} /> : !agreement.error && <Loading what="the shell correlation" />)}
    </>
  );
}

function ShellCorrelation({ agreement: { frequency, fsc, resolutions, pixel_size }, title }: { agreement: Agreement; title: string }) {
  const curves = useMemo(() => [{ name: "fsc", title, frequency, values: fsc, crossings: Object.fromEntries(resolutions) }], [title, frequency, fsc, resolutions]);
  return <FscPlot curves={curves} unit={pixel_size ? "Å" : "voxels"} />;
}

interface Linked {
  project: string;
  first: Chosen;
  info: VolumeInfo;
  other: Entry;
  otherInfo: VolumeInfo;
}

/** The bytes of a map's slices between which both maps show the same deviations from their means. */
function limits({ min, max, mean, sigma }: VolumeInfo): { black: number; white: number } {
  const byte = (deviations: number) => Math.min(255, Math.max(0, (255 * (mean + deviations * sigma - min)) / (max - min || 1)));
  return { black: byte(SHOWN[0]), white: Math.max(byte(SHOWN[0]) + 1, byte(SHOWN[1])) };
}

function LinkedSlices({ project, first, info, other, otherInfo }: Linked) {
  const [axis, setAxis] = useState<Axis>("z");
  const [spot, setSpot] = useState<Spot>(middle(info));
  const [under, setUnder] = useState("");
  const grey = useMemo(() => colours("grey"), []);
  const look = { axis, spot, side: sideOf(info, axis), onMove: setSpot, onUnder: setUnder, table: grey };
  return (
    <div className="slices">
      <div className="viewer-bar">
        <label className="row">
          Across
          <select value={axis} onChange={(event) => setAxis(event.target.value as Axis)}>
            {(["z", "y", "x"] as const).map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <span className="soft">both from −{-SHOWN[0]} to {SHOWN[1]} σ; the second is fitted to the first’s grey scale before it is taken off</span>
        <output className="soft mono">{under}</output>
      </div>
      <div className="panes">
        <SlicePane project={project} output={first.output} choice={first.choice} title={first.output} {...look} {...limits(info)} />
        <SlicePane project={project} output={other.chosen.output} choice={other.chosen.choice} title={other.chosen.output} {...look} {...limits(otherInfo)} />
        <DifferencePane project={project} first={first} second={other.chosen} look={{ ...look, black: 0, white: 255 }} />
      </div>
    </div>
  );
}

function DifferencePane({ project, first, second, look }: { project: string; first: Chosen; second: Chosen; look: PlaneLook }) {
  const { data, error } = useDifference(project, first, second, look.axis, look.spot[look.axis]);
  return <PlanePicture title="difference" data={data} error={error} {...look} />;
}

function LinkedSurfaces({ project, first, info, other, otherInfo }: Linked) {
  const suggested = info.sigma > 0 ? (info.level - info.mean) / info.sigma : 0;
  const [deviations, setDeviations] = useState(suggested);
  const scenes = useRef<(SurfaceScene | null)[]>([null, null]);
  const link = (place: 0 | 1) => (made: SurfaceScene | null) => {
    scenes.current[place] = made;
    if (made) made.onTurn = (view) => scenes.current[1 - place]?.follow(view);
  };
  const sides = [useSide(project, first, info, deviations), useSide(project, other.chosen, otherInfo, deviations)] as const;
  const most = Math.max(1, ...[info, otherInfo].map(({ max, mean, sigma }) => (sigma > 0 ? (max - mean) / sigma : 1)));
  return (
    <>
      <div className="viewer-bar">
        <label className="row">
          Level <input type="range" min={0} max={most} step={most / 500} value={deviations} aria-valuetext={`${number(deviations)} σ`} onChange={(event) => setDeviations(Number(event.target.value))} />
        </label>
        <span className="soft mono">{number(deviations)} σ of each map</span>
        <button type="button" className="button" onClick={() => setDeviations(suggested)}>
          Suggested level
        </button>
        <button type="button" className="button" onClick={() => scenes.current.forEach((scene) => scene?.reset())}>
          Reset view
        </button>
      </div>
      <div className="sides">
        {sides.map(({ shown, error }, place) => (
          <div key={place} className="stage">
            <SurfaceCanvas info={place === 0 ? info : otherInfo} name={place === 0 ? first.output : other.text} shown={shown} onScene={link(place === 0 ? 0 : 1)} />
            <span className="name">{place === 0 ? first.output : other.text}</span>
            {error && <Failed error={error} />}
            {!shown && !error && <Loading what="the surface" />}
          </div>
        ))}
      </div>
    </>
  );
}

function useSide(project: string, { output, choice }: Chosen, { mean, sigma }: VolumeInfo, deviations: number) {
  const { data, error } = useBrick(project, output, choice, BRICK);
  return { shown: useSurface(data, mean + deviations * sigma), error };
}
