/** The runs of a project, kept current by the server's events. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { address, at, get } from "./client";
import type { Graph, RunNode } from "./schema";

export interface Change {
  changed: RunNode[];
  removed: string[];
  places: Record<string, [number, number]>;
}

/** States in which something is at work. */
export const ACTIVE = new Set(["blocked", "queued", "running"]);

/** The graph with a change taken in; boxes that did not change keep their identity. */
export function changedGraph(graph: Graph, change: Change, number: number): Graph {
  const changed = new Map(change.changed.map((node) => [node.run, node]));
  const removed = new Set(change.removed);
  const kept = graph.nodes.filter((node) => !removed.has(node.run)).map((node) => changed.get(node.run) ?? node);
  const known = new Set(graph.nodes.map((node) => node.run));
  const added = change.changed.filter((node) => !known.has(node.run));
  const places = { ...graph.places, ...change.places };
  for (const run of removed) delete places[run];
  return { number, nodes: [...kept, ...added], places };
}

type Listener = (before: RunNode | undefined, after: RunNode) => void;
const listeners = new Set<Listener>();

/** Be told of every run whose state changes while the page is open. */
export function onStateChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useGraph(project: string) {
  return useQuery({
    queryKey: ["graph", project],
    queryFn: ({ signal }) => get<Graph>(`${at.project(project)}/graph`, {}, signal),
    staleTime: Infinity,
  });
}

/** Follow a project's events while the page shows it; returns whether the connection stands. */
export function useLive(project: string): boolean {
  const client = useQueryClient();
  const [connected, setConnected] = useState(true);
  useEffect(() => {
    const source = new EventSource(address(`${at.project(project)}/events`));
    const key = ["graph", project];
    source.onopen = () => setConnected(true);
    source.onerror = () => setConnected(false);
    source.addEventListener("snapshot", (event) => {
      client.setQueryData<Graph>(key, JSON.parse(event.data) as Graph);
    });
    source.addEventListener("runs", (event) => {
      const change = JSON.parse(event.data) as Change;
      const number = Number(event.lastEventId);
      const before = client.getQueryData<Graph>(key);
      if (!before || before.number >= number) return;
      client.setQueryData<Graph>(key, changedGraph(before, change, number));
      const known = new Map(before.nodes.map((node) => [node.run, node]));
      for (const node of change.changed) {
        void client.invalidateQueries({ queryKey: ["run", project, node.run] });
        const old = known.get(node.run);
        if (old?.state !== node.state) listeners.forEach((listener) => listener(old, node));
      }
    });
    return () => source.close();
  }, [client, project]);
  return connected;
}
