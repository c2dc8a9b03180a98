/** The factor of downsampling: a ring on the spectrum beyond which everything is lost. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { BandWizard } from "../../api/schema";
import { Measure } from "./Measure";
import type { WizardProps } from "./wizard";
import { Slider, Turn, WizardDialog } from "./WizardDialog";

const FACTORS = [1, 1.5, 2, 3, 4];
const tidy = (value: number): number => Number(value.toFixed(2));

export default function Downsampling({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const [place, setPlace] = useState(0);
  const query = useWizard<BandWizard>(project, protocol, "psd-band", { micrographs: values.micrographs }, place);
  const found = query.data;
  const [factor, setFactor] = useState(Math.max(1, Number(values[name] ?? field.default) || 2));
  const nyquist = found?.nyquist ?? 1;
  const scale = found ? found.picture.width * found.picture.pixel_size : 1;
  const kept = (by: number) => `${tidy((nyquist / 2) * by)} Å/px: detail to ${tidy(nyquist * by)} Å stays`;
  return (
    <WizardDialog title={field["x-label"]} query={query} what="the spectrum; this takes some seconds" result={`Factor ${factor}, ${kept(factor)}`} onUse={() => onWrite({ [name]: factor })} onClose={onClose}>
      {found && (
        <div className="wizard-body">
          <Measure
            picture={found.picture}
            label={`Power spectrum of ${found.micrograph}; what lies outside of ${tidy(nyquist * factor)} Å is lost`}
            shapes={[
              { kind: "circle", tone: "first", radius: scale / (nyquist * factor), onRadius: (radius) => setFactor(tidy(Math.max(1, scale / radius / nyquist))) },
              { kind: "circle", tone: "faint", radius: scale / nyquist },
            ]}
          />
          <div className="wizard-side">
            <Turn name={found.micrograph} place={place} of={found.of} onTurn={setPlace} />
            <p>What lies outside of the ring is lost. Keep the rings that you want to use later.</p>
            <Slider label="Factor" value={factor} min={1} max={8} step={0.1} told={kept(factor)} onChange={(value) => setFactor(Math.max(1, value))} />
            <div className="row wrap" role="group" aria-label="Usual factors">
              {FACTORS.map((each) => (
                <button key={each} type="button" className={each === factor ? "button on" : "button"} aria-pressed={each === factor} onClick={() => setFactor(each)}>
                  {each}: {tidy(nyquist * each)} Å
                </button>
              ))}
            </div>
          </div>
        </div>
      )}
    </WizardDialog>
  );
}
