/** The surface of a map: its level by a slider, coarse at once and fine on request, coloured by another map, in a mask's outline. */

import { useMemo, useRef, useState } from "react";
import { address, at } from "../../api/client";
import { useCompanions } from "../../api/pairs";
import { useModels, useTrace } from "../../api/traces";
import { useBrick, useValue, useVolume, type Choice, type VolumeInfo } from "../../api/volumes";
import { colours, type ColourMapName } from "../../gl/colourMaps";
import { quantiles, tinted } from "../../gl/sampling";
import { drawScaleBar } from "../../gl/scaleBar";
import type { SurfaceScene } from "../../gl/scene";
import { hasWebgl } from "../../gl/stage";
import { navigate, to } from "../../router";
import { Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { useSettled } from "../../ui/useSettled";
import { Files } from "../Files";
import type { ViewerProps } from "../viewer";
import { ColourLegend } from "./ColourLegend";
import { CompanionPicker } from "./CompanionPicker";
import { entries, found } from "./companions";
import { MapPicker } from "./MapPicker";
import type { Spot } from "./spot";
import { SurfaceCanvas } from "./SurfaceCanvas";
import { useSurface } from "./useSurface";
import "./volume.css";

const COARSE = 128;
const FINE = 256;
const MASK_LEVEL = 0.5;
/** A level that has not moved for so long rests, ms. */
const REST = 300;
const PALETTE: ColourMapName = "viridis";
const OWN: Choice = { which: "", id: undefined };
/** A map that another one of its output colours. */
const COLOURED = "coloured";
const PAINTER = "painter";

export default function SurfaceViewer({ project, output }: ViewerProps) {
  const [chosen, setChoice] = useState<Choice | null>(null);
  const own = useVolume(project, output, OWN);
  // Of local resolutions, the surface is that of the map that they belong to.
  const choice = chosen ?? (own.data?.volumes[0]?.which.includes(COLOURED) ? { which: COLOURED, id: undefined } : OWN);
  const { data, error, refetch } = useVolume(project, output, choice);
  useBrick(project, hasWebgl ? output : "", choice, COARSE); // on its way while the map's numbers are
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the map" />;
  const picker = <MapPicker info={data} choice={choice} onChange={setChoice} />;
  if (!hasWebgl)
    return (
      <div className="surface">
        <div className="viewer-bar">{picker}</div>
        <div className="notice advice">This browser has no WebGL2, which surfaces need; here are slices of the map.</div>
        <img src={address(`${at.output(project, output)}/slices`, { ...choice, count: 24, columns: 6 })} alt={`Slices of ${output}`} />
      </div>
    );
  return <Surface key={`${data.id}-${data.name}`} project={project} output={output} info={data} choice={choice} picker={picker} />;
}

function Surface({ project, output, info, choice, picker }: { project: string; output: string; info: VolumeInfo; choice: Choice; picker: React.ReactNode }) {
  const scene = useRef<SurfaceScene>(null);
  const [level, setLevel] = useState(info.level);
  const [fine, setFine] = useState(false);
  const [painter, setPainter] = useState(info.name === COLOURED ? `${output}/${info.id}/${PAINTER}` : "");
  const [masked, setMasked] = useState("");
  const [model, setModel] = useState("");
  const [limits, setLimits] = useState<readonly [number, number] | null>(null);
  const [voxel, setVoxel] = useState<Spot | null>(null);
  const largest = Math.max(...info.shape);
  const companions = useCompanions(project, { output, choice });
  const others = useMemo(() => entries(companions.data), [companions.data]);
  const paint = found(others, painter);
  const mask = found(others, masked);

  // While the level moves the coarse map answers; the fine one once it rests.
  const settled = useSettled(level, REST);
  const size = fine && settled === level ? FINE : COARSE;
  const coarse = useBrick(project, output, choice, COARSE);
  const { data: brick = coarse.data, error, isFetching } = useBrick(project, output, choice, size);
  const painted = useBrick(project, paint.output, paint.choice, brick && Math.max(...brick.shape) > COARSE ? FINE : COARSE);
  const inside = useBrick(project, mask.output, mask.choice, COARSE);
  const shown = useSurface(brick, level, painter ? painted.data : undefined);
  const outline = useSurface(masked ? inside.data : undefined, MASK_LEVEL);

  const table = useMemo(() => colours(PALETTE), []);
  const values = painter ? (shown?.values ?? null) : null;
  const [low, high] = useMemo(() => limits ?? (values ? quantiles(values, 0.02, 0.98) : [0, 1]), [limits, values]) as [number, number];
  const tints = useMemo(() => values && tinted(values, table, low, high), [values, table, low, high]);
  const { data: models = [] } = useModels(project);
  const { data: trace = null, error: lost } = useTrace(project, output, choice, model);
  const own = useValue(project, output, choice, voxel);
  const painting = useVolume(project, paint.output, paint.choice);
  const painterEntry = others.find((each) => each.key === painter);
  const unit = painterEntry?.unit ?? "";
  const other = useValue(project, paint.output, paint.choice, voxel);

  const save = () => {
    if (!scene.current) return;
    const picture = scene.current.picture();
    drawScaleBar(picture, scene.current.pixel, info.pixel_size ? "Å" : "voxels");
    const link = document.createElement("a");
    link.href = picture.toDataURL("image/png");
    link.download = `${output}.png`;
    link.click();
  };
  return (
    <div className="surface">
      <div className="viewer-bar">
        {picker}
        <label className="row">
          Level
          <input type="range" min={info.min} max={info.max} step={(info.max - info.min) / 500} value={level} onChange={(event) => setLevel(Number(event.target.value))} />
        </label>
        <input
          className="input level"
          type="number"
          aria-label="Level"
          step="any"
          value={Number(level.toPrecision(4))}
          onChange={(event) => event.target.value !== "" && setLevel(Number(event.target.value))}
        />
        <span className="soft mono">{info.sigma > 0 ? `${number((level - info.mean) / info.sigma)} σ` : ""}</span>
        <button type="button" className="button" onClick={() => setLevel(info.level)}>
          Suggested level
        </button>
        {largest > COARSE && (
          <button type="button" className={fine ? "button on" : "button"} aria-pressed={fine} onClick={() => setFine(!fine)}>
            {fine && isFetching ? "Loading detail …" : "Full detail"}
          </button>
        )}
        <CompanionPicker label="Colour by" none="one colour" all={others} value={painter} onChange={(key) => (setPainter(key), setLimits(null))} />
        <CompanionPicker label="Outline" none="none" all={others.filter((each) => each.kind === "mask")} value={masked} onChange={setMasked} />
        {info.pixel_size !== null && models.length > 0 && (
          <CompanionPicker label="Model" none="none" all={models.map((each) => ({ key: each.output, text: `${each.output} (${each.label})` }))} value={model} onChange={setModel} />
        )}
        <button type="button" className="button" onClick={() => scene.current?.reset()}>
          Reset view
        </button>
        <button type="button" className="button" onClick={save}>
          Save picture
        </button>
        <button type="button" className="button" onClick={() => navigate(to.compareMaps(project, output, ""))}>
          Compare with …
        </button>
        <Files project={project} output={output} />
      </div>
      {error && <Failed error={error} />}
      {painted.error && <Failed error={painted.error} />}
      {inside.error && <Failed error={inside.error} />}
      {lost && <Failed error={lost} />}
      <div className="stage">
        <SurfaceCanvas info={info} name={output} shown={shown} colours={tints} outline={masked ? outline : null} trace={model ? trace : null} onScene={(made) => (scene.current = made)} onPick={setVoxel} />
        {values && <ColourLegend what={painterEntry?.text ?? ""} unit={unit} whole={painting.data?.limits ?? null} values={values} table={table} low={low} high={high} onChange={(from, to) => setLimits([from, to])} onAutomatic={() => setLimits(null)} />}
        <output className="picked mono">
          {voxel
            ? `x ${voxel.x}, y ${voxel.y}, z ${voxel.z}: ${number(own.data?.value)}${painter ? `, coloured by ${number(other.data?.value)} ${unit}`.trimEnd() : ""}`
            : "Click on the surface for the value of a voxel"}
        </output>
        {!shown && !error && <Loading what="the surface" />}
      </div>
    </div>
  );
}
