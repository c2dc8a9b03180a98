/** Places in a map. */

import type { Axis, VolumeInfo } from "../../api/volumes";

/** A place in the map, in voxels. */
export interface Spot {
  x: number;
  y: number;
  z: number;
}

export const AXES: readonly Axis[] = ["z", "y", "x"];

export const middle = ({ shape: [depth, height, width] }: VolumeInfo): Spot => ({ x: Math.floor(width / 2), y: Math.floor(height / 2), z: Math.floor(depth / 2) });

/** Slices across an axis. */
export const sideOf = ({ shape }: VolumeInfo, axis: Axis): number => shape[AXES.indexOf(axis)] as number;
