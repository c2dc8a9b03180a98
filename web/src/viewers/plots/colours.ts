/** Colours of plots: those of the theme, and a palette that colour-blind readers tell apart (Okabe and Ito). */

import { useSyncExternalStore } from "react";

export const CURVES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C"] as const;
/** Strokes that tell curves apart without colour. */
export const DASHES: readonly number[][] = [[], [8, 4], [3, 3], [10, 3, 3, 3], [5, 2], [2, 5], [12, 5]];

function subscribe(listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", listener);
  return () => {
    observer.disconnect();
    query.removeEventListener("change", listener);
  };
}

const NAMES = ["--ink", "--soft", "--faint", "--line", "--accent"] as const;

/** The theme's colours, separated by blanks: one value, so that only a change of it draws anew. */
const current = (): string => {
  const style = getComputedStyle(document.documentElement);
  return NAMES.map((name) => style.getPropertyValue(name).trim()).join(" ");
};

export interface Colours {
  ink: string;
  soft: string;
  faint: string;
  line: string;
  accent: string;
}

export function useColours(): Colours {
  const [ink = "", soft = "", faint = "", line = "", accent = ""] = useSyncExternalStore(subscribe, current).split(" ");
  return { ink, soft, faint, line, accent };
}
