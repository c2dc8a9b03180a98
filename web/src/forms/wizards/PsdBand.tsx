/** The band in which Thon rings are fitted: two rings on the spectrum of a micrograph. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { BandWizard } from "../../api/schema";
import { Measure } from "./Measure";
import type { WizardProps } from "./wizard";
import { Slider, Turn, WizardDialog } from "./WizardDialog";

/** Å that a form means: values below 0.5 are fractions of the sampling rate. */
const angstrom = (value: unknown, nyquist: number): number | undefined => {
  const given = Number(value);
  if (!given) return undefined;
  return given < 0.5 ? nyquist / 2 / given : given;
};

const tidy = (value: number): number => Number(value.toFixed(value < 10 ? 2 : 1));

export default function PsdBand({ project, protocol, field, values, onWrite, onClose }: WizardProps) {
  const [place, setPlace] = useState(0);
  const { micrographs, bin_factor } = values;
  const query = useWizard<BandWizard>(project, protocol, "psd-band", { micrographs, bin_factor }, place);
  const found = query.data;
  const [chosen, setChosen] = useState<{ low?: number; high?: number }>({});
  const nyquist = found?.nyquist ?? 1;
  const low = chosen.low ?? angstrom(values.low_res, nyquist) ?? found?.low_res ?? 30;
  const high = Math.max(Math.min(chosen.high ?? angstrom(values.high_res, nyquist) ?? found?.high_res ?? 5, low / 1.05), nyquist);
  const scale = found ? found.picture.width * found.picture.pixel_size : 1;
  const setLow = (value: number) => setChosen({ ...chosen, low: tidy(Math.min(Math.max(value, high * 1.05), 100)) });
  const setHigh = (value: number) => setChosen({ ...chosen, high: tidy(Math.max(Math.min(value, low / 1.05), nyquist)) });
  return (
    <WizardDialog title={`Band of the fit: ${field["x-label"]}`} query={query} what="the spectrum; this takes some seconds" result={`${tidy(low)} Å to ${tidy(high)} Å`} onUse={() => onWrite({ low_res: tidy(low), high_res: tidy(high) })} onClose={onClose}>
      {found && (
        <div className="wizard-body">
          <Measure
            picture={found.picture}
            label={`Power spectrum of ${found.micrograph}; the fit reaches from ${tidy(low)} Å to ${tidy(high)} Å`}
            shapes={[
              { kind: "circle", tone: "first", radius: scale / low, onRadius: (radius) => setLow(scale / radius) },
              { kind: "circle", tone: "second", radius: scale / high, onRadius: (radius) => setHigh(scale / radius) },
              { kind: "circle", tone: "faint", radius: scale / nyquist },
            ]}
          />
          <div className="wizard-side">
            <Turn name={found.micrograph} place={place} of={found.of} onTurn={setPlace} />
            <p>Drag the inner ring to just inside of the first dark ring, the outer one to where rings can still be followed. The dotted ring is the Nyquist frequency.</p>
            <Slider label="Inner ring" unit="Å" value={low} min={8} max={60} step={0.5} onChange={setLow} />
            <Slider label="Outer ring" unit="Å" value={high} min={Number(nyquist.toFixed(2))} max={20} step={0.1} onChange={setHigh} />
            <button type="button" className="button" disabled={found.doubt !== ""} onClick={() => setChosen({ low: tidy(found.low_res), high: tidy(found.high_res) })}>
              Take what the fit advises: {tidy(found.low_res)} Å to {tidy(found.high_res)} Å
            </button>
            {found.doubt && <div className="notice advice">This fit is doubtful: {found.doubt}</div>}
          </div>
        </div>
      )}
    </WizardDialog>
  );
}
