/** The finest resolution that averages are compared at: one of them as it is, and low-passed. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { SizeWizard } from "../../api/schema";
import { useSettled } from "../../ui/useSettled";
import type { WizardProps } from "./wizard";
import { Slider, WizardDialog } from "./WizardDialog";

export default function MaxResolution({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const [chosen, setChosen] = useState(Number(values[name]) || 12);
  const [place, setPlace] = useState(0);
  const settled = useSettled(chosen, 150);
  const query = useWizard<SizeWizard>(project, protocol, "filtered-average", { averages: values.averages, [name]: settled }, place);
  const found = query.data;
  return (
    <WizardDialog title={field["x-label"]} query={query} what="an average" result={`${chosen} Å`} onUse={() => onWrite({ [name]: chosen })} onClose={onClose}>
      {found && (
        <>
          <figure className="slices">
            <img src={found.picture.address} width={found.picture.width} height={found.picture.height} alt={`${found.name} as it is and low-passed at ${settled} Å`} />
            <figcaption className="soft">
              <span>{found.name}</span>
              <span>low-passed at {settled} Å</span>
            </figcaption>
          </figure>
          <Slider label="Finest resolution" unit="Å" value={chosen} min={Math.max(4, Math.ceil(2 * found.pixel_size))} max={60} step={1} onChange={setChosen} />
          <div>
            <button type="button" className="button" disabled={found.of < 2} onClick={() => setPlace((before) => (before + 1) % found.of)}>
              Next average
            </button>
          </div>
        </>
      )}
    </WizardDialog>
  );
}
