/** One field of a form: its label, unit and control, its wizard, and what is said of its value. */

import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import type { FieldSchema } from "../api/queries";
import type { FieldProblem, Offer } from "../api/schema";
import { OUTPUT_TYPE } from "../graph/Chips";
import { Icon } from "../ui/Icon";
import { toast } from "../ui/Toasts";
import { Control, type Common } from "./Control";
import { carriesOutput, dropped } from "./dropped";
import { InputPicker } from "./InputPicker";
import { isEmpty, isSame, written, type Values } from "./values";
import { wizardOf } from "./wizards/registry";

export interface FieldProps {
  project: string;
  protocol: string;
  name: string;
  field: FieldSchema;
  required: boolean;
  value: unknown;
  problem: FieldProblem | undefined;
  advice: FieldProblem[];
  automatic: unknown;
  absent: Record<string, string>;
  /** The run that the form is a copy of, and its value. */
  model: { run: string; value: unknown } | undefined;
  /** Whether the form, not somebody, chose the value. */
  proposed: boolean;
  number: number;
  onChange: (value: unknown) => void;
  onPropose: (values: readonly string[]) => void;
  onWizard: () => void;
}

export function Field(props: FieldProps) {
  const { field, name, required, problem, value, model } = props;
  const [over, setOver] = useState(false);
  const client = useQueryClient();
  const id = useId();
  const help = `${id}-help`;
  const shown = problem && !(problem.missing && isEmpty(value)) ? problem : undefined;
  const differs = model !== undefined && !isSame(field, value, model.value);
  const common: Common = { id, "aria-describedby": help, "aria-invalid": shown ? true : undefined, "aria-required": required };
  const wizard = wizardOf(field["x-wizard"]);

  const onDrop = (event: React.DragEvent) => {
    event.preventDefault();
    setOver(false);
    const text = event.dataTransfer.getData(OUTPUT_TYPE);
    const known = client.getQueriesData<Offer[]>({ queryKey: ["offers", props.project, props.protocol, name] });
    const offers = known.map(([, each]) => each).findLast((each) => each !== undefined) ?? [];
    const found = dropped(text, offers);
    if (!found) return toast(`${text} does not fit ${field["x-label"]}, which takes ${field["x-kinds"]?.join(" or ")}`, "bad");
    const before = Array.isArray(value) ? value.map(String) : [];
    props.onChange(field["x-many"] ? [...before.filter((each) => each !== found.output), found.output] : found.output);
  };
  const drop = field["x-input"]
    ? {
        onDragOver: (event: React.DragEvent) => {
          if (!carriesOutput(event)) return;
          event.preventDefault();
          event.dataTransfer.dropEffect = "copy";
          setOver(true);
        },
        onDragLeave: () => setOver(false),
        onDrop,
      }
    : {};
  return (
    <div className={["field", over && "over", differs && "differs"].filter(Boolean).join(" ")} data-field={name} {...drop}>
      <label htmlFor={id} className={required ? "required" : undefined}>
        {field["x-label"]}
        {field["x-unit"] && <span className="soft"> ({field["x-unit"]})</span>}
      </label>
      <div className="held">
        <div className="value">
          <div className="grow">{field["x-input"] ? <InputPicker {...props} common={common} /> : <Control {...props} common={common} />}</div>
          {wizard && (
            <button type="button" className="button wizard" aria-label={`${wizard.title}: ${field["x-label"]}`} title={wizard.title} onClick={props.onWizard}>
              <Icon name="wand" />
            </button>
          )}
        </div>
        <div id={help} className="help">
          {shown && <Told problem={shown} tone="wrong" onFix={props.onChange} />}
          {props.advice.map((each) => (
            <Told key={each.message} problem={each} tone="advised" onFix={props.onChange} />
          ))}
          {Object.entries(props.absent).map(([choice, reason]) => (
            <small key={choice} className="soft">
              {choice}: {reason}
            </small>
          ))}
          {differs && (
            <small>
              {model.run}: {written(model.value) || "not set"}{" "}
              <button type="button" className="button fix" onClick={() => props.onChange(isEmpty(model.value) ? undefined : model.value)}>
                Take that
              </button>
            </small>
          )}
          {props.proposed && props.value !== undefined && <small className="soft">Chosen by the form: the last one made that fits.</small>}
          {props.automatic !== undefined && isEmpty(value) && (
            <small>
              Left empty, it is {written(props.automatic)} {field["x-unit"]}.
            </small>
          )}
          <small className="soft">{field.description}</small>
        </div>
      </div>
    </div>
  );
}

/** What is wrong or advised, and the value that would do, to be put in by a click. */
function Told({ problem, tone, onFix }: { problem: FieldProblem; tone: "wrong" | "advised"; onFix: (value: Values[string]) => void }) {
  const { fix } = problem;
  return (
    <small className={tone}>
      <Icon name="warning" size={13} /> {problem.message}{" "}
      {isFix(fix) ? (
        <button type="button" className="button fix" onClick={() => onFix(fix === "" ? undefined : fix)}>
          {fix === "" ? "Leave it empty" : `Use ${typeof fix === "boolean" ? (fix ? "yes" : "no") : written(fix)}`}
        </button>
      ) : (
        problem.cure
      )}
    </small>
  );
}

const isFix = (fix: unknown): boolean => fix !== null && fix !== undefined;
