/** Pictures of micrographs, their spectra and motion. */

import { useQuery } from "@tanstack/react-query";
import type { Picture } from "../gl/painter";
import { TILE, type Tile } from "../gl/tiles";
import type { Size } from "../gl/view";
import { address, answered, at, get } from "./client";
import type { MicrographList, MicrographPicks } from "./schema";

/** An image that is shown piece by piece. */
export interface ImageSource extends Size {
  /** Says which image it is. */
  key: string;
  /** Å */
  pixelSize: number;
  whole(binning: number, lowpass: number, signal: AbortSignal): Promise<Picture>;
  tile(tile: Tile, signal: AbortSignal): Promise<Picture>;
}

interface Micrograph extends Size {
  id: number;
  pixelSize: number;
  weighted: boolean;
}

const of = (project: string, output: string, id: number) => `${at.output(project, output)}/micrographs/${id}`;

const picture = async (path: string, query: Parameters<typeof address>[1], signal: AbortSignal): Promise<Response> =>
  answered(await fetch(address(path, query), { signal }));

/** A micrograph of an output, or of what it was made from. */
export function micrographSource(project: string, output: string, { id, width, height, pixelSize, weighted }: Micrograph): ImageSource {
  const base = of(project, output, id);
  return {
    key: `${base}/${weighted}`, width, height, pixelSize,
    async whole(binning, lowpass, signal) {
      const answer = await picture(`${base}/view`, { bin: binning, lp: lowpass || undefined, weighted }, signal);
      const side = (name: string) => Number(answer.headers.get(name));
      return { width: side("X-Width"), height: side("X-Height"), pixels: new Uint8Array(await answer.arrayBuffer()) };
    },
    async tile({ level, column, row }, signal) {
      const answer = await picture(`${base}/tile`, { level, x: column, y: row, weighted }, signal);
      const pixels = await createImageBitmap(await answer.blob());
      return { width: Math.min(pixels.width, TILE), height: Math.min(pixels.height, TILE), pixels };
    },
  };
}

/** Address of a spectrum in miniature. */
export const spectrumThumbnail = (project: string, output: string, id: number) => address(`${of(project, output, id)}/psd-thumbnail`);

/** A power spectrum: a circle of d Å has a radius of `width · pixelSize / d` px about the pixel `width / 2`. */
export interface Spectrum {
  picture: Blob;
  width: number;
  pixelSize: number;
}

export const useSpectrum = (project: string, output: string, id: number, model: boolean) =>
  useQuery({
    queryKey: ["spectrum", project, output, id, model],
    queryFn: async ({ signal }): Promise<Spectrum> => {
      const answer = await picture(`${of(project, output, id)}/psd`, { model }, signal);
      return { picture: await answer.blob(), width: Number(answer.headers.get("X-Width")), pixelSize: Number(answer.headers.get("X-Pixel-Size")) };
    },
  });

export const useMicrographs = (project: string, output: string) =>
  useQuery({ queryKey: ["micrographs", project, output], queryFn: ({ signal }) => get<MicrographList>(`${at.output(project, output)}/micrographs`, {}, signal) });

export const useMicrographPicks = (project: string, output: string, id: number | null, wanted: boolean) =>
  useQuery({
    queryKey: ["micrograph-picks", project, output, id],
    queryFn: ({ signal }) => get<MicrographPicks>(`${of(project, output, id ?? 0)}/picks`, {}, signal),
    enabled: wanted && id !== null,
  });

/** How a micrograph moved: px of the movie, from the first frame used. */
export interface Trajectory {
  frames: number[];
  pixel_size: number | null;
  whole: { x: number[]; y: number[] };
  local: { places: number; x: number[][][]; y: number[][][] } | null;
  motion_total: number | null;
  motion_early: number | null;
  motion_late: number | null;
  local_motion: number | null;
}

export const useTrajectory = (project: string, output: string, id: number) =>
  useQuery({
    queryKey: ["trajectory", project, output, id],
    queryFn: ({ signal }) => get<Trajectory>(`${of(project, output, id)}/trajectory`, {}, signal),
  });

export interface Described {
  unit: string;
  meaning: string;
}

/** The fit of a transfer function: its numbers, and curves over 1/Å. */
export interface CtfFit {
  id: number;
  output: string;
  values: Record<string, Described & { value: unknown }>;
  curves: { x: number[]; unit: string; series: (Described & { name: string; y: (number | null)[] })[] }[];
}

export const useCtfFit = (project: string, output: string, id: number) =>
  useQuery({
    queryKey: ["ctf-fit", project, output, id],
    queryFn: ({ signal }) => get<CtfFit>(`${of(project, output, id)}/psd.json`, {}, signal),
  });
