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

/** The addresses of the pages; the only place that puts them together. */
export const to = {
  projects: () => "/",
  project: (project: string) => `/p/${encodeURIComponent(project)}`,
  run: (project: string, run: string, tab = "") => `/p/${encodeURIComponent(project)}/run/${encodeURIComponent(run)}${tab ? `/${tab}` : ""}`,
  form: (project: string, protocol: string, inputs: Record<string, string> = {}) => {
    const query = new URLSearchParams(inputs).toString();
    return `/p/${encodeURIComponent(project)}/new/${encodeURIComponent(protocol)}${query ? `?${query}` : ""}`;
  },
  pick: (project: string, run: string) => `/p/${encodeURIComponent(project)}/pick/${encodeURIComponent(run)}`,
  analyze: (project: string, run: string, output = "", viewer = "") =>
    ["", "p", project, "analyze", run, output, viewer].filter((part, place) => place === 0 || part).map(encodeURIComponent).join("/"),
};
