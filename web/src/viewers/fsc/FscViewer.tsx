/** Fourier shell correlations of an output: all curves, and where they fall, in a table that also hides them and reads them at the cursor. */

import { useCallback, useMemo, useState } from "react";
import { useCurves } from "../../api/sets";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import type { ViewerProps } from "../viewer";
import { FscPlot, Stroke } from "./FscPlot";
import { curvesOf, nearest, resolution, resolutionAt, THRESHOLDS } from "./reading";
import "./fsc.css";

export default function FscViewer({ project, output }: ViewerProps) {
  const { data, error, refetch } = useCurves(project, output);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [shell, setShell] = useState<number | null>(null);
  const curves = useMemo(() => (data ? curvesOf(data) : []), [data]);
  const onFrequency = useCallback((frequency: number | null) => setShell(frequency === null || !data ? null : nearest(data.frequency, frequency)), [data]);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the curves" />;
  if (curves.length === 0) return <Empty>There is no curve in {output}.</Empty>;
  const toggle = (name: string) => {
    const next = new Set(hidden);
    if (!next.delete(name)) next.add(name);
    setHidden(next);
  };
  const at = shell === null ? null : (data.frequency[shell] ?? null);
  return (
    <div className="fsc-viewer">
      {data.resolution !== null && (
        <p className="headline">
          Resolution <strong>{resolution(data.resolution)}</strong> <span className="soft">at FSC 0.143</span>
        </p>
      )}
      <FscPlot curves={curves} hidden={hidden} onFrequency={onFrequency}>
        <table className="facts fsc-table">
          <thead>
            <tr>
              <th>curve</th>
              {THRESHOLDS.map((level) => (
                <th key={level}>falls below {level} at</th>
              ))}
              <th>{at === null ? "under the cursor" : `at ${resolutionAt(at)}`}</th>
            </tr>
          </thead>
          <tbody>
            {curves.map((curve, place) => (
              <tr key={curve.name}>
                <th scope="row">
                  <label className="row">
                    <input type="checkbox" checked={!hidden.has(curve.name)} onChange={() => toggle(curve.name)} />
                    <Stroke place={place} />
                    {curve.title}
                  </label>
                </th>
                {THRESHOLDS.map((level) => (
                  <td key={level}>{resolution(curve.crossings[level] ?? null)}</td>
                ))}
                <td>{shell === null ? "" : (curve.values[shell]?.toFixed(3) ?? "–")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </FscPlot>
    </div>
  );
}
