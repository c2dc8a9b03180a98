/** The room that runs take by what their files are for, and the removal of what is not needed any more. */

import { useState } from "react";
import { useClean, useRoom, useWouldClean, type Keep } from "../api/project";
import { Empty, Failed, Loading } from "../ui/Feedback";
import { bytes, counted } from "../ui/format";
import { toast, toastError } from "../ui/Toasts";

const KEEPS: readonly (readonly [Keep, string])[] = [
  ["diagnostic", "working files (finished items, checkpoints)"],
  ["final", "working files and pictures for people"],
  ["record", "all but the tables: images and maps too"],
];
const CLASSES = ["record", "final", "diagnostic", "intermediate"] as const;

export function RoomDialog({ project, mayChange }: { project: string; mayChange: boolean }) {
  const { data, error, refetch } = useRoom(project);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [keep, setKeep] = useState<Keep>("diagnostic");
  const runs = [...chosen];
  const would = useWouldClean(project, runs, keep);
  const clean = useClean(project);
  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the sizes of all files" />;
  if (data.length === 0) return <Empty>There are no runs.</Empty>;
  const needed = Object.entries(would.data?.needed ?? {});
  const toggle = (run: string) => {
    const next = new Set(chosen);
    if (!next.delete(run)) next.add(run);
    setChosen(next);
  };
  return (
    <>
      <div className="room-frame">
        <table className="room">
          <thead>
            <tr>
              <th scope="col">
                {mayChange && <input type="checkbox" aria-label="Choose all runs" checked={chosen.size === data.length} onChange={(event) => setChosen(new Set(event.target.checked ? data.map((row) => row.run) : []))} />} Run
              </th>
              <th scope="col"></th>
              {CLASSES.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              <th scope="col">all</th>
            </tr>
          </thead>
          <tbody>
            {data.map((row) => (
              <tr key={row.run}>
                <td className="mono">
                  {mayChange && <input type="checkbox" aria-label={`Choose ${row.run}`} checked={chosen.has(row.run)} onChange={() => toggle(row.run)} />} {row.run}
                </td>
                <td>{row.label || row.protocol}</td>
                {CLASSES.map((name) => (
                  <td key={name}>{row[name] ? bytes(row[name]) : "–"}</td>
                ))}
                <td>{bytes(CLASSES.reduce((sum, name) => sum + row[name], 0))}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">All</th>
              <td></td>
              {CLASSES.map((name) => (
                <td key={name}>{bytes(data.reduce((sum, row) => sum + row[name], 0))}</td>
              ))}
              <td>{bytes(data.reduce((sum, row) => sum + CLASSES.reduce((part, name) => part + row[name], 0), 0))}</td>
            </tr>
          </tfoot>
        </table>
      </div>
      {mayChange && (
        <>
          <label>
            Remove of the chosen runs
            <select value={keep} onChange={(event) => setKeep(event.target.value as Keep)}>
              {KEEPS.map(([value, text]) => (
                <option key={value} value={value}>
                  {text}
                </option>
              ))}
            </select>
          </label>
          {would.error && <Failed error={would.error} />}
          {needed.map(([run, below]) => (
            <div key={run} className="notice advice">
              {below.join(", ")} rest on {run}, whose images or maps would go; they could not be done again from them.
            </div>
          ))}
          <div className="actions">
            <span className="soft grow" role="status">
              {chosen.size === 0 ? "Choose the runs to clean up." : would.data && `${counted(Object.values(would.data.files).reduce((sum, count) => sum + count, 0), "file")}, ${bytes(would.data.bytes)}, would go for good.`}
            </span>
            <button
              type="button"
              className="button danger"
              disabled={chosen.size === 0 || !would.data?.bytes || would.isError || clean.isPending}
              onClick={() => clean.mutate({ runs, keep, also_needed: needed.length > 0 }, { onSuccess: (done) => toast(`${bytes(done.bytes)} freed`), onError: toastError })}
            >
              Clean up{needed.length > 0 && " all the same"}
            </button>
          </div>
        </>
      )}
    </>
  );
}
