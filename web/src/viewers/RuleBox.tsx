/** A rule over the columns of a set: applied with Enter or after a pause, and what is wrong with it beside it. */

import { useEffect, useId, useRef, useState } from "react";
import { ApiError } from "../api/client";
import { useCount } from "../api/sets";
import { useSettled } from "../ui/useSettled";
import "./rule-box.css";

/** Rules that people write for sets with these columns. */
const EXAMPLES = ["score > 0.75", "ctf_resolution < 6", "count > 100", "motion_total < 50", "fsc > 0.143", "id < 100"];

interface Props {
  project: string;
  output: string;
  where: string;
  columns: readonly string[];
  label?: string;
  onRule: (where: string) => void;
}

export function RuleBox({ project, output, where, columns, label = "Filter", onRule }: Props) {
  const [text, setText] = useState(where);
  const typed = useRef(false); // only what somebody typed here is applied; what the address says is shown
  useEffect(() => {
    typed.current = false;
    setText(where);
  }, [where]);
  const settled = useSettled(text.trim(), 500);
  const { data, error, isPlaceholderData } = useCount(project, output, settled);
  const good = !error && data !== undefined && !isPlaceholderData && settled === text.trim();
  useEffect(() => {
    if (!good || !typed.current) return;
    typed.current = false;
    onRule(settled);
  }, [good, settled, onRule]);
  const type = (next: string) => {
    typed.current = true;
    setText(next);
  };
  const id = useId();
  const problem = settled === text.trim() && error ? error : null;
  return (
    <form
      className="rule-box"
      onSubmit={(event) => {
        event.preventDefault();
        if (good) onRule(settled);
      }}
    >
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="input mono"
        value={text}
        placeholder={`such as ${EXAMPLES.find((each) => columns.includes(each.split(" ")[0] ?? "")) ?? ""}`}
        spellCheck={false}
        autoComplete="off"
        aria-invalid={problem !== null}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onChange={(event) => type(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && text) {
            event.preventDefault();
            type("");
          }
        }}
      />
      {text && (
        <button type="button" className="button plain" onClick={() => type("")}>
          Clear rule
        </button>
      )}
      {problem && (
        <span id={`${id}-problem`} className="rule-problem" role="alert">
          {problem instanceof ApiError ? `${problem.problem.message.replace(/^--where /, "")} ${problem.problem.cure ?? ""}` : String(problem)}
        </span>
      )}
    </form>
  );
}
