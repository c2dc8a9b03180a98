import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { createRef } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Tree, type TreeHandle } from "./Tree";
import { lettersFind, type Branch } from "./treeRows";

afterEach(cleanup);

const chosen = vi.fn();
const leaf = (key: string, disabled = false) => ({ key, text: key, disabled, onChoose: () => void chosen(key) });
const BRANCHES: Branch[] = [
  { key: "g1", text: "Import", leaves: [leaf("import.movies"), leaf("import.volume")] },
  { key: "g2", text: "Refinement", leaves: [leaf("refine.auto"), leaf("refine.broken", true), leaf("refine.local")] },
];

const stops = () => screen.getAllByRole("treeitem").filter((each) => each.tabIndex === 0);
const press = (...keys: string[]) => keys.forEach((key) => fireEvent.keyDown(document.activeElement as HTMLElement, { key }));
const here = () => document.activeElement?.textContent;

describe("a tree", () => {
  it("is one stop of Tab, and stays so wherever one walks", () => {
    render(<Tree label="Steps" branches={BRANCHES} />);
    expect(stops().map((each) => each.textContent)).toEqual(["Import"]);
    stops()[0]?.focus();
    press("ArrowDown", "ArrowDown");
    expect(here()).toBe("import.volume");
    expect(stops().map((each) => each.textContent)).toEqual(["import.volume"]);
    press("End");
    expect(here()).toBe("refine.local");
    press("ArrowDown", "Home");
    expect(here()).toBe("Import");
    expect(stops()).toHaveLength(1);
  });

  it("closes and opens groups with arrows; a closed group's entries are gone", () => {
    render(<Tree label="Steps" branches={BRANCHES} />);
    stops()[0]?.focus();
    press("ArrowDown", "ArrowDown", "ArrowLeft");
    expect(here()).toBe("Import");
    press("ArrowLeft");
    expect(screen.getByText("Import").getAttribute("aria-expanded")).toBe("false");
    expect(screen.queryByText("import.movies")).toBeNull();
    press("ArrowDown");
    expect(here()).toBe("Refinement");
    press("ArrowUp", "ArrowRight", "ArrowRight");
    expect(here()).toBe("import.movies");
  });

  it("has its stop still when the row that had it is gone", () => {
    const page = render(<Tree label="Steps" branches={BRANCHES} />);
    screen.getByText("refine.local").focus();
    page.rerender(<Tree label="Steps" branches={BRANCHES.slice(0, 1)} />);
    expect(stops().map((each) => each.textContent)).toEqual(["Import"]);
  });

  it("chooses with Enter, Space and a click, but nothing that is disabled", () => {
    chosen.mockClear();
    render(<Tree label="Steps" branches={BRANCHES} />);
    screen.getByText("refine.auto").focus();
    press("Enter", "ArrowDown", "Enter", "ArrowDown", " ");
    fireEvent.click(screen.getByText("refine.broken"));
    fireEvent.click(screen.getByText("import.movies"));
    expect(chosen.mock.calls.flat()).toEqual(["refine.auto", "refine.local", "import.movies"]);
  });

  it("shows closed groups while it is unfolded, leaves upwards, and lets the keys of the page through", () => {
    const left = vi.fn();
    const handle = createRef<TreeHandle>();
    const props = { label: "Steps", branches: BRANCHES, onLeave: left, ref: handle };
    const page = render(<Tree {...props} />);
    fireEvent.click(screen.getByText("Import"));
    page.rerender(<Tree {...props} unfolded />);
    handle.current?.enter();
    expect(here()).toBe("import.movies");
    const heard = vi.fn();
    addEventListener("keydown", heard);
    press("x", "ArrowDown");
    expect(heard).not.toHaveBeenCalled();
    press("/", "Escape");
    removeEventListener("keydown", heard);
    expect(heard).toHaveBeenCalledTimes(2);
    press("Home", "ArrowUp");
    expect(left).toHaveBeenCalledTimes(1);
  });
});

describe("letters that are typed", () => {
  const rows = ["Import", "import.movies", "Refinement", "refine.auto", "refine.local", "refine.deep_align"];
  it.each([
    ["r", 0, "Refinement"],
    ["r", 2, "refine.auto"],
    ["rr", 3, "refine.local"],
    ["r", 5, "Refinement"],
    ["refine.", 2, "refine.auto"],
    ["refine.", 4, "refine.local"],
    ["DEEP", 0, "refine.deep_align"],
    ["al", 0, "refine.deep_align"],
    ["zz", 0, undefined],
  ])("%s after row %i: %s", (letters, from, found) => expect(rows[lettersFind(rows, letters, from)]).toBe(found));
});
