/** How a gain reference lies on its movies: the eight orientations beside the movies' own pattern, and the one that they tell. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { GainLie, GainWizard } from "../../api/schema";
import type { WizardProps } from "./wizard";
import { WizardDialog } from "./WizardDialog";

/** Upside-down is left-right after half a turn. */
const canonical = (rotation: number, flip: string): string => `${(rotation + (flip === "upside-down" ? 180 : 0)) % 360} ${flip !== "none"}`;

export const sameLie = (one: { rotation: number; flip: string }, other: { rotation: number; flip: string }): boolean =>
  canonical(one.rotation, one.flip) === canonical(other.rotation, other.flip);

const words = ({ rotation, flip }: { rotation: number; flip: string }): string => `${rotation}°${flip === "none" ? "" : `, flipped ${flip}`}`;

export default function GainOrientation({ project, protocol, values, onWrite, onClose }: WizardProps) {
  const { pattern, gain, dark, defects, eer_grouping, eer_upsampling } = values;
  const query = useWizard<GainWizard>(project, protocol, "gain-orientation", { pattern, gain, dark, defects, eer_grouping, eer_upsampling });
  const found = query.data;
  const [picked, setPicked] = useState<GainLie | null>(null);
  const given = { rotation: Number(values.gain_rotation ?? 0), flip: String(values.gain_flip ?? "none") };
  const chosen = picked ?? (found?.decided ? found : given);
  const told = found?.decided && sameLie(found, chosen);
  const write = () =>
    onWrite({ gain_orientation: "given", gain_rotation: chosen.rotation, gain_flip: chosen.flip, ...(told ? { gain_reciprocal: found.reciprocal } : {}) });
  return (
    <WizardDialog title="Orientation of the gain reference" query={query} what="frames of the movies" result={`Turned by ${words(chosen)}`} onUse={write} onClose={onClose}>
      {found && (
        <>
          <p>
            {found.decided
              ? `The movies tell: ${found.found}; ${found.ahead} σ ahead of the next.`
              : found.found
                ? `The movies do not tell it surely: perhaps ${found.found}, but only ${found.ahead} σ ahead of the next. Compare the patterns.`
                : "Without movies nothing can be compared: choose the files first, or say what you know."}
          </p>
          <div className="gain">
            {found.average && (
              <figure>
                <img src={found.average.address} alt="Average of frames" />
                <figcaption>average of frames; bright where the gain is dark</figcaption>
              </figure>
            )}
            <div className="lies" role="radiogroup" aria-label="Orientation">
              {found.lies.map((lie) => (
                <label key={words(lie)} className={lie.fits ? undefined : "unfit"}>
                  <input type="radio" name="lie" disabled={!lie.fits} checked={sameLie(lie, chosen)} onChange={() => setPicked(lie)} />
                  <img src={lie.picture.address} alt="" />
                  <span>
                    {words(lie)}
                    {found.decided && sameLie(lie, found) && <strong> fits</strong>}
                    {!lie.fits && " (other shape)"}
                  </span>
                </label>
              ))}
            </div>
          </div>
        </>
      )}
    </WizardDialog>
  );
}
