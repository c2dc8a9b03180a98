/** Short messages in the corner; errors stay until they are closed. */

import { useEffect, useSyncExternalStore, type ReactNode } from "react";
import { ApiError } from "../api/client";
import { Icon } from "./Icon";

interface Toast {
  id: number;
  tone: "good" | "bad" | "plain";
  body: ReactNode;
}

const LIFE = 6000;
let toasts: Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function set(next: Toast[]): void {
  toasts = next;
  listeners.forEach((listener) => listener());
}

export function toast(body: ReactNode, tone: Toast["tone"] = "plain"): void {
  set([...toasts.slice(-4), { id: ++last, tone, body }]);
}

/** Say what an action could not do, and the cure. */
export function toastError(error: unknown): void {
  const problem = error instanceof ApiError ? error.problem : { message: String(error), cure: "" };
  toast(`${problem.message} ${problem.cure ?? ""}`.trim(), "bad");
}

const close = (id: number) => set(toasts.filter((each) => each.id !== id));

function One({ toast: { id, tone, body } }: { toast: Toast }) {
  useEffect(() => {
    if (tone === "bad") return;
    const timer = setTimeout(() => close(id), LIFE);
    return () => clearTimeout(timer);
  }, [id, tone]);
  return (
    <div className={`toast ${tone}`}>
      <div className="grow">{body}</div>
      <button type="button" className="button plain" aria-label="Close" onClick={() => close(id)}>
        <Icon name="close" size={14} />
      </button>
    </div>
  );
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((each) => (
        <One key={each.id} toast={each} />
      ))}
    </div>
  );
}
