/** Atomic models of a project, and where they lie in one of its maps. */

import { useQuery } from "@tanstack/react-query";
import { at, get } from "./client";
import type { NamedOutput } from "./schema";
import type { Choice } from "./volumes";

export interface Trace {
  /** x, y, z in turn of one atom a residue, Å from the map's first voxel. */
  points: number[];
  /** Numbers of the points that are joined, two by two. */
  links: number[];
  /** Correlation of each residue with the map it was laid in. */
  values: (number | null)[];
}

export const useModels = (project: string) =>
  useQuery({ queryKey: ["models", project], queryFn: ({ signal }) => get<NamedOutput[]>(`${at.project(project)}/atomic-models`, {}, signal) });

export const useTrace = (project: string, output: string, choice: Choice, model: string) =>
  useQuery({
    queryKey: ["trace", project, output, choice, model],
    queryFn: ({ signal }) => get<Trace>(`${at.output(project, output)}/trace`, { ...choice, model }, signal),
    enabled: model !== "",
    staleTime: Infinity,
  });
