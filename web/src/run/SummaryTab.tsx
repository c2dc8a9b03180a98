/** State and reason, the outputs with their counts, the headline numbers, warnings. */

import type { RunDetail } from "../api/schema";
import { ProgressBar } from "../graph/JobBox";
import { navigate, to } from "../router";
import { duration, moment, number, rows } from "../ui/format";

export function SummaryTab({ project, run }: { project: string; run: RunDetail }) {
  const failed = Object.entries(run.failed_items).filter(([, count]) => count > 0);
  return (
    <>
      {run.progress && <ProgressBar progress={run.progress} />}
      {run.problem && (
        <div className="notice bad" role="alert">
          {run.problem.message} <span className="cure">{run.problem.cure}</span>
        </div>
      )}
      {!run.problem && run.reason && <div className="notice">{run.reason}</div>}
      {run.warnings.map((text) => (
        <div key={text} className="notice advice">
          {text}
        </div>
      ))}
      {failed.map(([name, count]) => (
        <div key={name} className="notice advice">
          {count} of {name} failed and were left out.
        </div>
      ))}
      {Object.keys(run.outputs).length > 0 && (
        <section>
          <h2>Outputs</h2>
          <ul className="outputs">
            {Object.entries(run.outputs).map(([name, head]) => (
              <li key={name}>
                <button type="button" className="button plain" onClick={() => navigate(to.analyze(project, run.run, name))}>
                  <strong>{name}</strong>
                </button>
                <span className="soft">
                  {rows(head.count, head.kind)}
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {Object.keys(run.summary).length > 0 && (
        <section>
          <h2>Results</h2>
          <dl className="facts">
            {Object.entries(run.summary).map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{number(value)}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
      <p className="soft">
        Made {moment(run.created)}
        {run.spent.seconds !== undefined && `, took ${duration(run.spent.seconds)}`}
        {run.why && ` · ${run.why}`}
      </p>
    </>
  );
}
