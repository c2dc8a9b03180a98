/** What forms and their wizards ask of the server. */

import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { at, get, send } from "./client";
import type { Listing, Machine, Matches } from "./schema";

/** Cores, places to run, and the choices that this machine lacks. */
export const useMachine = (project: string, protocol: string) =>
  useQuery({
    queryKey: ["machine", project, protocol],
    queryFn: ({ signal }) => get<Machine>(`${at.form(project, protocol)}/machine`, {}, signal),
    staleTime: 60_000,
  });

/** A folder's folders and files; of none, the folders that may be looked into. */
export const useListing = (folder: string) =>
  useQuery({ queryKey: ["listing", folder], queryFn: ({ signal }) => get<Listing>("files", { folder }, signal), staleTime: 5000 });

export const useMatches = (pattern: string) =>
  useQuery({
    queryKey: ["matches", pattern],
    queryFn: ({ signal }) => get<Matches>("files/matches", { pattern }, signal),
    enabled: pattern.startsWith("/"),
    placeholderData: (before) => before,
    staleTime: 5000,
  });

/** What a wizard shows of what the form holds; `place` is that of an image in its set. */
export const useWizard = <T>(project: string, protocol: string, wizard: string, values: Record<string, unknown>, place = 0): UseQueryResult<T> =>
  useQuery<T, Error, T, readonly unknown[]>({
    queryKey: ["wizard", project, protocol, wizard, values, place],
    queryFn: () => send<T>("POST", `${at.form(project, protocol)}/wizards/${wizard}`, { values, place }),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
