/** One field of a form: its label, unit, help, the control that fits its type, and what is wrong with its value. */

import { useId } from "react";
import { useOffers, type FieldSchema } from "../api/queries";
import type { FieldProblem } from "../api/schema";
import { number as written } from "../ui/format";
import { alternatives, choices, isOptional } from "./values";

interface Props {
  project: string;
  protocol: string;
  name: string;
  field: FieldSchema;
  required: boolean;
  value: unknown;
  problem: FieldProblem | undefined;
  /** Of the last change of the project: offers are asked for again after each. */
  number: number;
  onChange: (value: unknown) => void;
}

export function Field(props: Props) {
  const { field, name, required, problem, value } = props;
  const id = useId();
  const help = `${id}-help`;
  const shownProblem = problem && (value !== undefined || !problem.message.includes("has to be given"));
  const common = { id, "aria-describedby": help, "aria-invalid": shownProblem ? true : undefined, "aria-required": required } as const;
  return (
    <div className="field" data-field={name}>
      <label htmlFor={id} className={required ? "required" : undefined}>
        {field["x-label"]}
        {field["x-unit"] && <span className="soft"> ({field["x-unit"]})</span>}
      </label>
      {field["x-input"] ? <InputPicker {...props} common={common} /> : <Control {...props} common={common} />}
      <small id={help} className="soft">
        {shownProblem ? (
          <span className="wrong">
            {problem.message} {problem.cure}
          </span>
        ) : (
          field.description
        )}
      </small>
    </div>
  );
}

type Common = { common: { id: string } };

/** The outputs of the right kind, last made first. */
function InputPicker({ project, protocol, name, field, value, number, onChange, common }: Props & Common) {
  const { data } = useOffers(project, protocol, name, number);
  const chosen = new Set(Array.isArray(value) ? value : value ? [value] : []);
  if (data?.length === 0) return <div className="soft none">No run gives {field["x-kinds"]?.join(" or ")} yet.</div>;
  const text = (each: { output: string; label: string; count: number | null; state: string }) =>
    `${each.output}${each.label ? ` · ${each.label}` : ""}${each.count === null ? ` · ${each.state}` : ` · ${written(each.count)}`}`;
  return (
    <select
      {...common}
      multiple={field["x-many"] ?? false}
      value={field["x-many"] ? ([...chosen] as string[]) : String(value ?? "")}
      onChange={(event) => onChange(field["x-many"] ? [...event.target.selectedOptions].map((each) => each.value) : event.target.value || undefined)}
    >
      {!field["x-many"] && <option value="">{data ? "choose …" : "loading …"}</option>}
      {data?.map((each) => (
        <option key={each.output} value={each.output}>
          {text(each)}
        </option>
      ))}
    </select>
  );
}

function Control({ field, value, onChange, common }: Props & Common) {
  const options = choices(field);
  const types = alternatives(field).map((each) => each.type);
  const fallback = field.default;
  if (types.includes("boolean") && options.length === 0) {
    return <input {...common} type="checkbox" checked={Boolean(value ?? fallback)} onChange={(event) => onChange(event.target.checked)} />;
  }
  if (options.length > 0 && !types.includes("string")) {
    return (
      <select {...common} value={String(value ?? fallback ?? "")} onChange={(event) => onChange(event.target.value)}>
        {isOptional(field) && <option value="">automatic</option>}
        {options.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    );
  }
  if (options.length > 0) {
    return (
      <select {...common} value={String(value ?? fallback ?? "")} onChange={(event) => onChange(event.target.value)}>
        {(isOptional(field) || fallback === undefined) && <option value="">{fallback === undefined ? "choose …" : "automatic"}</option>}
        {options.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    );
  }
  const text = Array.isArray(value) ? value.join(", ") : value === null || value === undefined ? "" : String(value);
  const shown = Array.isArray(fallback) ? fallback.join(", ") : fallback === null || fallback === undefined || fallback === "" ? (isOptional(field) ? "automatic" : "") : String(fallback);
  const numeric = types.some((type) => type === "number" || type === "integer") && !types.includes("string") && !types.includes("array");
  return <input {...common} className="input" inputMode={numeric ? "decimal" : "text"} value={text} placeholder={shown} onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.value)} />;
}
