/** A project as a whole: its room, its trash, its workflow, what was written down in it. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { address, at, get, send } from "./client";
import type { Brought, Cleaned, Cleanup, Deleted, MethodsText, Note, ProjectBrief, RoomOfRun } from "./schema";

export const useProjectNotes = (project: string) =>
  useQuery({ queryKey: ["notes", project], queryFn: ({ signal }) => get<Note[]>(`${at.project(project)}/notes`, {}, signal) });

export function useWriteNote(project: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (note: string) => send<ProjectBrief>("PATCH", at.project(project), { note }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["notes", project] }),
  });
}

export const useProjectMethods = (project: string) =>
  useQuery({ queryKey: ["methods", project], queryFn: ({ signal }) => get<MethodsText>(`${at.project(project)}/methods`, {}, signal), staleTime: 0 });

/** Bytes of every run and of the trash; asked for by hand, for every file is looked at. */
export const useDisk = (project: string, wanted: boolean) =>
  useQuery({
    queryKey: ["disk", project],
    queryFn: ({ signal }) => get<Record<string, number>>(`${at.project(project)}/disk`, {}, signal),
    enabled: wanted,
    staleTime: 10 * 60_000,
  });

export const useRoom = (project: string) =>
  useQuery({ queryKey: ["room", project], queryFn: ({ signal }) => get<RoomOfRun[]>(`${at.project(project)}/room`, {}, signal), staleTime: 0 });

export type Keep = NonNullable<Cleanup["keep"]>;

/** What a cleaning of these runs would remove; nothing is asked while none is chosen. */
export const useWouldClean = (project: string, runs: string[], keep: Keep) =>
  useQuery({
    queryKey: ["room", project, "would", runs, keep],
    queryFn: ({ signal }) => get<Cleaned>(`${at.project(project)}/cleaning`, { run: runs, keep }, signal),
    enabled: runs.length > 0,
    placeholderData: (before) => before,
    staleTime: 0,
  });

export function useClean(project: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wanted: Partial<Cleanup>) => send<Cleaned>("POST", `${at.project(project)}/cleaning`, wanted),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["room", project] });
      void client.invalidateQueries({ queryKey: ["disk", project] });
    },
  });
}

export const useTrash = (project: string) =>
  useQuery({ queryKey: ["trash", project], queryFn: ({ signal }) => get<Deleted[]>(`${at.project(project)}/trash`, {}, signal), staleTime: 0 });

export function useTrashActions(project: string) {
  const client = useQueryClient();
  const onSuccess = () => client.invalidateQueries({ queryKey: ["trash", project] });
  return {
    restore: useMutation({ mutationFn: (run: string) => send<string[]>("POST", `${at.project(project)}/trash/${encodeURIComponent(run)}/restore`), onSuccess }),
    empty: useMutation({ mutationFn: () => send<number>("DELETE", `${at.project(project)}/trash`), onSuccess }),
  };
}

export const useBringWorkflow = (project: string) =>
  useMutation({ mutationFn: (text: string) => send<Brought>("POST", `${at.project(project)}/workflow`, { text }) });

/** Addresses of files that the browser saves. */
export const download = {
  workflow: (project: string, run = "") => address(`${at.project(project)}/workflow`, { run }),
  report: (project: string, run = "") => address(`${at.project(project)}/report`, { run }),
  thumbnail: (project: string, output: string) => address(`${at.output(project, output)}/thumbnail`),
};
