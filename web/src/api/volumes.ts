/** Maps: which there are, their slices and bricks. */

import { useQuery } from "@tanstack/react-query";
import { address, answered, at, get } from "./client";

export interface VolumeRow {
  id: number;
  which: string[];
  class_id?: number;
  count?: number;
  distribution?: number;
  estimated_resolution?: number;
}

export interface VolumeInfo {
  volumes: VolumeRow[];
  id: number;
  name: string;
  /** z, y, x */
  shape: [number, number, number];
  pixel_size: number | null;
  min: number;
  max: number;
  mean: number;
  sigma: number;
  level: number;
  /** Of local resolutions: between which, in Å, colours may run. */
  limits: [number, number] | null;
}

/** Which map of an output: its kind of map and the id of its row. */
export interface Choice {
  which: string;
  id: number | undefined;
}

export type Axis = "x" | "y" | "z";

export const useVolume = (project: string, output: string, choice: Choice) =>
  useQuery({
    queryKey: ["volume", project, output, choice],
    queryFn: ({ signal }) => get<VolumeInfo>(`${at.output(project, output)}/volume.json`, { ...choice }, signal),
    enabled: output !== "",
    placeholderData: (before) => before,
  });

/** A slice: `data` from 0 to 255 where the map goes from `low` to `high`; row 0 at the top. */
export interface Plane {
  width: number;
  height: number;
  low: number;
  high: number;
  data: Uint8Array;
}

const told = (response: Response, name: string): number => Number(response.headers.get(name));

export async function getPlane(path: string, query: Parameters<typeof address>[1], signal: AbortSignal): Promise<Plane> {
  const response = await answered(await fetch(address(path, { ...query, format: "raw" }), { signal }));
  const data = new Uint8Array(await response.arrayBuffer());
  return { width: told(response, "X-Width"), height: told(response, "X-Height"), low: told(response, "X-Low"), high: told(response, "X-High"), data };
}

export const useSlice = (project: string, output: string, choice: Choice, axis: Axis, index: number) =>
  useQuery({
    queryKey: ["slice", project, output, choice, axis, index],
    queryFn: ({ signal }) => getPlane(`${at.output(project, output)}/slice`, { ...choice, axis, i: index }, signal),
    placeholderData: (before) => before,
    staleTime: Infinity,
    gcTime: 60_000,
  });

/** Many slices on one sheet, cells of one size in rows; `numbers` are those of the slices. */
export interface Sheet {
  pixels: ImageData;
  cell: { width: number; height: number };
  numbers: number[];
}

export const useMontage = (project: string, output: string, choice: Choice, axis: Axis, count: number, columns: number, size: number) =>
  useQuery({
    queryKey: ["montage", project, output, choice, axis, count, columns, size],
    queryFn: async ({ signal }): Promise<Sheet> => {
      const response = await answered(await fetch(address(`${at.output(project, output)}/slices`, { ...choice, axis, count, columns, size }), { signal }));
      const numbers = (response.headers.get("X-Slices") ?? "").split(",").map(Number);
      const picture = await createImageBitmap(await response.blob());
      const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
      if (!context) throw new Error("This browser draws no pictures.");
      context.drawImage(picture, 0, 0);
      const cell = { width: told(response, "X-Cell-Width"), height: told(response, "X-Cell-Height") };
      return { pixels: context.getImageData(0, 0, picture.width, picture.height), cell, numbers };
    },
    placeholderData: (before) => before,
    staleTime: Infinity,
    gcTime: 60_000,
  });

/** The value of a voxel as the file has it; null: not a number. */
export const useValue = (project: string, output: string, choice: Choice, voxel: { x: number; y: number; z: number } | null) =>
  useQuery({
    queryKey: ["value", project, output, choice, voxel],
    queryFn: ({ signal }) => get<{ value: number | null }>(`${at.output(project, output)}/value`, { ...choice, ...voxel }, signal),
    enabled: voxel !== null && output !== "",
    staleTime: Infinity,
    gcTime: 60_000,
  });

/** A map made small: values `[z, y, x]`, the size of a voxel and where the first one lies (x, y, z), in Å or in voxels of the map. */
export interface Brick {
  shape: [number, number, number];
  values: Float32Array;
  voxel: number;
  origin: [number, number, number];
}

export const useBrick = (project: string, output: string, choice: Choice, size: number) =>
  useQuery({
    queryKey: ["brick", project, output, choice, size],
    queryFn: async ({ signal }): Promise<Brick> => {
      const path = `${at.output(project, output)}/brick`;
      const response = await answered(await fetch(address(path, { ...choice, size, dtype: size > 128 ? "f2" : "u1" }), { signal }));
      const list = (name: string) => (response.headers.get(name) ?? "").split(",").map(Number);
      const shape = list("X-Shape") as Brick["shape"];
      const low = told(response, "X-Min");
      const step = (told(response, "X-Max") - low) / 255;
      const bytes = await response.arrayBuffer();
      const values = size > 128 ? halves(new Uint16Array(bytes)) : Float32Array.from(new Uint8Array(bytes), (value) => low + step * value);
      return { shape, values, voxel: told(response, "X-Voxel-Size"), origin: list("X-Origin") as Brick["origin"] };
    },
    enabled: output !== "",
    staleTime: Infinity,
    gcTime: 60_000,
  });

/** Numbers of half precision, as they come, made single. */
export function halves(raw: Uint16Array): Float32Array {
  const table = new Float32Array(1 << 16);
  for (let bits = 0; bits < table.length; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? (fraction ? NaN : Infinity) : (1024 + fraction) * 2 ** (exponent - 25);
    table[bits] = bits & 0x8000 ? -size : size;
  }
  return Float32Array.from(raw, (bits) => table[bits] as number);
}
