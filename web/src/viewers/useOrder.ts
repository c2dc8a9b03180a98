/** Rule and order of a set, held by the address: a link shows the same rows, and the viewers of a set share them. */

import { useCallback, useMemo } from "react";
import type { Order } from "../api/sets";
import { navigate, usePlace } from "../router";

export function useOrder(): [Order, (change: Partial<Order>) => void] {
  const { query } = usePlace();
  const where = query.get("where") ?? "";
  const sort = query.get("sort") ?? "";
  const descending = query.get("descending") === "1";
  const order = useMemo(() => ({ where, sort, descending }), [where, sort, descending]);
  const change = useCallback((change: Partial<Order>) => {
    const next = { where, sort, descending, ...change };
    const search = new URLSearchParams(location.search);
    const told = { where: next.where, sort: next.sort, descending: next.sort && next.descending ? "1" : "" };
    for (const [name, value] of Object.entries(told)) {
      if (value) search.set(name, value);
      else search.delete(name);
    }
    const text = search.toString();
    navigate(location.pathname + (text ? `?${text}` : ""), { replace: true });
  }, [where, sort, descending]);
  return [order, change];
}
