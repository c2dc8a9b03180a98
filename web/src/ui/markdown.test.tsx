import { render } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { Markdown } from "./Markdown";
import { inlines, markdown, safeAddress } from "./markdown";

const html = (text: string) => render(<Markdown text={text} />).container.innerHTML;

describe("markdown", () => {
  it("knows paragraphs, lists, headings and code", () => {
    expect(markdown("one\ntwo\n\n# three\n- a\n- b\n\n1. c\n```\n**no**\n```").map((block) => block.kind)).toEqual(["paragraph", "heading", "list", "list", "code"]);
  });

  it("knows bold, italic, code and links", () => {
    expect(inlines("**a** *b* `c` [d](https://e.org/f) https://g.org").filter((each) => each.kind !== "text")).toEqual([
      { kind: "bold", text: "a" },
      { kind: "italic", text: "b" },
      { kind: "code", text: "c" },
      { kind: "link", text: "d", href: "https://e.org/f" },
      { kind: "link", text: "https://g.org", href: "https://g.org/" },
    ]);
  });

  it("leaves names with underscores and lone stars as they are", () => {
    expect(inlines("box_size_px is 3 * 4 * 5")).toEqual([{ kind: "text", text: "box_size_px is 3 * 4 * 5" }]);
  });

  it("loses no text, whatever it is given", () => {
    for (const text of ["**", "*a", "[a](b", "```", "`", "- ", "_", "[](x)", "a **b", "# "]) expect(html(text)).toContain("<div");
    expect(html("```\nopen")).toContain("open");
  });
});

describe("attacks", () => {
  it.each(["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "**<b onclick=x>**", "`<iframe>`", "- <svg/onload=alert(1)>", "# <style>", "```\n<script>\n```", "[<img src=x>](https://a.org)"])("%s is shown as text", (text) => {
    const shown = render(<Markdown text={text} />).container;
    expect(shown.querySelector("script, img, b, iframe, svg, style, [onclick], [onerror], [onload]")).toBeNull();
    expect(shown.textContent).toContain("<");
  });

  it.each(["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>", "vbscript:x", "file:///etc/passwd", "//evil.org", "/api/projects", "java\tscript:alert(1)", " https://a"])("%s is no address to follow in a link", (href) => {
    expect(render(<Markdown text={`[x](${href})`} />).container.querySelector("a[href^='j'], a[href^='J'], a[href^='d'], a[href^='v'], a[href^='f'], a[href^='/']")).toBeNull();
  });

  it("takes addresses of the web alone", () => {
    expect(safeAddress("https://a.org/b?c=d")).toBe("https://a.org/b?c=d");
    expect(safeAddress("javascript:alert(1)")).toBeNull();
    expect(safeAddress("blob:https://a.org/1")).toBeNull();
  });

  it("cannot break out of a link's address", () => {
    const link = render(<Markdown text={'[x](https://a.org/"onmouseover="alert(1))'} />).container.querySelector("a");
    expect(link?.getAttributeNames().sort()).toEqual(["href", "rel", "target"]);
  });

  it("takes no time that grows with the square of the text", () => {
    expect(inlines("*a ".repeat(20_000)).length).toBeGreaterThan(0);
    expect(inlines("[".repeat(50_000)).length).toBe(1);
  });
});
