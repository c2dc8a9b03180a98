/** A map beside another one of its project. */

import { useQuery } from "@tanstack/react-query";
import { at, get } from "./client";
import type { Companion } from "./schema";
import { getPlane, type Axis, type Choice } from "./volumes";

/** One map of the project. */
export interface Chosen {
  output: string;
  choice: Choice;
}

export const useCompanions = (project: string, { output, choice }: Chosen) =>
  useQuery({
    queryKey: ["companions", project, output, choice],
    queryFn: ({ signal }) => get<Companion[]>(`${at.output(project, output)}/companions`, { ...choice }, signal),
  });

export interface Agreement {
  frequency: number[];
  fsc: number[];
  /** threshold, Å */
  resolutions: [number, number][];
  correlation: number;
  scale: number;
  offset: number;
  largest: number;
  pixel_size: number | null;
}

const both = (first: Chosen, second: Chosen) => ({ ...first.choice, with: second.output, with_which: second.choice.which, with_id: second.choice.id });

export const useAgreement = (project: string, first: Chosen, second: Chosen) =>
  useQuery({
    queryKey: ["agreement", project, first, second],
    queryFn: ({ signal }) => get<Agreement>(`${at.output(project, first.output)}/agreement`, both(first, second), signal),
    staleTime: Infinity,
  });

/** The first map less the second, made alike in grey scale. */
export const useDifference = (project: string, first: Chosen, second: Chosen, axis: Axis, index: number) =>
  useQuery({
    queryKey: ["difference", project, first, second, axis, index],
    queryFn: ({ signal }) => getPlane(`${at.output(project, first.output)}/difference`, { ...both(first, second), axis, i: index }, signal),
    placeholderData: (before) => before,
    staleTime: Infinity,
    gcTime: 60_000,
  });
