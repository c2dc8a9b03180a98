/** The little of Markdown that notes need, as data. Nothing becomes HTML: what is not known here stays text. */

export type Inline = { kind: "text" | "bold" | "italic" | "code"; text: string } | { kind: "link"; text: string; href: string };
export type Block = { kind: "paragraph" | "heading"; inlines: Inline[][] } | { kind: "list"; ordered: boolean; items: Inline[][] } | { kind: "code"; text: string };

const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|__([^_\n]+)__|\*([^*\s][^*\n]*)\*|\b_([^_\n]+)_\b|\[([^[\]\n]+)\]\(([^)\s]+)\)|(https?:\/\/[^\s<>"')\]]+)/g;

/** Addresses that may be followed: of the web, in full. */
export function safeAddress(text: string): string | null {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

export function inlines(text: string): Inline[] {
  const found: Inline[] = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, bold, bold2, italic, italic2, name, href, bare] = match;
    const address = safeAddress(href ?? bare ?? "");
    if ((href || bare) && !address) continue; // stays text
    if (match.index > last) found.push({ kind: "text", text: text.slice(last, match.index) });
    if (address) found.push({ kind: "link", text: name ?? bare ?? "", href: address });
    else if (code) found.push({ kind: "code", text: code });
    else if (bold ?? bold2) found.push({ kind: "bold", text: bold ?? bold2 ?? "" });
    else found.push({ kind: "italic", text: italic ?? italic2 ?? "" });
    last = match.index + whole.length;
  }
  if (last < text.length) found.push({ kind: "text", text: text.slice(last) });
  return found;
}

const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/;

export function markdown(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  for (let place = 0; place < lines.length; place++) {
    const line = lines[place] ?? "";
    if (line.trim() === "") continue;
    if (line.startsWith("```")) {
      const end = lines.findIndex((each, at) => at > place && each.startsWith("```"));
      const stop = end < 0 ? lines.length : end;
      blocks.push({ kind: "code", text: lines.slice(place + 1, stop).join("\n") });
      place = stop;
      continue;
    }
    const heading = /^#{1,6}\s+(.*)$/.exec(line);
    if (heading) {
      blocks.push({ kind: "heading", inlines: [inlines(heading[1] ?? "")] });
      continue;
    }
    const item = ITEM.exec(line);
    if (item) {
      const items: Inline[][] = [];
      for (let next: RegExpExecArray | null = item; next; next = ITEM.exec(lines[place + 1] ?? "")) {
        if (items.length > 0) place++;
        items.push(inlines(next[2] ?? ""));
      }
      blocks.push({ kind: "list", ordered: item[1] !== undefined, items });
      continue;
    }
    const from = place;
    while (place + 1 < lines.length && lines[place + 1]?.trim() && !ITEM.test(lines[place + 1] ?? "") && !/^(```|#{1,6}\s)/.test(lines[place + 1] ?? "")) place++;
    blocks.push({ kind: "paragraph", inlines: lines.slice(from, place + 1).map(inlines) });
  }
  return blocks;
}
