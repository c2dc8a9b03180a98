/** A note, drawn from its parts as text nodes. */

import { Fragment } from "react";
import { markdown, type Inline } from "./markdown";

function Line({ parts }: { parts: Inline[] }) {
  return parts.map((part, place) => {
    if (part.kind === "bold") return <strong key={place}>{part.text}</strong>;
    if (part.kind === "italic") return <em key={place}>{part.text}</em>;
    if (part.kind === "code") return <code key={place}>{part.text}</code>;
    if (part.kind === "link")
      return (
        <a key={place} href={part.href} target="_blank" rel="noopener noreferrer nofollow">
          {part.text}
        </a>
      );
    return <Fragment key={place}>{part.text}</Fragment>;
  });
}

export function Markdown({ text }: { text: string }) {
  return (
    <div className="markdown">
      {markdown(text).map((block, place) => {
        if (block.kind === "code") return <pre key={place}>{block.text}</pre>;
        if (block.kind === "list") {
          const items = block.items.map((item, number) => (
            <li key={number}>
              <Line parts={item} />
            </li>
          ));
          return block.ordered ? <ol key={place}>{items}</ol> : <ul key={place}>{items}</ul>;
        }
        const lines = block.inlines.map((line, number) => (
          <Fragment key={number}>
            {number > 0 && <br />}
            <Line parts={line} />
          </Fragment>
        ));
        return block.kind === "heading" ? <h3 key={place}>{lines}</h3> : <p key={place}>{lines}</p>;
      })}
    </div>
  );
}
