/** The grey value of a particle's surface: the mask that it makes, on slices of the map. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { ThresholdWizard } from "../../api/schema";
import { Icon } from "../../ui/Icon";
import { Failed } from "../../ui/Feedback";
import { number } from "../../ui/format";
import { useSettled } from "../../ui/useSettled";
import type { WizardProps } from "./wizard";
import { Slider, WizardDialog } from "./WizardDialog";

export default function MapThreshold({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const [chosen, setChosen] = useState<number | undefined>(values[name] ? Number(values[name]) : undefined);
  const settled = useSettled(chosen, 250);
  const query = useWizard<ThresholdWizard>(project, protocol, "map-threshold", { ...values, mass: undefined, [name]: settled });
  const found = query.data;
  const threshold = chosen ?? found?.threshold ?? 0;
  const step = found ? Number(((found.high - found.low) / 200).toPrecision(1)) : 0.01;
  const busy = query.isFetching || settled !== chosen;
  const told = found ? `about ${number(Math.round(found.volume))} Å³, ${number(Math.round(found.mass))} kDa of protein` : "";
  const rounded = Number(threshold.toPrecision(4));
  return (
    <WizardDialog
      title={field["x-label"]}
      {...(found || !query.error ? { query } : {})}
      what="the mask; this takes some seconds"
      result={chosen === undefined ? `Found by itself: ${rounded}` : `Threshold ${rounded}`}
      onUse={() => onWrite({ [name]: chosen === undefined ? undefined : rounded, ...(chosen === undefined ? {} : { mass: undefined }) })}
      onClose={onClose}
    >
      {query.error && !found ? <Failed error={query.error} /> : null}
      {found && (
        <>
          <figure className="slices">
            <img src={found.picture.address} width={found.picture.width} height={found.picture.height} alt={`Central slices across z, y and x with the border of the mask at ${rounded}: ${told}`} />
            <figcaption className="soft">
              <span>across z</span>
              <span>across y</span>
              <span>across x</span>
            </figcaption>
          </figure>
          <p className="soft" aria-live="polite">
            The line is where the mask, extended and with its soft edge, is a half: it encloses {told}. {busy && <Icon name="spinner" size={13} spin />}
          </p>
          <Slider label="Threshold" value={threshold} min={Math.min(found.low, threshold)} max={Math.max(found.high, threshold)} step={step} onChange={setChosen} />
          <div>
            <button type="button" className="button" disabled={chosen === undefined} onClick={() => setChosen(undefined)}>
              Let it be found by itself
            </button>
          </div>
        </>
      )}
    </WizardDialog>
  );
}
