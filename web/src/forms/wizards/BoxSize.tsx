/** The box around a particle, on a micrograph with what was picked. */

import { useState } from "react";
import { useWizard } from "../../api/forms";
import type { SizeWizard } from "../../api/schema";
import type { Values } from "../values";
import { Measure } from "./Measure";
import type { WizardProps } from "./wizard";
import { Slider, Turn, WizardDialog } from "./WizardDialog";

const ROOM = 1.5;
const USUAL = 150;
const SHOWN = 40;

/** Å of what the form counts a box in: pixels after binning, pixels of the micrographs, or ångströms. */
export function boxUnit(values: Values, pixel: number): number {
  if (values.box_unit === "angstrom") return 1;
  if (values.box_unit === "input-px" || values.resize === "dimension") return pixel;
  const wanted = Number(values.pixel_size);
  return wanted && (values.resize === "sampling-rate" || !values.resize) ? wanted : pixel * (Number(values.bin) || 1);
}

/** The smallest of some sizes that is not below a number; the even number above where there is none. */
export const fastBox = (pixels: number, boxes: readonly number[]): number => boxes.find((each) => each >= pixels - 1e-6) ?? 2 * Math.ceil(pixels / 2);

export default function BoxSize({ project, protocol, name, field, values, onWrite, onClose }: WizardProps) {
  const [place, setPlace] = useState(0);
  const query = useWizard<SizeWizard>(project, protocol, "micrograph", { micrographs: values.micrographs, coordinates: values.coordinates }, place);
  const found = query.data;
  const [chosen, setChosen] = useState(Number(values[name]) || 0);
  const [centre, setCentre] = useState<readonly [number, number] | undefined>();
  const unit = boxUnit(values, found?.pixel_size ?? 1);
  const word = values.box_unit === "angstrom" ? "Å" : "px";
  const diameter = found?.diameter || Number(values.diameter) || USUAL;
  const boxes = found?.boxes ?? [];
  const box = chosen || fastBox((ROOM * diameter) / unit, boxes);
  const pixel = found?.picture.pixel_size ?? 1;
  const half = (box * unit) / 2 / pixel;
  const told = `${box} ${word === "px" ? `px of ${Number(unit.toPrecision(4))} Å = ${(box * unit).toFixed(0)} Å` : "Å"}`;
  const first = found?.places[0];
  const stand = centre ?? first;
  return (
    <WizardDialog title={field["x-label"]} query={query} what="the micrograph" result={told} onUse={() => onWrite({ [name]: box })} onClose={onClose}>
      {found && (
        <div className="wizard-body">
          <Measure
            picture={found.picture}
            label={`Micrograph ${found.name} with a box of ${told}`}
            {...(stand ? { centre: stand } : {})}
            onCentre={setCentre}
            shapes={[
              { kind: "box", tone: "first", radius: half, onRadius: (radius) => setChosen(fastBox((2 * radius * pixel) / unit, boxes)) },
              { kind: "circle", tone: "second", radius: diameter / 2 / pixel },
              ...found.places.slice(0, SHOWN).map((at) => ({ kind: "box", tone: "faint", radius: half, centre: at }) as const),
            ]}
          />
          <div className="wizard-side">
            <Turn name={found.name} place={place} of={found.of} onTurn={setPlace} />
            <p>
              A box of {ROOM} diameters leaves room for the background and for what the CTF spreads. The circle is a particle of {Math.round(diameter)} Å
              {found.diameter ? ", as it was picked" : ""}.
            </p>
            <Slider label="Box" unit={word} value={box} min={boxes[0] ?? 32} max={boxes.find((each) => each * unit > 4 * diameter) ?? 1024} step={2} told={told} onChange={(value) => setChosen(Math.round(value))} />
            <div className="row wrap" role="group" aria-label="Sizes that are fast">
              {boxes
                .filter((each) => each * unit >= diameter && each * unit <= 2.5 * diameter)
                .map((each) => (
                  <button key={each} type="button" className={each === box ? "button on" : "button"} aria-pressed={each === box} onClick={() => setChosen(each)}>
                    {each}
                  </button>
                ))}
            </div>
            <small className="soft">These sizes have fast transforms.</small>
          </div>
        </div>
      )}
    </WizardDialog>
  );
}
