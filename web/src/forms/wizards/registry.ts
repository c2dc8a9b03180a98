/** The wizards by the names that protocols call them; each is loaded when it is first opened. */

import { lazy } from "react";
import type { Wizard } from "./wizard";

const wizards: Record<string, Wizard> = {
  file: { title: "Choose a file", Component: lazy(() => import("./FileChoice")) },
  "file-pattern": { title: "Choose files", Component: lazy(() => import("./FilePattern")) },
  "gain-orientation": { title: "Find the orientation", Component: lazy(() => import("./GainOrientation")) },
  "psd-band": { title: "Band on the spectrum", Component: lazy(() => import("./PsdBand")) },
  downsampling: { title: "Downsampling on the spectrum", Component: lazy(() => import("./Downsampling")) },
  "particle-size": { title: "Measure a particle", Component: lazy(() => import("./ParticleSize")) },
  "box-size": { title: "Box on particles", Component: lazy(() => import("./BoxSize")) },
  "mask-circle": { title: "Circle on the mean particle", Component: lazy(() => import("./MaskCircle")) },
  "background-circle": { title: "Circle on the mean box", Component: lazy(() => import("./BackgroundCircle")) },
  "max-resolution": { title: "Resolution on an average", Component: lazy(() => import("./MaxResolution")) },
  "map-threshold": { title: "Threshold on slices", Component: lazy(() => import("./MapThreshold")) },
};

export const wizardOf = (name: string | undefined): Wizard | undefined => (name ? wizards[name] : undefined);
