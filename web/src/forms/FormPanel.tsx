/** The form of a protocol beside the canvas: filled, checked as it is filled, and run. */

import { useEffect, useMemo, useState } from "react";
import { useFormCheck, useProtocol, useRun, useRunActions } from "../api/queries";
import { references } from "../run/ParametersTab";
import { navigate, to } from "../router";
import { Failed, Loading } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { toast, toastError } from "../ui/Toasts";
import { Field } from "./Field";
import { isShown, type Values } from "./values";
import "./forms.css";

interface Props {
  project: string;
  protocol: string;
  /** Inputs and values given in the address; ``like``: a run whose values to start from. */
  given: Record<string, string>;
  number: number;
}

export default function FormPanel({ project, protocol, given: { like = "", ...given }, number }: Props) {
  const schema = useProtocol(protocol);
  const model = useRun(project, like);
  const [values, setValues] = useState<Values | null>(like ? null : given);
  const [advanced, setAdvanced] = useState(false);
  const [label, setLabel] = useState("");
  const [seed, setSeed] = useState(0);
  const [threads, setThreads] = useState("");
  const { make } = useRunActions(project);

  useEffect(() => {
    if (values || !model.data) return;
    const inputs = Object.entries(model.data.inputs).map(([name, each]) => {
      const found = references(each).map(({ run, output }) => `${run}.${output}`);
      return [name, Array.isArray(each) ? found : found[0]] as const;
    });
    setValues({ ...model.data.parameters, ...Object.fromEntries(inputs), ...given });
    setSeed(model.data.seed);
  }, [model.data, values, given]);

  const settled = useSettled(values ?? {}, 200);
  const check = useFormCheck(project, protocol, settled, seed);
  const problems = useMemo(() => new Map(check.data?.errors.map((each) => [each.field, each])), [check.data]);

  if (schema.error || model.error) return <Failed error={schema.error ?? model.error} />;
  if (!schema.data || !values) return <Loading what="the form" />;
  const fields = Object.entries(schema.data.properties);
  const whole = problems.get("");
  const groups = [...new Set(fields.map(([, field]) => field["x-group"] ?? ""))];
  const blocked = check.data === undefined || check.data.errors.length > 0;
  const run = (start: boolean) =>
    make.mutate(
      { protocol, values, label, seed, start, ...(threads ? { threads: Number(threads) } : {}) },
      {
        onSuccess: (made) => {
          if (made.reused) toast(`${made.run} has done this work already`);
          navigate(to.run(project, made.run));
        },
        onError: toastError,
      },
    );
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (!blocked) run(true);
      }}
    >
      <div className="run-head">
        <div className="row">
          <h1 className="grow">{protocol}</h1>
          <button type="button" className="button plain" aria-label="Close the form" onClick={() => navigate(to.project(project))}>
            <Icon name="close" />
          </button>
        </div>
        <p className="soft">{schema.data.description}</p>
        <div className="resources">
          <label>
            Name
            <input className="input" value={label} placeholder="optional" onChange={(event) => setLabel(event.target.value)} />
          </label>
          <label>
            Threads
            <input className="input" type="number" min={1} value={threads} placeholder="all" onChange={(event) => setThreads(event.target.value)} />
          </label>
          <label>
            Seed
            <input className="input" type="number" min={0} value={seed} onChange={(event) => setSeed(Number(event.target.value) || 0)} />
          </label>
        </div>
        <div className="row" role="group" aria-label="Level">
          <button type="button" className={advanced ? "button" : "button on"} aria-pressed={!advanced} onClick={() => setAdvanced(false)}>
            Normal
          </button>
          <button type="button" className={advanced ? "button on" : "button"} aria-pressed={advanced} onClick={() => setAdvanced(true)}>
            Advanced
          </button>
        </div>
      </div>
      <div className="fields">
        {groups.map((group) => {
          const shown = fields.filter(([, field]) => (field["x-group"] ?? "") === group && isShown(field, values, schema.data.properties, advanced));
          if (shown.length === 0) return null;
          return (
            <fieldset key={group}>
              {group && <legend>{group}</legend>}
              {shown.map(([name, field]) => (
                <Field
                  key={name}
                  project={project}
                  protocol={protocol}
                  name={name}
                  field={field}
                  required={schema.data.required.includes(name)}
                  value={values[name]}
                  problem={problems.get(name)}
                  number={number}
                  onChange={(value) => setValues({ ...values, [name]: value })}
                />
              ))}
            </fieldset>
          );
        })}
      </div>
      <div className="form-foot">
        {whole && (
          <div className="notice bad" role="alert">
            {whole.message} <span className="cure">{whole.cure}</span>
          </div>
        )}
        {check.error && <Failed error={check.error} />}
        {check.data?.advice.map((text) => (
          <div key={text} className="notice advice">
            {text}
          </div>
        ))}
        <div className="row">
          <span className="soft grow" aria-live="polite">
            {blocked ? missing(check.data?.errors ?? [], schema.data.properties) : check.data?.why}
          </span>
          <button type="button" className="button" disabled={blocked || make.isPending} onClick={() => run(false)}>
            Save as draft
          </button>
          <button type="submit" className="button main" disabled={blocked || make.isPending}>
            <Icon name="play" /> Execute
          </button>
        </div>
      </div>
    </form>
  );
}

/** What keeps the form from running, in a line. */
function missing(errors: { field: string }[], properties: Record<string, { "x-label": string }>): string {
  const names = errors.filter((each) => each.field).map((each) => properties[each.field]?.["x-label"] ?? each.field);
  return names.length ? `Still to do: ${names.join(", ")}` : "";
}

/** A value once it has not changed for a moment. */
function useSettled<T>(value: T, delay: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value, delay]);
  return settled;
}
