/** The circle beyond which the background of a box begins, on the mean of boxes as they would be cut. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { SizeWizard } from "../../api/schema";
import type { WizardProps } from "./wizard";
import { RoundMask } from "./RoundMask";

export default function BackgroundCircle({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const { [name]: _, ...others } = values;
  const query = useWizard<SizeWizard>(project, protocol, "background-circle", others);
  const found = query.data;
  const pixel = found?.pixel_size ?? 1;
  const [chosen, setChosen] = useState<number | null>(null);
  const radius = chosen ?? (Number(values[name]) * pixel || found?.advice || 1);
  const pixels = Math.round(radius / pixel);
  return (
    <RoundMask title={field["x-label"]} query={query} radius={radius} onRadius={setChosen} result={`${pixels} px = ${(pixels * pixel).toFixed(0)} Å`} onUse={() => onWrite({ [name]: pixels })} onClose={onClose}>
      <p>Nothing of the particle may lie outside of the circle: what is outside is taken for background. Neighbours brighten the corners.</p>
      {found && (
        <button type="button" className="button" onClick={() => setChosen(found.advice)}>
          Take what is advised: {Math.round(found.advice / pixel)} px
        </button>
      )}
    </RoundMask>
  );
}
