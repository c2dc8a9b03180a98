/** A map in slices across x, y and z, or many across one axis, with a colour bar and the values of voxels. */

import { useMemo, useState } from "react";
import { useValue, useVolume, type Axis, type Choice } from "../../api/volumes";
import { colours, COLOUR_MAPS, type ColourMapName } from "../../gl/colourMaps";
import { Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import type { ViewerProps } from "../viewer";
import { ColourBar } from "./ColourBar";
import { MapPicker } from "./MapPicker";
import { Montage } from "./Montage";
import { SlicePane } from "./SlicePane";
import { AXES, middle, sideOf, type Spot } from "./spot";
import "./volume.css";

export default function SliceViewer({ project, output }: ViewerProps) {
  const [choice, setChoice] = useState<Choice>({ which: "", id: undefined });
  const { data, error, refetch } = useVolume(project, output, choice);
  const [moved, setMoved] = useState<Spot | null>(null);
  const [montage, setMontage] = useState<Axis | null>(null);
  const [map, setMap] = useState<ColourMapName | null>(null);
  const [range, setRange] = useState<readonly [number, number] | null>(null);
  const [under, setUnder] = useState("");
  const marked = useValue(project, output, choice, moved);
  const limits = data?.limits ?? null;
  const shown = map ?? (limits ? "viridis" : "grey");
  const table = useMemo(() => colours(shown), [shown]);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the map" />;
  const spot = moved ?? middle(data);
  const value = (byte: number) => data.min + (byte / 255) * (data.max - data.min);
  const byte = (value: number) => (255 * (value - data.min)) / Math.max(data.max - data.min, 1e-20);
  const [black, white] = range ?? (limits ? [byte(limits[0]), byte(limits[1])] : [0, 255]);
  const setBlack = (byte: number) => setRange([Math.min(byte, white - 1), white]);
  const setWhite = (byte: number) => setRange([black, Math.max(byte, black + 1)]);
  // Of local resolutions, 0 is no resolution: it lies outside of the specimen.
  const hollow = limits !== null && data.min === 0;
  const look = { spot, table, black, white, hollow, onMove: setMoved, onUnder: setUnder };
  const size = `${data.shape.toReversed().join(" × ")} voxels${data.pixel_size ? ` of ${number(data.pixel_size)} Å` : ""}`;
  return (
    <div className="slices">
      <div className="viewer-bar">
        <MapPicker info={data} choice={choice} onChange={(next) => (setChoice(next), setRange(null))} />
        <label className="row">
          View
          <select value={montage ?? ""} onChange={(event) => setMontage((event.target.value || null) as Axis | null)}>
            <option value="">three slices</option>
            {AXES.map((axis) => (
              <option key={axis} value={axis}>
                many across {axis}
              </option>
            ))}
          </select>
        </label>
        <label className="row">
          Colours
          <select value={shown} onChange={(event) => setMap(event.target.value as ColourMapName)}>
            {COLOUR_MAPS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        {limits ? (
          <>
            <Limit label="From" value={value(black)} onChange={(chosen) => setRange([byte(chosen), white])} />
            <Limit label="to" unit="Å" value={value(white)} onChange={(chosen) => setRange([black, byte(chosen)])} />
            <button type="button" className="button" title="Let the colours run over the whole map, as in its report" onClick={() => setRange(null)}>
              All
            </button>
          </>
        ) : (
          <>
            <label className="row">
              From <input type="range" min={0} max={254} value={black} aria-valuetext={number(value(black))} onChange={(event) => setBlack(Number(event.target.value))} />
            </label>
            <label className="row">
              to <input type="range" min={1} max={255} value={white} aria-valuetext={number(value(white))} onChange={(event) => setWhite(Number(event.target.value))} />
            </label>
          </>
        )}
        <ColourBar table={table} low={value(black)} high={value(white)} unit={limits ? "Å" : ""} />
        <output className="soft mono" aria-label="Voxel">
          {under || (moved && marked.data ? `x ${moved.x}, y ${moved.y}, z ${moved.z}: exactly ${number(marked.data.value)}` : size)}
        </output>
      </div>
      {montage ? (
        <Montage project={project} output={output} choice={choice} axis={montage} table={table} black={black} white={white} hollow={hollow} onChoose={(slice) => (setMoved({ ...spot, [montage]: slice }), setMontage(null))} />
      ) : (
        <div className="panes">
          {AXES.map((axis) => (
            <SlicePane key={axis} project={project} output={output} choice={choice} axis={axis} side={sideOf(data, axis)} {...look} />
          ))}
        </div>
      )}
    </div>
  );
}

function Limit({ label, unit = "", value, onChange }: { label: string; unit?: string; value: number; onChange: (value: number) => void }) {
  return (
    <label className="row">
      {label} <input className="input limit" type="number" step="any" min={0} value={Number(value.toPrecision(4))} onChange={(event) => event.target.value !== "" && onChange(Number(event.target.value))} /> {unit}
    </label>
  );
}
