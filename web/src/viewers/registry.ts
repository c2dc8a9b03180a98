/** Which viewer shows which kind of set; each is loaded when it is first opened. */

import { lazy } from "react";
import type { Viewer } from "./viewer";

/** In the order in which they are offered: the first that fits is shown at once. */
const viewers: readonly Viewer[] = [
  { id: "ctf", title: "CTF", kinds: ["ctfs"], Component: lazy(() => import("./ctf/CtfViewer")) },
  { id: "micrographs", title: "Micrographs", kinds: ["micrographs", "coordinates", "ctfs"], Component: lazy(() => import("./micrographs/MicrographViewer")) },
  { id: "surface", title: "Surface", kinds: ["volume", "classes3d"], Component: lazy(() => import("./volume/SurfaceViewer")) },
  { id: "slices", title: "Slices", kinds: ["volume", "classes3d", "mask"], Component: lazy(() => import("./volume/SliceViewer")) },
  { id: "compare", title: "Compare", kinds: ["volume", "classes3d"], Component: lazy(() => import("./volume/CompareViewer")) },
  { id: "fsc", title: "Curves", kinds: ["fsc"], Component: lazy(() => import("./fsc/FscViewer")) },
  { id: "gallery", title: "Gallery", kinds: ["classes2d", "classes3d", "particles", "coordinates"], Component: lazy(() => import("./gallery/GalleryViewer")) },
  { id: "orientations", title: "Views", kinds: ["particles"], Component: lazy(() => import("./angular/AngularViewer")) },
  { id: "table", title: "Table", kinds: [], Component: lazy(() => import("./table/TableViewer")) },
  { id: "plots", title: "Plots", kinds: [], Component: lazy(() => import("./plots/PlotsViewer")) },
];

export const viewersOf = (kind: string): Viewer[] => viewers.filter((each) => each.kinds.length === 0 || each.kinds.includes(kind));
