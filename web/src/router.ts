/** The address holds what is shown, so that a link can be sent and Back works. */

import { useSyncExternalStore } from "react";

export interface Place {
  path: string[];
  query: URLSearchParams;
}

let current = read();
const listeners = new Set<() => void>();

function read(): Place {
  const path = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  return { path, query: new URLSearchParams(location.search) };
}

function update(): void {
  current = read();
  listeners.forEach((listener) => listener());
}

addEventListener("popstate", update);

export function navigate(to: string, { replace = false } = {}): void {
  if (to === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  update();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const usePlace = (): Place => useSyncExternalStore(subscribe, () => current);

/** What of an address's query says how runs are shown; it is kept from page to page of a project. Dashes: no parameter of a form has one. */
export const SHOWN = ["show-as", "with-text", "with-state", "with-step", "with-tag"] as const;
export type Shown = (typeof SHOWN)[number];

/** A query with what is kept of the present one, and more. */
function search(more: Record<string, string> = {}): string {
  const query = new URLSearchParams();
  for (const name of SHOWN) if (current.query.get(name)) query.set(name, current.query.get(name) ?? "");
  for (const [name, value] of Object.entries(more))
    if (value) query.set(name, value);
    else query.delete(name);
  const text = query.toString();
  return text ? `?${text}` : "";
}

const inProject = (project: string, ...parts: string[]): string => ["", "p", project, ...parts.filter(Boolean)].map(encodeURIComponent).join("/");

/** The addresses of the pages; the only place that puts them together. */
export const to = {
  projects: () => "/",
  project: (project: string) => (current.path[1] === project ? inProject(project) + search() : inProject(project)),
  run: (project: string, run: string, tab = "") => inProject(project, "run", run, tab) + search(),
  form: (project: string, protocol: string, inputs: Record<string, string> = {}) => inProject(project, "new", protocol) + search(inputs),
  pick: (project: string, run: string) => inProject(project, "pick", run) + search(),
  analyze: (project: string, run: string, output = "", viewer = "") => inProject(project, "analyze", run, output, viewer) + search(),
  compare: (project: string, first: string, second: string) => inProject(project, "compare", first, second) + search(),
  /** Two outputs with maps, ``RUN.OUTPUT`` both, side by side; without a second one, to choose it. */
  compareMaps: (project: string, first: string, second: string) => {
    const [run = "", output = ""] = first.split(".", 2);
    return inProject(project, "analyze", run, output, "compare") + search({ with: second });
  },
  /** The present page with runs shown otherwise; an empty value takes a condition away. */
  shown: (change: Partial<Record<Shown, string>>) => location.pathname + search(change),
};

/** What of a query is not about how runs are shown: a form's values. */
export const givenIn = (query: URLSearchParams): Record<string, string> =>
  Object.fromEntries([...query].filter(([name]) => !(SHOWN as readonly string[]).includes(name)));
