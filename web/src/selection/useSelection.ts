/** The selection of a set, kept while the tab lives: a reload, or a look at another viewer, loses nothing. */

import { useCallback, useSyncExternalStore } from "react";
import { NOTHING, read, written, type Selection } from "./selection";

interface Draft {
  now: Selection;
  before: Selection[];
}

const KEPT = 20;
const drafts = new Map<string, Draft>();
const listeners = new Set<() => void>();

function draftOf(key: string): Draft {
  let draft = drafts.get(key);
  if (!draft) {
    draft = { now: read(sessionStorage.getItem(key)), before: [] };
    drafts.set(key, draft);
  }
  return draft;
}

function put(key: string, draft: Draft): void {
  drafts.set(key, draft);
  try {
    if (draft.now === NOTHING) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, written(draft.now));
  } catch {
    // more than the browser keeps: it lives as long as the page
  }
  listeners.forEach((listener) => listener());
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSelection(project: string, output: string) {
  const key = `cryoloom-selection:${project}:${output}`;
  const draft = useSyncExternalStore(subscribe, () => draftOf(key));
  const select = useCallback(
    (next: Selection | ((now: Selection) => Selection)) => {
      const { now, before } = draftOf(key);
      put(key, { now: typeof next === "function" ? next(now) : next, before: [...before.slice(1 - KEPT), now] });
    },
    [key],
  );
  const undo = useCallback(() => {
    const { before } = draftOf(key);
    const last = before.at(-1);
    if (last) put(key, { now: last, before: before.slice(0, -1) });
  }, [key]);
  return { selection: draft.now, select, undo, canUndo: draft.before.length > 0 };
}
