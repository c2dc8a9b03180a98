/** From where the particles were seen: views counted in cells of equal area, on a flat map and on a globe. */

import { useMemo, useRef, useState } from "react";
import { useOrientations, type ViewsWanted } from "../../api/orientations";
import { angles, Cells, type Direction } from "../../gl/cells";
import { colours } from "../../gl/colourMaps";
import { hasWebgl } from "../../gl/stage";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { number } from "../../ui/format";
import type { ViewerProps } from "../viewer";
import { ColourBar } from "../volume/ColourBar";
import { Globe } from "./Globe";
import { ViewMap } from "./ViewMap";
import "../volume/volume.css";
import "./angular.css";

const WORDS: Record<string, string> = { half_set: "half", class_id: "class" };

export default function AngularViewer({ project, output }: ViewerProps) {
  const [wanted, setWanted] = useState<ViewsWanted>({ symmetry: "", spread: "all", side: 0, where: "" });
  const [typed, setTyped] = useState<string | null>(null);
  const [spot, setSpot] = useState<Direction | null>(null);
  const { data: answer, error, refetch } = useOrientations(project, output, wanted);
  const last = useRef(answer);
  if (answer) last.current = answer;
  const data = answer ?? last.current; // what was shown stays beside the form while a wish cannot be met
  const table = useMemo(() => colours("viridis"), []);
  const rings = data?.rings.join();
  const cells = useMemo(() => (rings === undefined ? null : new Cells(rings.split(",").map(Number))), [rings]);
  const most = useMemo(() => Math.max(1, ...(data?.counts ?? [])), [data]);
  if (error && !data) return <Failed error={error} retry={() => void refetch()} />;
  if (data?.why) return <Empty>{data.why} Look at the particles of a 3D refinement or classification.</Empty>;
  if (!data || !cells) return <Loading what="the views" />;
  const change = (part: Partial<ViewsWanted>) => setWanted({ ...wanted, ...part });
  const mean = data.counts.reduce((sum, each) => sum + each, 0) / cells.count;
  const told = spot && angles(spot);
  const look = { cells, counts: data.counts, table, most, onSpot: setSpot };
  return (
    <div className="angular">
      <form
        className="viewer-bar"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed !== null) change({ symmetry: typed.trim() });
        }}
      >
        <label className="row">
          Symmetry
          <input className="input symmetry" value={typed ?? data.symmetry} onChange={(event) => setTyped(event.target.value)} onBlur={() => typed !== null && change({ symmetry: typed.trim() })} />
        </label>
        <label className="row">
          Show
          <select value={wanted.spread} onChange={(event) => change({ spread: event.target.value })}>
            <option value="all">all equal views</option>
            <option value="unit">one asymmetric unit</option>
          </select>
        </label>
        <label className="row">
          Cells
          <select value={wanted.side} onChange={(event) => change({ side: Number(event.target.value) })}>
            <option value={0}>as particles allow ({data.side}°)</option>
            {[2.5, 5, 10].map((side) => (
              <option key={side} value={side}>
                {side}°
              </option>
            ))}
          </select>
        </label>
        {Object.keys(data.parts).length > 0 && (
          <label className="row">
            Of
            <select value={wanted.where} onChange={(event) => change({ where: event.target.value })}>
              <option value="">all particles</option>
              {Object.entries(data.parts).flatMap(([column, values]) =>
                values.map((value) => (
                  <option key={`${column}${value}`} value={`${column} == ${value}`}>
                    {WORDS[column] ?? column} {value}
                  </option>
                )),
              )}
            </select>
          </label>
        )}
        <output className="mono soft" aria-label="Summary">
          {number(data.particles)} particles, {data.symmetry}; {number(Number(mean.toPrecision(3)))} views a cell, at most {number(most)}; {Math.round(100 * data.coverage)} % of Fourier space measured
        </output>
      </form>
      {error && <Failed error={error} />}
      <div className="spheres">
        <figure>
          <ViewMap spot={spot} {...look} />
          <figcaption className="row wrap">
            <span className="row">
              views a cell <ColourBar table={table} low={0} high={most} />
            </span>
            <output className="mono" aria-label="Direction">
              {told && spot ? `rot ${told.rot.toFixed(1)}°, tilt ${told.tilt.toFixed(1)}°: ${number(data.counts[cells.of(spot)] ?? 0)} views` : "Point at the map, or use arrows, for a direction"}
            </output>
          </figcaption>
        </figure>
        <figure>
          {hasWebgl ? <Globe project={project} volume={data.volume ?? ""} side={data.side} {...look} /> : <div className="notice advice">This browser has no WebGL2, which the globe needs; the flat map shows the same.</div>}
          <figcaption className="soft">{data.volume ? `${data.volume} inside; cells lie along the direction (rot, tilt) of their views.` : "The run gave no map to show inside."}</figcaption>
        </figure>
      </div>
    </div>
  );
}
