/** The colour of a state, for what is drawn rather than written. */

const colours: Record<string, string> = {
  finished: "var(--good)",
  failed: "var(--bad)",
  lost: "var(--bad)",
  running: "var(--busy)",
  queued: "var(--busy)",
  "needs-you": "var(--ask)",
};

export const stateColour = (state: string): string => colours[state] ?? "var(--faint)";
