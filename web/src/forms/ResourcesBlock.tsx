/** What a run is called, where it works and with what: on top of every form. Results do not depend on it, but for the seed. */

import { useMachine } from "../api/forms";
import type { Draft } from "./drafts";

interface Props {
  project: string;
  protocol: string;
  draft: Draft;
  onChange: (part: Partial<Draft>) => void;
}

export function ResourcesBlock({ project, protocol, draft, onChange }: Props) {
  const machine = useMachine(project, protocol).data;
  const without = machine?.targets.filter((each) => each.reason) ?? [];
  return (
    <fieldset className="resources">
      <legend className="hidden">Name and resources</legend>
      <label>
        Name
        <input className="input" value={draft.label} maxLength={100} placeholder="optional" onChange={(event) => onChange({ label: event.target.value })} />
      </label>
      <label>
        Threads
        <input className="input" type="number" min={1} max={1024} value={draft.threads} placeholder={machine ? `all ${machine.cores}` : "all"} onChange={(event) => onChange({ threads: event.target.value })} />
      </label>
      <label>
        Seed
        <input className="input" type="number" min={0} value={draft.seed} onChange={(event) => onChange({ seed: Math.max(0, Math.floor(Number(event.target.value) || 0)) })} />
      </label>
      <label>
        Run on
        <select value={draft.target || "local"} onChange={(event) => onChange({ target: event.target.value as Draft["target"] })}>
          {(machine?.targets ?? [{ name: "local", title: "this computer", reason: "" }]).map((each) => (
            <option key={each.name} value={each.name} disabled={each.reason !== ""}>
              {each.title}
              {each.reason && " (not available)"}
            </option>
          ))}
        </select>
      </label>
      {draft.target === "slurm" && (
        <label>
          Nodes
          <input className="input" type="number" min={1} max={1024} value={draft.nodes} placeholder="1" onChange={(event) => onChange({ nodes: event.target.value })} />
        </label>
      )}
      {without.map((each) => (
        <small key={each.name} className="soft whole">
          {each.title}: {each.reason}
        </small>
      ))}
    </fieldset>
  );
}
