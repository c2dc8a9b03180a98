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

/** The runs among these whose state is not what it was, each with what it was. */
export function turned(before: readonly RunNode[], after: readonly RunNode[]): [RunNode | undefined, RunNode][] {
  const known = new Map(before.map((node) => [node.run, node]));
  return after.filter((node) => known.get(node.run)?.state !== node.state).map((node) => [known.get(node.run), node]);
}

export function useGraph(project: string) {
  return useQuery({
    queryKey: ["graph", project],
    queryFn: ({ signal }) => get<Graph>(`${at.project(project)}/graph`, {}, signal),
    staleTime: Infinity,
  });
}

/** Milliseconds before a stream that the browser has given up is opened anew. */
const AGAIN = 2000;
/** Milliseconds after which a page in the background gives its stream back: a browser has six connections to a server for all its tabs. */
const ASLEEP = 20_000;

/** Follow a project's events from the graph on that the page has; returns whether the connection stands. */
export function useLive(project: string): boolean {
  const client = useQueryClient();
  const [connected, setConnected] = useState(true);
  const begun = useGraph(project).isSuccess;
  useEffect(() => {
    if (!begun) return;
    const key = ["graph", project];
    let source: EventSource;
    let timer = 0;
    const take = (next: Graph, changed: readonly RunNode[]) => {
      const before = client.getQueryData<Graph>(key);
      client.setQueryData<Graph>(key, next);
      for (const node of changed) void client.invalidateQueries({ queryKey: ["run", project, node.run] });
      if (before) for (const [old, node] of turned(before.nodes, changed)) listeners.forEach((listener) => listener(old, node));
    };
    const open = () => {
      source = new EventSource(address(`${at.project(project)}/events`, { after: client.getQueryData<Graph>(key)?.number }));
      source.onopen = () => setConnected(true);
      source.onerror = () => {
        setConnected(false);
        // The browser tries again by itself unless it was answered with an error.
        if (source.readyState === EventSource.CLOSED) timer = window.setTimeout(open, AGAIN);
      };
      source.addEventListener("snapshot", (event) => {
        const graph = JSON.parse(event.data) as Graph;
        take(graph, graph.nodes);
      });
      source.addEventListener("runs", (event) => {
        const change = JSON.parse(event.data) as Change;
        const number = Number(event.lastEventId);
        const before = client.getQueryData<Graph>(key);
        if (!before || before.number >= number) return;
        take(changedGraph(before, change, number), change.changed);
        if (number !== before.number + 1) void client.invalidateQueries({ queryKey: key }); // some were lost on the way
      });
    };
    open();
    let rest = 0;
    let asleep = false;
    const look = () => {
      clearTimeout(rest);
      if (document.hidden) {
        rest = window.setTimeout(() => {
          asleep = true;
          clearTimeout(timer);
          source.close();
        }, ASLEEP);
      } else if (asleep) {
        asleep = false;
        open(); // what has happened meanwhile is told at once
      }
    };
    document.addEventListener("visibilitychange", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      clearTimeout(rest);
      clearTimeout(timer);
      source.close();
    };
  }, [client, project, begun]);
  return connected;
}
