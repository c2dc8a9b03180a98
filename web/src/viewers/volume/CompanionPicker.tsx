/** Another map of the project, on the same grid, or a model in it. */

import type { Entry } from "./companions";

interface Props {
  label: string;
  /** What it means to choose none. */
  none: string;
  all: readonly Pick<Entry, "key" | "text">[];
  value: string;
  onChange: (key: string) => void;
}

export function CompanionPicker({ label, none, all, value, onChange }: Props) {
  return (
    <label className="row companion">
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">{none}</option>
        {all.map(({ key, text }) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
