/** What a form would give, what it still lacks, and the buttons that run it. */

import { useRun, type ProtocolSchema } from "../api/queries";
import type { FieldProblem, FormCheck } from "../api/schema";
import { navigate, to } from "../router";
import { Failed } from "../ui/Feedback";
import { number } from "../ui/format";
import { Icon } from "../ui/Icon";

interface Props {
  project: string;
  schema: ProtocolSchema;
  check: FormCheck | undefined;
  error: unknown;
  /** Whether what is shown is of earlier values. */
  pending: boolean;
  busy: boolean;
  mayRun: boolean;
  onJump: (field: string) => void;
  onRun: (how: { start: boolean; again: boolean }) => void;
}

export function FormFoot({ project, schema, check, error, pending, busy, mayRun, onJump, onRun }: Props) {
  const same = useRun(project, check?.same ?? "").data;
  const done = check?.same && same?.state === "finished" ? check.same : "";
  const preview = Object.entries(check?.preview ?? {});
  const whole = (check?.errors ?? []).filter((each) => !isField(each, schema));
  const stopped = !mayRun || pending || (check?.errors.length ?? 1) > 0;
  return (
    <div className="form-foot">
      {preview.length > 0 && (
        <dl className="preview" aria-label="What it would give" aria-live="polite">
          {preview.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{number(value)}</dd>
            </div>
          ))}
        </dl>
      )}
      {whole.map((each) => (
        <div key={each.message} className="notice bad" role="alert">
          {each.message} <span className="cure">{each.cure}</span>
        </div>
      ))}
      {error && mayRun ? <Failed error={error} /> : null}
      <div className="standing" id="form-standing" aria-live="polite">
          {!mayRun ? "You may look only: whoever has the operator's address can run it." : <Standing schema={schema} check={check} pending={pending} done={done} onJump={onJump} />}
      </div>
      <div className="row wrap buttons">
        <button type="button" className="button" disabled={stopped || busy} onClick={() => onRun({ start: false, again: done !== "" })}>
          Save as draft
        </button>
        {done && !pending ? (
          <>
            <button type="button" className="button" disabled={stopped || busy} onClick={() => onRun({ start: true, again: true })}>
              Compute again
            </button>
            <button type="button" className="button main" onClick={() => navigate(to.run(project, done))}>
              Show {done}
            </button>
          </>
        ) : (
          <button type="submit" className="button main" disabled={stopped || busy} aria-describedby="form-standing">
            <Icon name="play" /> Execute
          </button>
        )}
      </div>
    </div>
  );
}

const isField = (problem: FieldProblem, schema: ProtocolSchema): boolean => problem.field in schema.properties;

/** In a line: what keeps the form from running, with a way to each field; or why a run would be computed. */
function Standing({ schema, check, pending, done, onJump }: Pick<Props, "schema" | "check" | "pending" | "onJump"> & { done: string }) {
  if (!check) return <>Checking …</>;
  const named = check.errors.filter((each) => isField(each, schema));
  const lists = [
    ["Still to do:", named.filter((each) => each.missing)],
    ["To correct:", named.filter((each) => !each.missing)],
  ] as const;
  if (check.errors.length > 0) {
    return (
      <>
        {lists.map(
          ([title, fields]) =>
            fields.length > 0 && (
              <span key={title} className="todo">
                {title}{" "}
                {fields.map(({ field }) => (
                  <button key={field} type="button" className="button fix" onClick={() => onJump(field)}>
                    {schema.properties[field]?.["x-label"] ?? field}
                  </button>
                ))}
              </span>
            ),
        )}
      </>
    );
  }
  if (pending) return <>Checking …</>;
  return <>{done ? `${done} has done this work already.` : check.why}</>;
}
