/** How a brush changes the rule that is there. */

import { combined, ruleOfAll, stretchesOf, type Stretch } from "../../selection/rules";

/** The rule once a brush is taken in: a stretch of a column takes the place of the one before it. */
export function taken(where: string, stretches: Stretch[], how: "and" | "or"): string {
  const now = stretchesOf(where);
  if (how === "or") return combined(where, ruleOfAll(stretches), "or");
  if (now === null) return combined(where, ruleOfAll(stretches), "and");
  const columns = new Set(stretches.map((each) => each.column));
  return ruleOfAll([...now.filter((each) => !columns.has(each.column)), ...stretches]);
}
