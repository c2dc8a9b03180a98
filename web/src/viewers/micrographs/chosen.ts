/** Which micrograph is looked at: the address says so (``?m=``), so that it can be sent and Back works. */

import { useCallback } from "react";
import { navigate, usePlace } from "../../router";

export function useChosen(ids: readonly number[]): [number | null, (id: number) => void] {
  const { query } = usePlace();
  const wanted = Number(query.get("m"));
  const choose = useCallback(
    (id: number) => {
      const next = new URLSearchParams(query);
      next.set("m", String(id));
      navigate(`${location.pathname}?${next}`, { replace: true });
    },
    [query],
  );
  return [query.has("m") && ids.includes(wanted) ? wanted : (ids[0] ?? null), choose];
}

/** The one before or after in an order; itself at the ends. */
export const beside = (order: readonly number[], id: number | null, step: number): number | undefined =>
  order[Math.min(Math.max(order.indexOf(id ?? -1) + step, 0), order.length - 1)];
