/** The diameter of a particle: a circle on a micrograph. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { SizeWizard } from "../../api/schema";
import { Measure } from "./Measure";
import type { WizardProps } from "./wizard";
import { Slider, Turn, WizardDialog } from "./WizardDialog";

const USUAL = 150;

export default function ParticleSize({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const [place, setPlace] = useState(0);
  const coordinates = Array.isArray(values.coordinates) ? values.coordinates[0] : values.coordinates;
  const query = useWizard<SizeWizard>(project, protocol, "micrograph", { micrographs: values.micrographs, coordinates }, place);
  const found = query.data;
  const [chosen, setChosen] = useState(Number(values[name]) || 0);
  const [centre, setCentre] = useState<readonly [number, number] | undefined>();
  const diameter = Math.round(chosen || found?.diameter || USUAL);
  const pixel = found?.picture.pixel_size ?? 1;
  return (
    <WizardDialog title={field["x-label"]} query={query} what="the micrograph" result={`${diameter} Å = ${(diameter / (found?.pixel_size ?? 1)).toFixed(0)} px of the micrographs`} onUse={() => onWrite({ [name]: diameter })} onClose={onClose}>
      {found && (
        <div className="wizard-body">
          <Measure
            picture={found.picture}
            label={`Micrograph ${found.name} with a circle of ${diameter} Å`}
            {...(centre ? { centre } : {})}
            onCentre={setCentre}
            shapes={[
              { kind: "circle", tone: "first", radius: diameter / 2 / pixel, onRadius: (radius) => setChosen(Math.round(2 * radius * pixel)) },
              ...found.places.map((at) => ({ kind: "circle", tone: "faint", radius: diameter / 2 / pixel, centre: at }) as const),
            ]}
          />
          <div className="wizard-side">
            <Turn name={found.name} place={place} of={found.of} onTurn={setPlace} />
            <p>Click a particle to lay the circle on it, and drag its border until the particle's longest view just fits.</p>
            <Slider label="Diameter" unit="Å" value={diameter} min={30} max={Math.max(600, diameter)} step={1} told={`${(diameter / found.pixel_size).toFixed(1)} px of ${found.pixel_size.toFixed(3)} Å`} onChange={setChosen} />
          </div>
        </div>
      )}
    </WizardDialog>
  );
}
