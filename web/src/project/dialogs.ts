/** The dialogs of a project as a whole; the address's fragment names the one that is open. */

import { useSyncExternalStore } from "react";
import type { IconName } from "../ui/Icon";

export interface ProjectDialog {
  name: "notes" | "methods" | "room" | "trash" | "bring";
  icon: IconName;
  title: string;
  words: string;
  /** It is of use to those only who may change something. */
  changes: boolean;
}

export const PROJECT_DIALOGS: readonly ProjectDialog[] = [
  { name: "notes", icon: "note", title: "Notes", words: "write markdown", changes: false },
  { name: "methods", icon: "pencil", title: "Methods text", words: "paper citations bibtex", changes: false },
  { name: "room", icon: "disk", title: "Disk use and clean-up", words: "room space bytes files remove", changes: false },
  { name: "trash", icon: "trash", title: "Trash", words: "deleted restore", changes: false },
  { name: "bring", icon: "upload", title: "Import a workflow", words: "json template scipion upload", changes: true },
];

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener("hashchange", listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener("hashchange", listener);
  };
}

/** The name in the address's fragment. */
export const useFragment = (): string => useSyncExternalStore(subscribe, () => location.hash.slice(1));

export function setFragment(name: string): void {
  if (name) location.hash = name;
  else {
    history.replaceState(null, "", location.pathname + location.search);
    dispatchEvent(new PopStateEvent("popstate"));
  }
}
