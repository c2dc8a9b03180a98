/** A small picture of what a run gave, where there is one. */

import { useState } from "react";
import { download } from "../api/project";
import type { RunNode } from "../api/schema";

const PICTURED = new Set(["classes2d", "classes3d", "volume", "mask", "micrographs"]);

export function Thumbnail({ project, node }: { project: string; node: RunNode }) {
  const [broken, setBroken] = useState(false);
  const shown = node.outputs.find((chip) => chip.count && PICTURED.has(chip.kind));
  if (!shown || broken) return null;
  return <img className="thumb" src={download.thumbnail(project, `${node.run}.${shown.name}`)} alt="" loading="lazy" draggable={false} onError={() => setBroken(true)} />;
}
