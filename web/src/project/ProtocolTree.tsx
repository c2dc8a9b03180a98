/** The protocols by step; the search finds any word of a name, a label or what another program calls it. */

import { useEffect, useMemo, useRef, useState } from "react";
import { useGraph } from "../api/graph";
import { useCatalogue, useTakers } from "../api/queries";
import type { CatalogueEntry, Taker } from "../api/schema";
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
  ["angles", "Poses compared"],
  ["volumes", "Volumes"],
  ["postprocess", "Post-processing"],
  ["validate", "Validation"],
  ["model", "Atomic model"],
  ["deposit", "Deposition"],
  ["sets", "Sets"],
];

/** Within a step these come first; the others follow by name. */
const FIRST = ["import.movies", "import.micrographs", "import.particles", "motion.correlation", "ctf.estimate", "pick.blob", "pick.deep", "particles.extract", "sets.select"];
const rank = (id: string): number => (FIRST.includes(id) ? FIRST.indexOf(id) : FIRST.length);

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
  return [...found].filter(([, members]) => members.length > 0).map(([step, members]) => [titles.get(step) ?? step, members.sort((a, b) => rank(a.id) - rank(b.id))]);
}

interface Props {
  project: string;
  /** The run that is open, for whose outputs next steps are offered. */
  run: string;
  searching: number;
  onChoose: (protocol: string, inputs?: Record<string, string>) => void;
}

export function ProtocolTree({ project, run, searching, onChoose }: Props) {
  const { data, error, refetch } = useCatalogue();
  const [search, setSearch] = useState("");
  const [recent, setRecent] = useState(recentProtocols);
  const box = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!searching) return;
    box.current?.focus();
    box.current?.select();
  }, [searching]);
  const groups = useMemo(() => grouped(data ?? [], search), [data, search]);
  const byId = useMemo(() => new Map(data?.map((entry) => [entry.id, entry])), [data]);
  const next = useNextSteps(project, run);
  const choose = (protocol: string, inputs?: Record<string, string>) => {
    setRecent(rememberProtocol(protocol));
    setSearch("");
    onChoose(protocol, inputs);
  };
  const move = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = [...(list.current?.querySelectorAll<HTMLButtonElement>("details[open] button.protocol:not(:disabled)") ?? [])];
    if (event.key === "Enter" && event.target === box.current) buttons[0]?.click();
    if (event.key === "Escape" && search) setSearch("");
    if (!step) return;
    event.preventDefault();
    const place = buttons.indexOf(document.activeElement as HTMLButtonElement) + step;
    (place < 0 ? box.current : buttons[Math.min(place, buttons.length - 1)])?.focus();
  };
  const entry = (each: CatalogueEntry, key: string, inputs?: Record<string, string>) => (
    <button key={key} type="button" className="protocol" disabled={each.error !== ""} title={each.error || each.title} onClick={() => choose(each.id, inputs)}>
      {each.id}
      <small>{each.error || each.title}</small>
    </button>
  );
  const known = recent.flatMap((id) => byId.get(id) ?? []);
  return (
    <nav className="protocols" aria-label="Protocols" onKeyDown={move}>
      <input ref={box} className="input" type="search" placeholder="Find a protocol  (Ctrl+F)" aria-label="Find a protocol" aria-keyshortcuts="Control+F /" value={search} onChange={(event) => setSearch(event.target.value)} />
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="the protocols" />}
      <div ref={list} className="groups">
        {!search && next.length > 0 && (
          <details open className="next">
            <summary>Next for {run}</summary>
            {next.map(({ protocol, inputs }) => byId.get(protocol) && entry(byId.get(protocol) as CatalogueEntry, `next ${protocol}`, inputs))}
          </details>
        )}
        {!search && known.length > 0 && (
          <details open>
            <summary>Used lately</summary>
            {known.map((each) => entry(each, `recent ${each.id}`))}
          </details>
        )}
        {groups.map(([step, members]) => (
          <details key={step} open>
            <summary>{step}</summary>
            {members.map((each) => entry(each, each.id))}
          </details>
        ))}
        {data && groups.length === 0 && <p className="soft">No protocol knows “{search}”.</p>}
      </div>
    </nav>
  );
}

const RECENT = "cryoloom-recent-protocols";
const MOST_RECENT = 4;

function recentProtocols(): string[] {
  try {
    return JSON.parse(localStorage.getItem(RECENT) ?? "[]") as string[];
  } catch {
    return [];
  }
}

function rememberProtocol(id: string): string[] {
  const recent = [id, ...recentProtocols().filter((each) => each !== id)].slice(0, MOST_RECENT);
  localStorage.setItem(RECENT, JSON.stringify(recent));
  return recent;
}

const MOST_NEXT = 5;

/** The protocols that take what a run gives: those of later steps, the nearest first, then of the same; with the output already in place. */
export function nextSteps(takers: readonly Taker[], step: string, outputs: readonly { name: string; kind: string }[], run: string): { protocol: string; inputs: Record<string, string> }[] {
  const order = new Map(STEPS.map(([name], place) => [name, place]));
  const place = (name: string) => order.get(name) ?? STEPS.length;
  const away = (taker: Taker) => (taker.step === step ? STEPS.length : place(taker.step) - place(step));
  return takers
    .filter((taker) => taker.step !== "sets" && away(taker) > 0)
    .sort((a, b) => away(a) - away(b))
    .slice(0, MOST_NEXT)
    .map((taker) => {
      const output = outputs.find((each) => taker.kinds.includes(each.kind));
      return { protocol: taker.protocol, inputs: output ? { [taker.input]: `${run}.${output.name}` } : {} };
    });
}

function useNextSteps(project: string, run: string) {
  const takers = useTakers(project, run);
  const node = useGraph(project).data?.nodes.find((each) => each.run === run);
  return useMemo(() => (node && takers.data ? nextSteps(takers.data, node.protocol.split(".")[0] ?? "", node.outputs, run) : []), [node, takers.data, run]);
}
