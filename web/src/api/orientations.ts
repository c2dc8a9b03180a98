/** Views of particles. */

import { useQuery } from "@tanstack/react-query";
import { at, get } from "./client";
import type { Orientations } from "./schema";

export interface ViewsWanted {
  symmetry: string;
  spread: string;
  side: number;
  where: string;
}

export const useOrientations = (project: string, output: string, wanted: ViewsWanted) =>
  useQuery({
    queryKey: ["orientations", project, output, wanted],
    queryFn: ({ signal }) => get<Orientations>(`${at.output(project, output)}/orientations`, { ...wanted }, signal),
    placeholderData: (before) => before,
    staleTime: Infinity,
  });
