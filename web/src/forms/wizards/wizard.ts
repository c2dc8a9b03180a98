/** What a wizard is, and what it is given. */

import type { ComponentType } from "react";
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

export interface Wizard {
  title: string;
  Component: ComponentType<WizardProps>;
}
