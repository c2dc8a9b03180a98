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
  const [map, setMap] = useState<ColourMapName>("grey");
  const [black, setBlack] = useState(0);
  const [white, setWhite] = useState(255);
  const [under, setUnder] = useState("");
  const marked = useValue(project, output, choice, moved);
  const table = useMemo(() => colours(map), [map]);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the map" />;
  const spot = moved ?? middle(data);
  const value = (byte: number) => data.min + (byte / 255) * (data.max - data.min);
  const look = { spot, table, black, white, onMove: setMoved, onUnder: setUnder };
  const size = `${data.shape.toReversed().join(" × ")} voxels${data.pixel_size ? ` of ${number(data.pixel_size)} Å` : ""}`;
  return (
    <div className="slices">
      <div className="viewer-bar">
        <MapPicker info={data} choice={choice} onChange={setChoice} />
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
          <select value={map} onChange={(event) => setMap(event.target.value as ColourMapName)}>
            {COLOUR_MAPS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label className="row">
          From <input type="range" min={0} max={254} value={black} aria-valuetext={number(value(black))} onChange={(event) => setBlack(Math.min(Number(event.target.value), white - 1))} />
        </label>
        <label className="row">
          to <input type="range" min={1} max={255} value={white} aria-valuetext={number(value(white))} onChange={(event) => setWhite(Math.max(Number(event.target.value), black + 1))} />
        </label>
        <ColourBar table={table} low={value(black)} high={value(white)} />
        <output className="soft mono" aria-label="Voxel">
          {under || (moved && marked.data ? `x ${moved.x}, y ${moved.y}, z ${moved.z}: exactly ${number(marked.data.value)}` : size)}
        </output>
      </div>
      {montage ? (
        <Montage project={project} output={output} choice={choice} axis={montage} table={table} black={black} white={white} onChoose={(slice) => (setMoved({ ...spot, [montage]: slice }), setMontage(null))} />
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
