/** Who looks at the page. */

import { useQuery } from "@tanstack/react-query";
import { get } from "./client";
import type { Session } from "./schema";

export const useSession = () =>
  useQuery({ queryKey: ["session"], queryFn: ({ signal }) => get<Session>("session", {}, signal), staleTime: Infinity });

/** Whether whoever looks may change anything; what changes things is not shown to others. */
export const useMayChange = (): boolean => useSession().data?.role === "operator";
