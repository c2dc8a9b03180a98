/** The bar below tables, plots and galleries: how many rows are chosen, and one gesture to make a subset of them. */

import { useState } from "react";
import { useMakeSubset, useSelectionCheck } from "../api/sets";
import type { SubsetOffer } from "../api/schema";
import { navigate, to } from "../router";
import { number } from "../ui/format";
import { Icon } from "../ui/Icon";
import { toast, toastError } from "../ui/Toasts";
import { useSettled } from "../ui/useSettled";
import { isEmpty, NOTHING, toServer, type Selection } from "./selection";
import "./selection.css";

interface Props {
  project: string;
  output: string;
  selection: Selection;
  /** What the rows are, in words. */
  what: string;
  onSelect: (selection: Selection) => void;
  onUndo?: (() => void) | undefined;
}

export function SelectionBar({ project, output, selection, what, onSelect, onUndo }: Props) {
  const settled = useSettled(selection, 150);
  const check = useSelectionCheck(project, output, toServer(settled), !isEmpty(settled));
  const make = useMakeSubset(project, output);
  const [offer, setOffer] = useState("");
  const [label, setLabel] = useState("");
  const nothing = isEmpty(selection);
  const offers = nothing ? [] : (check.data?.offers ?? []);
  const wanted = offers.find((each) => each.id === offer) ?? offers.find((each) => !each.problem) ?? offers[0];
  const current = settled === selection && !check.isPlaceholderData;
  const run = () => {
    if (!wanted) return;
    make.mutate(
      { ...toServer(selection), offer: wanted.id, label },
      {
        onSuccess: (made) => {
          toast(`${made.run} makes a subset: ${wanted.title}`, "good");
          onSelect(NOTHING);
          navigate(made.then ? to.form(project, made.then, { [made.input]: made.output }) : to.run(project, made.run));
        },
        onError: toastError,
      },
    );
  };
  return (
    <section className="selection-bar" aria-label="Selection">
      <span className="selection-count" role="status" aria-live="polite">
        {nothing ? (
          <>Nothing selected</>
        ) : check.error ? (
          <span className="bad">{check.error.message}</span>
        ) : (
          <>
            <strong>{check.data && current ? number(check.data.count) : "…"}</strong> of {check.data ? number(check.data.of) : "…"} {what} selected
          </>
        )}
      </span>
      {!nothing && <span className="soft told">{selection.flipped.size > 0 ? "by hand" : selection.where ? "by rule" : "all"}</span>}
      {selection.where && (
        <code className="selection-rule" title={selection.where}>
          {selection.where}
        </code>
      )}
      <span className="grow" />
      {onUndo && (
        <button type="button" className="button plain" onClick={onUndo}>
          Undo
        </button>
      )}
      {!nothing && (
        <>
          <button type="button" className="button plain" onClick={() => onSelect(NOTHING)}>
            Clear
          </button>
          <input className="input name" aria-label="Name of the subset" placeholder="name (optional)" value={label} maxLength={200} onChange={(event) => setLabel(event.target.value)} />
          <select aria-label="Make a subset of" value={wanted?.id ?? ""} onChange={(event) => setOffer(event.target.value)}>
            {offers.length === 0 && <option value="">…</option>}
            {offers.map((each) => (
              <option key={each.id} value={each.id}>
                {described(each)}
              </option>
            ))}
          </select>
          <button type="button" className="button main" disabled={!wanted || wanted.problem !== "" || !current || make.isPending} title={wanted?.problem} onClick={run}>
            <Icon name="branch" /> Make a subset
          </button>
        </>
      )}
      {!nothing && wanted?.problem && <span className="soft problem">{wanted.problem}</span>}
    </section>
  );
}

const described = (offer: SubsetOffer): string => (offer.count === null ? offer.title : `${number(offer.count)} ${offer.title}`);
