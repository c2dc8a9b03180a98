/** The protocols by step; the search finds any word of a name, a label or what another program calls it. */

import { useEffect, useMemo, useRef, useState } from "react";
import { useCatalogue } from "../api/queries";
import type { CatalogueEntry } from "../api/schema";
import { Failed, Loading } from "../ui/Feedback";
import "./protocol-tree.css";

/** Steps in the order of the work; what is not here comes after, by name. */
export const STEPS: readonly (readonly [string, string])[] = [
  ["import", "Import"],
  ["motion", "Movie alignment"],
  ["micrographs", "Micrographs"],
  ["ctf", "CTF"],
  ["pick", "Picking"],
  ["coordinates", "Coordinates"],
  ["particles", "Particles"],
  ["classify2d", "2D classes"],
  ["initial", "First volume"],
  ["refine", "Refinement"],
  ["classify3d", "3D classes"],
  ["volume", "Volumes"],
  ["postprocess", "Post-processing"],
  ["validate", "Validation"],
  ["sets", "Sets"],
];

/** The entries whose words hold all of the search, grouped by step. */
export function grouped(entries: readonly CatalogueEntry[], search: string): [string, CatalogueEntry[]][] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = new Map<string, CatalogueEntry[]>();
  for (const [step] of STEPS) found.set(step, []);
  for (const entry of entries) {
    if (!words.every((word) => entry.words.includes(word))) continue;
    found.set(entry.step, [...(found.get(entry.step) ?? []), entry]);
  }
  const titles = new Map(STEPS);
  return [...found].filter(([, members]) => members.length > 0).map(([step, members]) => [titles.get(step) ?? step, members]);
}

export function ProtocolTree({ searching, onChoose }: { searching: number; onChoose: (protocol: string) => void }) {
  const { data, error, refetch } = useCatalogue();
  const [search, setSearch] = useState("");
  const box = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (searching) box.current?.select();
  }, [searching]);
  const groups = useMemo(() => grouped(data ?? [], search), [data, search]);
  const move = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = [...(list.current?.querySelectorAll<HTMLButtonElement>("button.protocol") ?? [])];
    if (event.key === "Enter" && event.target === box.current) buttons[0]?.click();
    if (!step) return;
    event.preventDefault();
    const next = buttons.indexOf(document.activeElement as HTMLButtonElement) + step;
    (next < 0 ? box.current : buttons[Math.min(next, buttons.length - 1)])?.focus();
  };
  return (
    <nav className="protocols" aria-label="Protocols" onKeyDown={move}>
      <input ref={box} className="input" type="search" placeholder="Find a protocol  (Ctrl+F)" aria-label="Find a protocol" value={search} onChange={(event) => setSearch(event.target.value)} />
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="the protocols" />}
      <div ref={list} className="groups">
        {groups.map(([step, members]) => (
          <details key={step} open>
            <summary>{step}</summary>
            {members.map((entry) => (
              <button key={entry.id} type="button" className="protocol" disabled={entry.error !== ""} title={entry.error || entry.title} onClick={() => onChoose(entry.id)}>
                {entry.id}
                <small>{entry.error || entry.title}</small>
              </button>
            ))}
          </details>
        ))}
        {data && groups.length === 0 && <p className="soft">No protocol knows “{search}”.</p>}
      </div>
    </nav>
  );
}
