/** What all wizards share: the dialog, its states, and the buttons that write back or leave. */

import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Dialog } from "../../ui/Dialog";
import { Failed, Loading } from "../../ui/Feedback";
import { Icon } from "../../ui/Icon";
import "./wizards.css";

interface Props<T> {
  title: string;
  /** What the wizard waits for; none: it needs nothing. */
  query?: UseQueryResult<T>;
  what: string;
  /** What is written back, in words. */
  result: string;
  disabled?: boolean;
  onUse: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function WizardDialog<T>({ title, query, what, result, disabled = false, onUse, onClose, children }: Props<T>) {
  const waiting = query !== undefined && query.data === undefined;
  return (
    <Dialog title={title} wide onClose={onClose}>
      {query?.error ? <Failed error={query.error} retry={() => void query.refetch()} /> : null}
      {waiting && !query.error && <Loading what={what} />}
      {!waiting && children}
      <div className="actions">
        <output className="soft grow" aria-live="polite">
          {!waiting && result}
        </output>
        <button type="button" className="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" className="button main" disabled={waiting || disabled} onClick={onUse}>
          Use it
        </button>
      </div>
    </Dialog>
  );
}

/** Previous and next image of a set. */
export function Turn({ name, place, of, onTurn }: { name: string; place: number; of: number; onTurn: (place: number) => void }) {
  if (of < 2) return <div className="soft">{name}</div>;
  return (
    <div className="row">
      <button type="button" className="button" aria-label="Previous" onClick={() => onTurn((place + of - 1) % of)}>
        <Icon name="back" />
      </button>
      <span className="grow soft">
        {name} ({(place % of) + 1} of {of})
      </span>
      <button type="button" className="button" aria-label="Next" onClick={() => onTurn((place + 1) % of)}>
        <Icon name="forward" />
      </button>
    </div>
  );
}

interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  unit?: string;
  /** The value in other words, such as other units. */
  told?: string;
  onChange: (value: number) => void;
}

/** A number by slider and by typing. */
export function Slider({ label, value, min, max, step, unit = "", told = "", onChange }: SliderProps) {
  const rounded = Number(value.toPrecision(4));
  return (
    <div className="slider">
      <label>
        <span>
          {label} {unit && <span className="soft">({unit})</span>}
        </span>
        <input type="range" min={min} max={max} step={step} value={value} aria-valuetext={`${rounded} ${unit}`} onChange={(event) => onChange(Number(event.target.value))} />
      </label>
      <input className="input" type="number" aria-label={`${label}, as a number`} min={min} max={max} step="any" value={rounded} onChange={(event) => event.target.value !== "" && onChange(Number(event.target.value))} />
      {told && <small className="soft">{told}</small>}
    </div>
  );
}
