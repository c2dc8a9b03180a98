/** A power spectrum as measured, the model in a quarter, and over it the rings where the fit has its zeros and its end. */

import { useEffect, useState } from "react";
import { useSpectrum, type Spectrum } from "../../api/images";
import { Failed, Loading } from "../../ui/Feedback";
import { defocusAlong, zeros, type Optics } from "./zeros";

export interface Rings extends Optics {
  u: number;
  v: number;
  angle: number;
  /** Å */
  resolution: number | null;
}

interface Props {
  project: string;
  output: string;
  id: number;
  name: string;
  rings: Rings | null;
  model: boolean;
  showRings: boolean;
}

const SHOWN = 3;

export function SpectrumView({ project, output, id, name, rings, model, showRings }: Props) {
  const { data, error, refetch } = useSpectrum(project, output, id, model);
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (!data) return;
    const made = URL.createObjectURL(data.picture);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data || !url) return <Loading what="the spectrum" />;
  const { width } = data;
  return (
    <div className="spectrum">
      <img src={url} alt={`Power spectrum of ${name}${model ? ", the fitted model in the lower left quarter" : ""}`} />
      {rings && (
        <svg viewBox={`0 0 ${width} ${width}`} aria-hidden="true">
          {showRings && ringPaths(rings, data).map((path, place) => <path key={place} d={path} className="zero" />)}
          {rings.resolution && <EndOfFit spectrum={data} resolution={rings.resolution} />}
        </svg>
      )}
    </div>
  );
}

function EndOfFit({ spectrum: { width, pixelSize }, resolution }: { spectrum: Spectrum; resolution: number }) {
  const radius = (width * pixelSize) / resolution;
  const middle = Math.floor(width / 2) + 0.5;
  if (radius > width * 0.7) return null;
  return (
    <>
      <circle cx={middle} cy={middle} r={radius} className="end" />
      <text x={middle} y={Math.max(middle - radius - 4, 14)} textAnchor="middle">{`${resolution.toFixed(1)} Å`}</text>
    </>
  );
}

/** The first zeros as closed paths; of astigmatic fits they are no circles. */
function ringPaths(rings: Rings, { width, pixelSize }: Spectrum): string[] {
  const middle = Math.floor(width / 2) + 0.5;
  const paths = Array.from({ length: SHOWN }, () => "");
  for (let azimuth = 0; azimuth < 360; azimuth += 4) {
    const found = zeros(defocusAlong(rings.u, rings.v, rings.angle, azimuth), rings, 0.5 / pixelSize);
    const [dx, dy] = [Math.cos((azimuth * Math.PI) / 180), Math.sin((azimuth * Math.PI) / 180)];
    found.slice(0, SHOWN).forEach((frequency, place) => {
      const radius = width * pixelSize * frequency;
      paths[place] += `${paths[place] ? "L" : "M"}${(middle + radius * dx).toFixed(1)} ${(middle + radius * dy).toFixed(1)}`;
    });
  }
  return paths.filter(Boolean).map((path) => `${path}Z`);
}
