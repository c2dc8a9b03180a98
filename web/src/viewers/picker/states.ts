/** How far a micrograph has come, in words. */
export const STATES: Record<string, string> = {
  available: "new",
  manual: "by hand",
  supervised: "to correct",
  review: "to review",
  corrected: "accepted",
};
