/** A run's state by colour, word and icon. */

import { Icon, type IconName } from "./Icon";

const looks: Record<string, [IconName, string]> = {
  draft: ["pencil", "draft"],
  blocked: ["pause", "waits"],
  queued: ["clock", "queued"],
  running: ["spinner", "running"],
  "needs-you": ["question", "needs you"],
  finished: ["check", "finished"],
  failed: ["cross", "failed"],
  stopped: ["stop", "stopped"],
  lost: ["warning", "lost"],
};

export function StateBadge({ state }: { state: string }) {
  const [icon, word] = looks[state] ?? ["question", state];
  return (
    <span className={`state ${state}`}>
      <Icon name={icon} size={12} spin={state === "running"} />
      {word}
    </span>
  );
}
