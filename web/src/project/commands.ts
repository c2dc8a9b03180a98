/** What the command palette offers, and which of it a few words mean. */

import type { IconName } from "../ui/Icon";

export interface Command {
  id: string;
  group: "Action" | "Run" | "Protocol" | "Project";
  icon: IconName;
  text: string;
  /** More that a search finds it by. */
  words?: string;
  go: () => void;
}

/** How well a command fits all the words: more is better, 0 not at all. A word at the start of one counts most. */
export function fit(command: Command, search: string): number {
  const told = `${command.text} ${command.words ?? ""}`.toLowerCase();
  const name = command.text.toLowerCase();
  let sum = 1;
  for (const word of search.toLowerCase().split(/\s+/).filter(Boolean)) {
    const place = told.indexOf(word);
    if (place < 0) return 0;
    if (name === word) sum += 5;
    else if (name.startsWith(word)) sum += 3;
    else if (new RegExp(`(^|[^a-z0-9])${word.replace(/[^a-z0-9]/g, "\\$&")}`).test(name)) sum += 2;
    else if (name.includes(word)) sum += 1;
  }
  return sum;
}

const MOST = 40;

/** The commands that fit, the best first; of equal ones the order stays. */
export function found(commands: readonly Command[], search: string): Command[] {
  const rated = commands.map((command) => [fit(command, search), command] as const).filter(([rating]) => rating > 0);
  return rated.sort(([a], [b]) => b - a).slice(0, MOST).map(([, command]) => command);
}
