/** The form of a protocol beside the canvas: filled, checked as it is filled, and run. */

import { Suspense, useMemo, useRef, useState } from "react";
import { useMachine } from "../api/forms";
import { useProtocol, useRunActions } from "../api/queries";
import { useSession } from "../api/session";
import { navigate, to } from "../router";
import { counted } from "../ui/format";
import { Failed, Loading } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { toast, toastError } from "../ui/Toasts";
import { Field } from "./Field";
import { FormFoot } from "./FormFoot";
import { ResourcesBlock } from "./ResourcesBlock";
import { useForm } from "./useForm";
import { isSame, isShown, type Values } from "./values";
import { wizardOf } from "./wizards/registry";
import "./forms.css";

interface Props {
  project: string;
  protocol: string;
  /** Inputs and values given in the address; ``like``: a run whose values to start from. */
  given: Record<string, string>;
  number: number;
}

export default function FormPanel({ project, protocol, given, number }: Props) {
  const schema = useProtocol(protocol);
  const form = useForm(project, protocol, given);
  const machine = useMachine(project, protocol);
  const session = useSession();
  const [advanced, setAdvanced] = useState(false);
  const [wizard, setWizard] = useState("");
  const place = useRef<HTMLDivElement>(null);
  const { make } = useRunActions(project);
  const check = form.check.data;
  const problems = useMemo(() => new Map(check?.errors.map((each) => [each.field, each])), [check]);

  if (schema.error || form.model.error) return <Failed error={schema.error ?? form.model.error} />;
  if (!schema.data || !form.draft) return <Loading what="the form" />;
  const { draft, like, modelValues } = form;
  const { properties, required } = schema.data;
  const { values } = draft;
  const fields = Object.entries(properties);
  const groups = [...new Set(fields.map(([, field]) => field["x-group"] ?? ""))];
  const hidden = fields.filter(([name, field]) => field["x-advanced"] && values[name] !== undefined && !isSame(field, values[name], undefined)).length;
  const differing = modelValues ? fields.filter(([name, field]) => !isSame(field, values[name], modelValues[name])).length : 0;
  // What is wrong is never out of sight.
  const visible = (name: string) => problems.has(name) || isShown(properties[name]!, values, properties, advanced);

  const run = ({ start, again }: { start: boolean; again: boolean }) =>
    make.mutate(
      {
        protocol,
        values,
        label: draft.label,
        seed: draft.seed,
        start,
        again,
        target: draft.target,
        ...(draft.threads ? { threads: Number(draft.threads) } : {}),
        ...(draft.target === "slurm" && draft.nodes ? { nodes: Number(draft.nodes) } : {}),
      },
      {
        onSuccess: (made) => {
          form.forget();
          if (made.reused) toast(`${made.run} has done this work already`);
          navigate(to.run(project, made.run));
        },
        onError: toastError,
      },
    );
  const jump = (name: string) => {
    const field = place.current?.querySelector(`[data-field="${CSS.escape(name)}"]`);
    field?.scrollIntoView({ block: "center" });
    field?.querySelector<HTMLElement>("input, select, textarea")?.focus({ preventScroll: true });
  };
  const Wizard = wizard ? wizardOf(properties[wizard]?.["x-wizard"])?.Component : undefined;
  const ready = !form.pending && check?.errors.length === 0 && session.data?.role !== "viewer";
  return (
    <form
      className="form"
      aria-label={protocol}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (ready && !make.isPending) run({ start: true, again: false });
      }}
    >
      <div className="form-head">
        <div className="row">
          <h1 className="grow">{protocol}</h1>
          <button type="button" className="button plain" aria-label="Close the form" onClick={() => navigate(to.project(project))}>
            <Icon name="close" />
          </button>
        </div>
      </div>
      <div className="fields" ref={place}>
        <About text={schema.data.description} />
        <ResourcesBlock project={project} protocol={protocol} draft={draft} onChange={form.change} />
        <div className="row wrap level">
          <div className="row" role="group" aria-label="Level">
            <button type="button" className={advanced ? "button" : "button on"} aria-pressed={!advanced} onClick={() => setAdvanced(false)}>
              Normal
            </button>
            <button type="button" className={advanced ? "button on" : "button"} aria-pressed={advanced} onClick={() => setAdvanced(true)}>
              Advanced{!advanced && hidden > 0 && ` (${hidden} set)`}
            </button>
          </div>
          {(form.restored || differing > 0) && (
            <span className="soft">
              {like ? `Copy of ${like}: ${differing ? `${counted(differing, "value")} ${differing === 1 ? "differs" : "differ"}` : "the same values"}` : "As you left it."}{" "}
              <button type="button" className="button fix" onClick={form.restart}>
                Start afresh
              </button>
            </span>
          )}
        </div>
        {groups.map((group) => {
          const shown = fields.filter(([name, field]) => (field["x-group"] ?? "") === group && visible(name));
          if (shown.length === 0) return null;
          return (
            <fieldset key={group} className="group">
              <legend className={group ? undefined : "hidden"}>{group || "Inputs and parameters"}</legend>
              {shown.map(([name, field]) => (
                <Field
                  key={name}
                  project={project}
                  protocol={protocol}
                  name={name}
                  field={field}
                  required={required.includes(name)}
                  value={values[name]}
                  problem={problems.get(name)}
                  advice={check?.advice.filter((each) => each.field === name) ?? []}
                  automatic={check?.automatic?.[name]}
                  absent={machine.data?.absent[name] ?? {}}
                  model={modelValues ? { run: like, value: modelValues[name] } : undefined}
                  proposed={form.chosen.has(name)}
                  number={number}
                  onChange={(value) => form.write({ [name]: value })}
                  onPropose={(values) => form.propose(name, values)}
                  onWizard={() => setWizard(name)}
                />
              ))}
            </fieldset>
          );
        })}
      </div>
      <FormFoot
        project={project}
        schema={schema.data}
        check={check}
        error={form.check.error}
        pending={form.pending}
        busy={make.isPending}
        mayRun={session.data?.role !== "viewer"}
        onJump={jump}
        onRun={run}
      />
      {Wizard && (
        <Suspense fallback={null}>
          <Wizard
            project={project}
            protocol={protocol}
            name={wizard}
            field={properties[wizard]!}
            values={values}
            onClose={() => setWizard("")}
            onWrite={(found: Values) => {
              form.write(found);
              setWizard("");
            }}
          />
        </Suspense>
      )}
    </form>
  );
}

/** What a protocol does: its first sentence, and on demand the rest. */
function About({ text }: { text: string }) {
  const end = text.search(/[.:] /) + 1;
  if (end === 0) return <p className="soft about">{text}</p>;
  return (
    <details className="soft about">
      <summary>{text.slice(0, end)}</summary>
      {text.slice(end)}
    </details>
  );
}
