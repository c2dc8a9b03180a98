/** The round mask of a classification, on the mean of the particles. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { SizeWizard } from "../../api/schema";
import type { WizardProps } from "./wizard";
import { RoundMask } from "./RoundMask";

/** Diameters of the particle that a mask has. */
const ROOM = 1.2;

export default function MaskCircle({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const query = useWizard<SizeWizard>(project, protocol, "mean-particle", { particles: values.particles ?? values.averages });
  const [chosen, setChosen] = useState(Number(values[name]) / 2 || 0);
  const found = query.data;
  const most = found ? (found.picture.width / 2) * found.picture.pixel_size : 100;
  const radius = chosen || Math.min(found?.diameter ? (ROOM * found.diameter) / 2 : 0.8 * most, most);
  const diameter = Math.round(2 * radius);
  return (
    <RoundMask title={field["x-label"]} query={query} radius={radius} onRadius={setChosen} result={`Diameter ${diameter} Å`} onUse={() => onWrite({ [name]: diameter })} onClose={onClose}>
      <p>
        Drag the circle so that the particle fits with some room.
        {found?.diameter ? ` The dotted circle is the diameter that was picked with, ${found.diameter} Å.` : ""}
      </p>
    </RoundMask>
  );
}
