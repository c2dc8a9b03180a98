/** What pages ask of the server, and what they ask it to do. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { at, get, send } from "./client";
import type {
  CatalogueEntry,
  CopyWanted,
  FormCheck,
  Made,
  Offer,
  Page,
  Panel,
  ProjectBrief,
  ProjectChange,
  Resources,
  RunChange,
  RunDetail,
  Taker,
  Wanted,
} from "./schema";

// -- projects ---------------------------------------------------------------------------------------------------

export const useProjects = () =>
  useQuery({ queryKey: ["projects"], queryFn: ({ signal }) => get<ProjectBrief[]>("projects", {}, signal), refetchInterval: 5000 });

export const useProject = (project: string) =>
  useQuery({ queryKey: ["project", project], queryFn: ({ signal }) => get<ProjectBrief>(at.project(project), {}, signal) });

export function useProjectActions() {
  const client = useQueryClient();
  const onSuccess = () => {
    void client.invalidateQueries({ queryKey: ["projects"] });
    void client.invalidateQueries({ queryKey: ["project"] });
  };
  return {
    create: useMutation({ mutationFn: (name: string) => send<ProjectBrief>("POST", "projects", { name }), onSuccess }),
    demo: useMutation({ mutationFn: () => send<ProjectBrief>("PUT", "projects/demo"), onSuccess }),
    change: useMutation({
      mutationFn: ({ project, ...change }: { project: string } & Partial<ProjectChange>) =>
        send<ProjectBrief>("PATCH", at.project(project), change),
      onSuccess,
    }),
    copy: useMutation({
      mutationFn: ({ project, name }: { project: string; name: string }) => send<ProjectBrief>("POST", `${at.project(project)}/copy`, { name }),
      onSuccess,
    }),
    remove: useMutation({ mutationFn: (project: string) => send<void>("DELETE", at.project(project)), onSuccess }),
  };
}

// -- runs -------------------------------------------------------------------------------------------------------

export const useRun = (project: string, run: string) =>
  useQuery({
    queryKey: ["run", project, run],
    queryFn: ({ signal }) => get<RunDetail>(at.run(project, run), {}, signal),
    enabled: run !== "",
  });

export const usePanels = (project: string, run: string, state: string) =>
  useQuery({ queryKey: ["panels", project, run, state], queryFn: ({ signal }) => get<Panel[]>(`${at.run(project, run)}/panels`, {}, signal) });

export interface Provenance {
  environment: Record<string, unknown> | null;
  why: string;
  created: number;
  methods: { text: string; bibtex: string };
}

export const useProvenance = (project: string, run: string, state: string) =>
  useQuery({
    queryKey: ["provenance", project, run, state],
    queryFn: ({ signal }) => get<Provenance>(`${at.run(project, run)}/provenance`, {}, signal),
  });

export function useRunActions(project: string) {
  const runs = `${at.project(project)}/runs`;
  const client = useQueryClient();
  const onSuccess = (_: unknown, given: string | { run?: string }) => {
    const run = typeof given === "string" ? given : given.run;
    if (run) void client.invalidateQueries({ queryKey: ["run", project, run] });
  };
  return {
    make: useMutation({ mutationFn: (wanted: Partial<Wanted> & { protocol: string }) => send<Made>("POST", runs, wanted) }),
    start: useMutation({
      mutationFn: ({ run, ...resources }: { run: string } & Partial<Resources>) => send<Made>("POST", `${at.run(project, run)}/start`, resources),
      onSuccess,
    }),
    stop: useMutation({ mutationFn: (run: string) => send<Made>("POST", `${at.run(project, run)}/stop`), onSuccess }),
    close: useMutation({ mutationFn: (run: string) => send<Made>("POST", `${at.run(project, run)}/close`), onSuccess }),
    restart: useMutation({ mutationFn: (run: string) => send<Made>("POST", `${at.run(project, run)}/restart`), onSuccess }),
    copy: useMutation({ mutationFn: (wanted: Partial<CopyWanted> & { runs: string[] }) => send<Made[]>("POST", `${runs}/copies`, wanted) }),
    remove: useMutation({
      mutationFn: ({ run, withDependents }: { run: string; withDependents: boolean }) =>
        send<string[]>("DELETE", at.run(project, run), {}, { with_dependents: withDependents }),
    }),
    change: useMutation({
      mutationFn: ({ run, ...change }: { run: string } & Partial<RunChange>) => send<RunDetail>("PATCH", at.run(project, run), change),
      onSuccess,
    }),
  };
}

/** A value of both runs, and what `app.comparison` says of an output. */
export type Pair = [unknown, unknown];

export interface OutputsCompared {
  same?: boolean;
  only?: string;
  count?: [number, number];
  enabled?: [number, number];
  kind?: [string, string];
  rows?: { both: number; only_first: number; only_second: number };
  numbers?: Record<string, { mean: number; largest: number }>;
  meta?: Record<string, Pair>;
  fsc?: { frequency: number; first: number; second: number }[];
}

export interface Comparison {
  runs: [string, string];
  asked: string[];
  parameters: Record<string, Pair>;
  summary: Record<string, Pair>;
  spent: Record<string, Pair>;
  outputs: Record<string, OutputsCompared>;
}

export const useComparison = (project: string, first: string, second: string) =>
  useQuery({
    queryKey: ["compare", project, first, second],
    queryFn: ({ signal }) => get<Comparison>(`${at.run(project, first)}/compare/${encodeURIComponent(second)}`, {}, signal),
    enabled: second !== "",
    staleTime: 0,
  });

/** Protocols that take an output of a run. */
export const useTakers = (project: string, run: string) =>
  useQuery({
    queryKey: ["takers", project, run],
    queryFn: ({ signal }) => get<Taker[]>(`${at.run(project, run)}/next`, {}, signal),
    enabled: run !== "",
  });

// -- catalogue and forms ----------------------------------------------------------------------------------------

export const useCatalogue = () =>
  useQuery({ queryKey: ["catalogue"], queryFn: ({ signal }) => get<CatalogueEntry[]>("catalogue", {}, signal), staleTime: Infinity });

/** A field of a protocol's form, as the server's JSON Schema tells of it. */
export interface FieldSchema {
  type?: string;
  anyOf?: FieldSchema[];
  enum?: (string | number)[];
  const?: string | number;
  items?: FieldSchema;
  prefixItems?: FieldSchema[];
  default?: unknown;
  description?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  "x-label": string;
  "x-unit"?: string;
  "x-group"?: string;
  "x-advanced"?: boolean;
  "x-wizard"?: string;
  "x-when"?: string;
  "x-input"?: boolean;
  "x-kinds"?: string[];
  "x-many"?: boolean;
}

export interface ProtocolSchema {
  title: string;
  description: string;
  properties: Record<string, FieldSchema>;
  required: string[];
  "x-protocol": string;
  "x-cite": string[];
  "x-outputs": Record<string, string>;
}

export const useProtocol = (protocol: string) =>
  useQuery({
    queryKey: ["protocol", protocol],
    queryFn: ({ signal }) => get<ProtocolSchema>(`catalogue/${encodeURIComponent(protocol)}`, {}, signal),
    staleTime: Infinity,
    enabled: protocol !== "",
  });

export const useOffers = (project: string, protocol: string, name: string, number: number) =>
  useQuery({
    queryKey: ["offers", project, protocol, name, number],
    queryFn: ({ signal }) => get<Offer[]>(`${at.form(project, protocol)}/offers/${encodeURIComponent(name)}`, {}, signal),
    placeholderData: (before) => before,
  });

export const useFormCheck = (project: string, protocol: string, values: Record<string, unknown>, seed: number) =>
  useQuery({
    queryKey: ["check", project, protocol, values, seed],
    queryFn: () => send<FormCheck>("POST", `${at.form(project, protocol)}/check`, { values, seed }),
    placeholderData: (before) => before,
    staleTime: 5000,
  });

// -- sets -------------------------------------------------------------------------------------------------------

export interface PageWanted {
  columns?: string[];
  where?: string;
  sort?: string;
  descending?: boolean;
  offset?: number;
  limit?: number;
  /** Another rule; whether each row follows it is told. */
  mark?: string;
}

export const getPage = (project: string, output: string, wanted: PageWanted, signal?: AbortSignal) =>
  get<Page>(`${at.output(project, output)}/page`, { ...wanted }, signal);

/** The files of an output; null bytes: it is gone. */
export const useFiles = (project: string, output: string) =>
  useQuery({
    queryKey: ["files", project, output],
    queryFn: ({ signal }) => get<{ name: string; bytes: number | null }[]>(`${at.output(project, output)}/files`, {}, signal),
  });
