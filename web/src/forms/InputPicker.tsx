/** The outputs that an input takes, last made first; one is chosen in a list, several are checked. */

import { useEffect, useState } from "react";
import { useOffers, type FieldSchema } from "../api/queries";
import type { Offer } from "../api/schema";
import { Failed } from "../ui/Feedback";
import { rows } from "../ui/format";
import type { Common } from "./Control";

/** Offers from which on they can be searched. */
const MANY = 8;

interface Props {
  project: string;
  protocol: string;
  name: string;
  field: FieldSchema;
  required: boolean;
  value: unknown;
  /** Of the last change of the project: offers are asked for again after each. */
  number: number;
  common: Common;
  onChange: (value: unknown) => void;
  /** Fills the input for somebody who has not yet, with the first of these that no other input holds. */
  onPropose: (values: readonly string[]) => void;
}

const told = ({ output, label, kind, count, state }: Offer): string =>
  [output, label, count === null ? kind : rows(count, kind), state === "finished" ? "" : state].filter(Boolean).join(" · ");

export const fits = (offer: Offer, words: string): boolean => {
  const text = told(offer).toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
};

export function InputPicker(props: Props) {
  const { project, protocol, name, field, required, value, number, onPropose, onChange, common } = props;
  const { data, error, refetch } = useOffers(project, protocol, name, number);
  const [words, setWords] = useState("");
  const many = field["x-many"] ?? false;
  const [asked, setAsked] = useState(false);

  useEffect(() => {
    if (!data || asked) return;
    setAsked(true);
    const ready = data.filter((each) => each.state === "finished" && !each.aside).map(({ output }) => output);
    if (required && !many && value === undefined && ready.length > 0) onPropose(ready);
  }, [data, asked, required, many, value, onPropose]);

  if (error) return <Failed error={error} retry={() => void refetch()} />;
  if (!data) return <div className="soft none">loading …</div>;
  if (data.length === 0) return <div className="soft none">No run gives {field["x-kinds"]?.join(" or ")} yet.</div>;
  const chosen = Array.isArray(value) ? value.map(String) : value ? [String(value)] : [];
  const shown = data.filter((each) => chosen.includes(each.output) || fits(each, words));
  const unknown = chosen.filter((each) => !data.some(({ output }) => output === each));
  const search = data.length > MANY && (
    <input className="input" type="search" aria-label={`Search ${field["x-label"]}`} placeholder={`Search ${data.length} sets`} value={words} onChange={(event) => setWords(event.target.value)} />
  );
  if (many) {
    const order = (next: string[]) => data.map(({ output }) => output).filter((output) => next.includes(output)).reverse();
    return (
      <div className="picker">
        {search}
        <div className="sets" role="group" id={common.id} aria-label={field["x-label"]} aria-describedby={common["aria-describedby"]} tabIndex={-1}>
          {shown.map((each) => (
            <label key={each.output}>
              <input
                type="checkbox"
                checked={chosen.includes(each.output)}
                onChange={(event) => onChange(order(event.target.checked ? [...chosen, each.output] : chosen.filter((output) => output !== each.output)))}
              />
              <span>{told(each)}</span>
            </label>
          ))}
        </div>
      </div>
    );
  }
  return (
    <div className="picker">
      {search}
      <select {...common} value={chosen[0] ?? ""} onChange={(event) => onChange(event.target.value || undefined)}>
        <option value="">{required ? "choose …" : "none"}</option>
        {unknown.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
        {shown.map((each) => (
          <option key={each.output} value={each.output}>
            {told(each)}
          </option>
        ))}
      </select>
    </div>
  );
}
