/** The head of a run's panel: name and tags, changed where they stand, and what can be done. */

import { useState } from "react";
import { useRunActions } from "../api/queries";
import type { RunDetail } from "../api/schema";
import { navigate, to } from "../router";
import { Icon } from "../ui/Icon";
import { StateBadge } from "../ui/StateBadge";
import { toastError } from "../ui/Toasts";

interface Props {
  project: string;
  run: RunDetail;
  mayChange: boolean;
}

export function RunHead({ project, run, mayChange }: Props) {
  return (
    <>
      <div className="row">
        <span className="mono soft">{run.run}</span>
        <StateBadge state={run.state} />
        <span className="grow" />
        <button type="button" className="button plain" aria-label="Close the panel" onClick={() => navigate(to.project(project))}>
          <Icon name="close" />
        </button>
      </div>
      <Label project={project} run={run} mayChange={mayChange} />
      <p className="soft">
        {run.label ? `${run.protocol} · ` : ""}
        {run.title}
      </p>
      <Tags project={project} run={run} mayChange={mayChange} />
    </>
  );
}

function Label({ project, run, mayChange }: Props) {
  const { change } = useRunActions(project);
  const [text, setText] = useState<string | null>(null);
  if (text === null)
    return (
      <h1 className="row">
        <span className="break">{run.label || run.protocol}</span>
        {mayChange && (
          <button type="button" className="button plain" aria-label="Change the name" onClick={() => setText(run.label)}>
            <Icon name="pencil" size={13} />
          </button>
        )}
      </h1>
    );
  return (
    <form
      className="row"
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate({ run: run.run, label: text.trim() }, { onSuccess: () => setText(null), onError: toastError });
      }}
      onKeyDown={(event) => event.key === "Escape" && (event.stopPropagation(), setText(null))}
    >
      <input className="input grow" aria-label="Name of the run" autoFocus maxLength={100} value={text} onChange={(event) => setText(event.target.value)} />
      <button type="submit" className="button main" disabled={!text.trim() || change.isPending}>
        Keep
      </button>
    </form>
  );
}

function Tags({ project, run, mayChange }: Props) {
  const { change } = useRunActions(project);
  const [text, setText] = useState<string | null>(null);
  return (
    <div className="row wrap tags">
      {run.tags.map((tag) => (
        <span key={tag} className="chip">
          {tag}
          {mayChange && (
            <button type="button" aria-label={`Take the tag ${tag} off`} onClick={() => change.mutate({ run: run.run, untag: [tag] }, { onError: toastError })}>
              <Icon name="close" size={11} />
            </button>
          )}
        </span>
      ))}
      {mayChange && text === null && (
        <button type="button" className="button plain small" onClick={() => setText("")}>
          <Icon name="tag" size={12} /> Tag
        </button>
      )}
      {text !== null && (
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            if (text.trim()) change.mutate({ run: run.run, tag: [text.trim()] }, { onError: toastError });
            setText(null);
          }}
          onKeyDown={(event) => event.key === "Escape" && (event.stopPropagation(), setText(null))}
        >
          <input className="input" aria-label="New tag" autoFocus maxLength={100} value={text} onChange={(event) => setText(event.target.value)} onBlur={() => text === "" && setText(null)} />
        </form>
      )}
    </div>
  );
}
