/** The control that fits a parameter's type. */

import type { FieldSchema } from "../api/queries";
import { alternatives, choices, isNumeric, isOptional, tupleLength, written } from "./values";

export interface Common {
  id: string;
  "aria-describedby": string;
  "aria-invalid": true | undefined;
  "aria-required": boolean;
}

interface Props {
  field: FieldSchema;
  value: unknown;
  /** What an empty field stands for with these inputs. */
  automatic: unknown;
  /** Choices that this machine lacks, with the reason. */
  absent: Record<string, string>;
  common: Common;
  onChange: (value: unknown) => void;
}

export function Control(props: Props) {
  const { field, value, common, onChange } = props;
  const types = alternatives(field).map((each) => each.type);
  if (choices(field).length > 0) return <Choice {...props} />;
  if (types.includes("boolean")) {
    return <input {...common} type="checkbox" checked={Boolean(value ?? field.default)} onChange={(event) => onChange(event.target.checked)} />;
  }
  if (tupleLength(field) > 0) return <Several {...props} count={tupleLength(field)} />;
  if (field["x-wizard"] === "file-pattern") return <Lines {...props} />;
  return (
    <input
      {...common}
      className="input"
      inputMode={isNumeric(field) ? "decimal" : "text"}
      spellCheck={false}
      autoComplete="off"
      value={written(value)}
      placeholder={placeholder(props)}
      onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.value)}
    />
  );
}

/** The default, or what an empty field comes to. */
function placeholder({ field, automatic }: Props): string {
  if (automatic !== undefined) return `automatic: ${written(automatic)}`;
  return written(field.default) || (isOptional(field) ? "automatic" : "");
}

function Choice({ field, value, absent, common, onChange }: Props) {
  const shown = written(value ?? field.default);
  return (
    <select {...common} value={shown} onChange={(event) => onChange(event.target.value || undefined)}>
      {(isOptional(field) || field.default === undefined) && <option value="">{field.default === undefined ? "choose …" : "automatic"}</option>}
      {choices(field).map((each) => (
        <option key={each} value={String(each)} disabled={String(each) in absent && String(each) !== shown}>
          {String(each)}
          {String(each) in absent && " (not available here)"}
        </option>
      ))}
    </select>
  );
}

/** A fixed number of values beside each other; empty when all of them are. */
function Several({ field, value, common, onChange, count }: Props & { count: number }) {
  const parts = Array.isArray(value) ? value.map(String) : written(value).split(",").map((part) => part.trim());
  const defaults = Array.isArray(field.default) ? field.default.map(String) : [];
  const change = (place: number, text: string) => {
    const next = Array.from({ length: count }, (_, number) => (number === place ? text : (parts[number] ?? "")).trim());
    onChange(next.some(Boolean) ? next.join(",") : undefined);
  };
  return (
    <div className="several">
      {Array.from({ length: count }, (_, place) => (
        <input
          key={place}
          {...common}
          id={place === 0 ? common.id : undefined}
          aria-label={`${field["x-label"]}, value ${place + 1} of ${count}`}
          className="input"
          inputMode="decimal"
          value={parts[place] ?? ""}
          placeholder={defaults[place] ?? (isOptional(field) ? "–" : "")}
          onChange={(event) => change(place, event.target.value)}
        />
      ))}
    </div>
  );
}

/** Texts that may hold commas, one a line. */
function Lines({ field, value, common, onChange }: Props) {
  const text = Array.isArray(value) ? value.join("\n") : written(value);
  return (
    <textarea
      {...common}
      rows={Math.min(4, text.split("\n").length)}
      spellCheck={false}
      value={text}
      placeholder={written(field.default) || "/folder/*.mrc"}
      onChange={(event) => {
        const lines = event.target.value.split("\n");
        onChange(lines.length > 1 ? lines : lines[0] || undefined);
      }}
    />
  );
}
