/** The protocols by step; the search finds any word of a name, a label or what another program calls it. */

import { useEffect, useMemo, useRef, useState } from "react";
import { useGraph } from "../api/graph";
import { useCatalogue, useTakers } from "../api/queries";
import type { CatalogueEntry, Taker } from "../api/schema";
import { Failed, Loading } from "../ui/Feedback";
import { Tree, type TreeHandle } from "../ui/Tree";
import type { Branch, Leaf } from "../ui/treeRows";
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
  const tree = useRef<TreeHandle>(null);
  useEffect(() => {
    if (!searching) return;
    box.current?.focus();
    box.current?.select();
  }, [searching]);
  const groups = useMemo(() => grouped(data ?? [], search), [data, search]);
  const byId = useMemo(() => new Map(data?.map((entry) => [entry.id, entry])), [data]);
  const next = useNextSteps(project, run);
  const leaf = (key: string, entry: CatalogueEntry, inputs?: Record<string, string>): Leaf => ({
    key,
    text: entry.id,
    note: entry.error || entry.title,
    hint: entry.error || entry.title,
    disabled: entry.error !== "",
    onChoose: () => {
      setRecent(rememberProtocol(entry.id));
      setSearch("");
      onChoose(entry.id, inputs);
    },
  });
  const named = (group: string, wanted: readonly { protocol: string; inputs?: Record<string, string> }[]) =>
    wanted.flatMap(({ protocol, inputs }) => {
      const entry = byId.get(protocol);
      return entry ? [leaf(`${group} ${protocol}`, entry, inputs)] : [];
    });
  const offered: Branch[] = [
    { key: "next", text: `Next for ${run}`, className: "next", leaves: named("next", next) },
    { key: "recent", text: "Used lately", leaves: named("recent", recent.map((protocol) => ({ protocol }))) },
  ];
  const steps = groups.map(([step, members]): Branch => ({ key: `step ${step}`, text: step, leaves: members.map((each) => leaf(each.id, each)) }));
  const branches = [...(search ? [] : offered.filter(({ leaves }) => leaves.length > 0)), ...steps];
  const onKey = (event: React.KeyboardEvent) => {
    if (event.key === "Escape" && search) {
      setSearch("");
      box.current?.focus();
    }
    if (event.target !== box.current) return;
    if (event.key === "Enter") branches.flatMap(({ leaves }) => leaves).find((each) => !each.disabled)?.onChoose();
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    tree.current?.enter();
  };
  return (
    <nav className="protocols" aria-label="Protocols" onKeyDown={onKey}>
      <input ref={box} className="input" type="search" placeholder="Find a protocol  (Ctrl+F)" aria-label="Find a protocol" aria-keyshortcuts="Control+F /" value={search} onChange={(event) => setSearch(event.target.value)} />
      {error && <Failed error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading what="the protocols" />}
      <div className="groups">
        {branches.length > 0 && <Tree ref={tree} label="Protocols by step" branches={branches} unfolded={search !== ""} onLeave={() => box.current?.focus()} />}
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
