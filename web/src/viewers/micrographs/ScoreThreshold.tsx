/** The least score of a pick: counts follow the slider, and the rule goes into a new subset. */

import { navigate, to } from "../../router";
import { number } from "../../ui/format";

interface Props {
  project: string;
  output: string;
  /** How many picks have at least each of the scores `at`. */
  scores: Record<string, number[]>;
  least: number | null;
  onLeast: (least: number | null) => void;
  /** Scores on the micrograph that is shown. */
  here: readonly (number | null)[];
}

export function ScoreThreshold({ project, output, scores, least, onLeast, here }: Props) {
  const [at, count] = [scores.at ?? [], scores.count ?? []];
  const place = least === null ? 0 : at.findIndex((each) => each >= least - 1e-12);
  const kept = count[place] ?? 0;
  const shown = at[place] ?? 0;
  return (
    <section>
      <h2>Least score</h2>
      <div className="row">
        <input
          type="range" className="grow" aria-label="Least score" min={0} max={at.length - 1} step={1} value={place} aria-valuetext={`${shown.toPrecision(3)}: ${kept} picks`}
          onChange={(event) => onLeast(Number(event.target.value) === 0 ? null : (at[Number(event.target.value)] ?? null))}
        />
        <output className="mono">{shown.toPrecision(3)}</output>
      </div>
      <p className="soft" role="status">
        {number(kept)} of {number(count[0] ?? 0)} picks; here {here.filter((score) => score === null || score >= shown).length}
      </p>
      <button
        type="button" className="button" disabled={least === null}
        onClick={() => navigate(to.form(project, "sets.select", { items: output, mode: "rule", where: `score >= ${Number(shown.toPrecision(6))}` }))}
      >
        Subset of these picks …
      </button>
    </section>
  );
}
