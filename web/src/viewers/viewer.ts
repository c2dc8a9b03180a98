/** What a viewer is, and what it is given. */

import type { ComponentType } from "react";

export interface ViewerProps {
  project: string;
  /** ``RUN.OUTPUT`` */
  output: string;
  kind: string;
}

export interface Viewer {
  id: string;
  title: string;
  /** Kinds of sets it shows; empty: all. */
  kinds: readonly string[];
  Component: ComponentType<ViewerProps>;
}
