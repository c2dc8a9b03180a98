/** The wizards by the names that protocols call them; each is loaded when it is first opened. */

import { lazy, type ComponentType } from "react";
import type { FieldSchema } from "../../api/queries";
import type { Values } from "../values";

export interface WizardProps {
  project: string;
  protocol: string;
  /** The field that it was opened from. */
  name: string;
  field: FieldSchema;
  values: Values;
  /** Write what was found into the form; undefined empties a field. */
  onWrite: (values: Values) => void;
  onClose: () => void;
}

interface Wizard {
  title: string;
  Component: ComponentType<WizardProps>;
}

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
  "map-threshold": { title: "Threshold on slices", Component: lazy(() => import("./MapThreshold")) },
};

export const wizardOf = (name: string | undefined): Wizard | undefined => (name ? wizards[name] : undefined);
