/** The columns by which people judge each kind of set, those they look at first to begin with. */

import type { Column } from "../../api/schema";

const judged: Record<string, readonly string[]> = {
  movies: ["frames", "dose_per_frame", "header_pixel_size"],
  micrographs: ["motion_total", "motion_early", "motion_late", "local_motion", "motion_error"],
  ctfs: ["ctf_resolution", "defocus_u", "astigmatism", "ctf_score", "ctf_iceness", "ctf_drift"],
  coordinates: ["score", "strength", "diameter"],
  particles: ["cost", "angle_difference", "pose_spread", "score", "match", "max_probability", "log_likelihood", "defocus_u", "ctf_resolution"],
  classes2d: ["count", "resolution", "quality"],
  classes3d: ["count", "resolution", "completeness"],
  fsc: ["fsc"],
  residues: ["residue_correlation", "q_score", "inclusion"],
  resolution_curve: ["resolution"],
};

const DULL = /^(id|.*_id|optics_group|stack_index|enabled|width|height)$/;

export function telling(kind: string, columns: readonly Column[]): string[] {
  const known = new Set(columns.map((each) => each.name));
  const there = (judged[kind] ?? []).filter((name) => known.has(name));
  return there.length > 0 ? there : columns.map((each) => each.name).filter((name) => !DULL.test(name)).slice(0, 4);
}
