/** Notes, newest first, and a box to write another. */

import { useState } from "react";
import type { Note } from "../api/schema";
import { Empty } from "./Feedback";
import { moment } from "./format";
import { Markdown } from "./Markdown";

interface Props {
  notes: readonly Note[];
  mayWrite: boolean;
  pending: boolean;
  onWrite: (text: string, done: () => void) => void;
}

export function Notes({ notes, mayWrite, pending, onWrite }: Props) {
  const [text, setText] = useState("");
  return (
    <div className="notes">
      {mayWrite && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (text.trim()) onWrite(text, () => setText(""));
          }}
        >
          <textarea rows={3} aria-label="New note" placeholder="**bold**, *italic*, `code`, - lists, [links](https://…)" maxLength={100_000} value={text} onChange={(event) => setText(event.target.value)} />
          {text.trim() && (
            <div className="card preview" aria-label="Preview">
              <Markdown text={text} />
            </div>
          )}
          <div className="actions">
            <button type="submit" className="button main" disabled={!text.trim() || pending}>
              Add the note
            </button>
          </div>
        </form>
      )}
      {notes.length === 0 && <Empty>Nothing was written down.</Empty>}
      {[...notes].reverse().map((note) => (
        <article key={note.t}>
          <small className="soft">{moment(note.t)}</small>
          <Markdown text={note.text} />
        </article>
      ))}
    </div>
  );
}
