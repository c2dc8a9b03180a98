/** Sets as tables, plots and galleries need them: a screen at a time; the server sorts, filters, counts and thins out. */

import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { address, at, get, send } from "./client";
import { getPage, type PageWanted } from "./queries";
import type { Column, Curves, Histograms, Page, Points, SelectionCheck, SubsetMade } from "./schema";

/** Outputs never change: what was fetched once holds. */
const FOREVER = { staleTime: Infinity, gcTime: 120_000 };

/** Rows chosen as the server takes them: those that follow a rule ("": all, null: none), but for ids for which it is the other way round. */
export interface Chosen {
  where: string | null;
  flipped: number[];
}

/** Which rows of a set, in which order. */
export interface Order {
  where: string;
  sort: string;
  descending: boolean;
}

export const ROWS = 100;

/** The columns of a set, and how many rows it has. */
export const useColumns = (project: string, output: string) =>
  useQuery({
    queryKey: ["columns", project, output],
    queryFn: ({ signal }) => getPage(project, output, { limit: 0 }, signal),
    ...FOREVER,
  });

/** How many rows follow a rule; the error says what is wrong with it. */
export const useCount = (project: string, output: string, where: string) =>
  useQuery({
    queryKey: ["count", project, output, where],
    queryFn: async ({ signal }) => (await getPage(project, output, { columns: ["id"], where, limit: 0 }, signal)).count,
    placeholderData: (before) => before,
    ...FOREVER,
  });

/** Pieces of a table of `ROWS` rows each, by their number; those that are not there yet are missing. */
export function useRows(project: string, output: string, order: Order, columns: string[], pieces: number[], mark: string | null) {
  return useQueries({
    queries: pieces.map((piece) => {
      const wanted: PageWanted = { ...order, columns, offset: piece * ROWS, limit: ROWS, ...(mark === null ? {} : { mark }) };
      return {
        queryKey: ["rows", project, output, wanted],
        queryFn: ({ signal }: { signal: AbortSignal }) => getPage(project, output, wanted, signal),
        ...FOREVER,
      };
    }),
    combine: (results) => ({
      pages: new Map(results.flatMap(({ data }, place) => (data ? [[pieces[place] as number, data] as const] : []))),
      error: results.find((each) => each.error)?.error ?? null,
      retry: () => results.forEach((each) => each.error && void each.refetch()),
    }),
  });
}

const STRETCH = 5000;

/** The ids of a stretch of rows, as they are ordered, each with whether it follows another rule. */
export async function idsOf(project: string, output: string, order: Order, from: number, to: number, mark: string | null): Promise<[id: number, follows: boolean][]> {
  const found: [number, boolean][] = [];
  for (let offset = from; offset <= to; offset += STRETCH) {
    const wanted: PageWanted = { ...order, columns: ["id"], offset, limit: Math.min(STRETCH, to - offset + 1), ...(mark ? { mark } : {}) };
    const page = await getPage(project, output, wanted);
    found.push(...page.rows.map((row, place) => [(row as number[])[0] as number, page.marked?.[place] ?? false] as [number, boolean]));
  }
  return found;
}

/** Whether each row of a page follows a rule. */
export const useFollowing = (project: string, output: string, order: Order, offset: number, limit: number, mark: string | null) =>
  useQuery({
    queryKey: ["following", project, output, order, offset, limit, mark],
    queryFn: async () => new Map(await idsOf(project, output, order, offset, offset + limit - 1, mark)),
    enabled: Boolean(mark) && limit > 0,
    ...FOREVER,
  });

export const useHistograms = (project: string, output: string, columns: string[], bins: number, where: string) =>
  useQuery({
    queryKey: ["histograms", project, output, columns, bins, where],
    queryFn: ({ signal }) => get<Histograms>(`${at.output(project, output)}/histograms`, { column: columns, bins, where }, signal),
    enabled: columns.length > 0,
    placeholderData: (before) => before,
    ...FOREVER,
  });

export const usePoints = (project: string, output: string, y: string, x: string, where: string) =>
  useQuery({
    queryKey: ["points", project, output, y, x, where],
    queryFn: ({ signal }) => get<Points>(`${at.output(project, output)}/points`, { y, x, where }, signal),
    enabled: y !== "",
    placeholderData: (before) => before,
    ...FOREVER,
  });

export const useCurves = (project: string, output: string) =>
  useQuery({ queryKey: ["fsc", project, output], queryFn: ({ signal }) => get<Curves>(`${at.output(project, output)}/fsc`, {}, signal), ...FOREVER });

/** One image of a gallery: its place on the sheet and its numbers. */
export interface Cell {
  id: number;
  column: number;
  row: number;
  values: Record<string, unknown>;
}

export interface Sheet {
  of: number;
  count: number;
  offset: number;
  cell: number;
  columns: number;
  described: Record<string, Column>;
  items: Cell[];
}

export interface SheetWanted extends Order {
  offset: number;
  limit: number;
  columns: number;
  size: number;
}

export const sheetPicture = (project: string, output: string, wanted: SheetWanted) => address(`${at.output(project, output)}/sprite`, { ...wanted });

export const useSheet = (project: string, output: string, wanted: SheetWanted) =>
  useQuery({
    queryKey: ["sheet", project, output, wanted],
    queryFn: ({ signal }) => get<Sheet>(`${at.output(project, output)}/sprite.json`, { ...wanted }, signal),
    placeholderData: (before) => before,
    ...FOREVER,
  });

/** A micrograph in miniature, or the power spectrum of one. */
export const miniature = (project: string, output: string, id: number, what: "thumbnail" | "psd") =>
  address(`${at.output(project, output)}/micrographs/${id}/${what}`);

export const useSelectionCheck = (project: string, output: string, chosen: Chosen, enabled: boolean) =>
  useQuery({
    queryKey: ["selection", project, output, chosen],
    queryFn: () => send<SelectionCheck>("POST", `${at.output(project, output)}/selection/check`, chosen),
    placeholderData: (before) => before,
    enabled,
    staleTime: 10_000,
  });

export function useMakeSubset(project: string, output: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wanted: Chosen & { offer: string; label: string }) => send<SubsetMade>("POST", `${at.output(project, output)}/selection/subset`, wanted),
    onSuccess: () => void client.invalidateQueries({ queryKey: ["offers", project] }),
  });
}

export const cell = (page: Page, row: number, column: string): unknown => {
  const place = page.columns.findIndex((each) => each.name === column);
  return place < 0 ? undefined : (page.rows[row] as unknown[] | undefined)?.[place];
};
