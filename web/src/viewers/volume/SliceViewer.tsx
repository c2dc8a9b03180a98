/** A map in slices across x, y and z, with a colour bar, and the value under the cursor. */

import { useMemo, useState } from "react";
import { useVolume, type Choice, type VolumeInfo } from "../../api/volumes";
import { colours, COLOUR_MAPS, type ColourMapName } from "../../gl/colourMaps";
import { Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import type { ViewerProps } from "../registry";
import { ColourBar } from "./ColourBar";
import { MapPicker } from "./MapPicker";
import { SlicePane } from "./SlicePane";
import "./volume.css";

/** A place in the map, in voxels. */
export interface Spot {
  x: number;
  y: number;
  z: number;
}

const middle = ({ shape: [depth, height, width] }: VolumeInfo): Spot => ({ x: Math.floor(width / 2), y: Math.floor(height / 2), z: Math.floor(depth / 2) });

export default function SliceViewer({ project, output }: ViewerProps) {
  const [choice, setChoice] = useState<Choice>({ which: "", id: undefined });
  const { data, error, refetch } = useVolume(project, output, choice);
  const [moved, setMoved] = useState<Spot | null>(null);
  const [map, setMap] = useState<ColourMapName>("grey");
  const [black, setBlack] = useState(0);
  const [white, setWhite] = useState(255);
  const [under, setUnder] = useState("");
  const table = useMemo(() => colours(map), [map]);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the map" />;
  const spot = moved ?? middle(data);
  const value = (byte: number) => data.min + (byte / 255) * (data.max - data.min);
  const pane = { project, output, choice, info: data, spot, table, black, white, onMove: setMoved, onUnder: setUnder };
  return (
    <div className="slices">
      <div className="viewer-bar">
        <MapPicker info={data} choice={choice} onChange={setChoice} />
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
        <output className="soft mono">{under || `${data.shape.toReversed().join(" × ")} voxels${data.pixel_size ? ` of ${number(data.pixel_size)} Å` : ""}`}</output>
      </div>
      <div className="panes">
        <SlicePane axis="z" {...pane} />
        <SlicePane axis="y" {...pane} />
        <SlicePane axis="x" {...pane} />
      </div>
    </div>
  );
}
