/** The state of a form: what it holds, what was there before, and what the server says of it. */

import { useMemo, useState } from "react";
import { useFormCheck, useRun } from "../api/queries";
import { useSettled } from "../ui/useSettled";
import { draftKey, emptyDraft, keepDraft, readDraft, type Draft } from "./drafts";
import { valuesOf, type Values } from "./values";

const PAUSE = 200;

export function useForm(project: string, protocol: string, given: Record<string, string>) {
  const { like = "", ...inputs } = given;
  const key = draftKey(project, protocol, given);
  const model = useRun(project, like);
  const [kept] = useState(() => readDraft(key));
  const [changed, setChanged] = useState<Draft | null>(kept);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());

  const modelValues = useMemo(() => (model.data ? valuesOf(model.data) : null), [model.data]);
  const begin = useMemo<Draft | null>(() => {
    if (!like) return emptyDraft(inputs);
    return modelValues && { ...emptyDraft({ ...modelValues, ...inputs }), seed: model.data?.seed ?? 0 };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the address makes a new form
  }, [like, modelValues]);
  const draft = changed ?? begin;

  // What is changed is what is there by then: two fields may change before the form is drawn again.
  const changeFrom = (next: (before: Draft) => Draft) =>
    setChanged((before) => {
      const from = before ?? begin;
      if (!from) return before;
      const made = next(from);
      keepDraft(key, made);
      return made;
    });
  const change = (part: Partial<Draft>) => changeFrom((before) => ({ ...before, ...part }));
  const write = (values: Values) => {
    setChosen((before) => new Set([...before].filter((name) => !(name in values))));
    changeFrom((before) => ({ ...before, values: { ...before.values, ...values } }));
  };
  /** Fill an input in the place of somebody, with the first of some values that no other one has; several of them may do so at once. */
  const propose = (name: string, wanted: readonly string[]) => {
    setChosen((before) => new Set(before).add(name));
    setChanged((before) => {
      const from = before ?? begin;
      const value = from && wanted.find((each) => !Object.values(from.values).includes(each));
      return value ? { ...from, values: { [name]: value, ...from.values } } : before;
    });
  };
  const restart = () => {
    keepDraft(key, null);
    setChosen(new Set());
    setChanged(null);
  };

  const settled = useSettled(draft?.values, PAUSE);
  const check = useFormCheck(project, protocol, settled ?? {}, draft?.seed ?? 0);
  const pending = settled !== draft?.values || check.isPlaceholderData || check.data === undefined;
  return { draft, change, write, propose, restart, forget: () => keepDraft(key, null), chosen, restored: kept !== null && changed !== null, like, model, modelValues, check, pending };
}

export type Form = ReturnType<typeof useForm>;
