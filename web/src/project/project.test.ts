import { describe, expect, it } from "vitest";
import { node } from "../api/graph.fixture";
import type { CatalogueEntry } from "../api/schema";
import { takenFromOutside } from "../run/CopyBranch";
import { firstError, hits } from "../run/log";
import { fit, found, type Command } from "./commands";
import { fits, isOpen, lastIn, withDependents } from "./filter";
import { grouped, nextSteps } from "./ProtocolTree";

const entry = (id: string, words = ""): CatalogueEntry => ({ id, step: id.split(".")[0] ?? "", title: "", words: `${id} ${words}`, error: "" });

describe("the protocol tree", () => {
  const entries = [entry("sets.select"), entry("ctf.estimate", "defocus"), entry("import.movies", "frames"), entry("plugin.thing"), entry("import.volume")];
  it("groups by step in the order of the work, others last", () => {
    expect(grouped(entries, "").map(([step]) => step)).toEqual(["Import", "CTF", "Sets", "plugin"]);
  });
  it("finds by all words of a search", () => {
    expect(grouped(entries, "Import FRAMES").map(([, members]) => members.map((each) => each.id))).toEqual([["import.movies"]]);
    expect(grouped(entries, "nothing")).toEqual([]);
  });
  it("offers the nearest later step first, and puts the output in place", () => {
    const taker = (protocol: string, kinds: string[]) => ({ protocol, step: protocol.split(".")[0] ?? "", input: "input", kinds });
    const takers = [taker("refine.auto", ["particles"]), taker("classify2d.em", ["particles"]), taker("motion.correlation", ["movies"]), taker("particles.extract", ["particles"])];
    const steps = nextSteps(takers, "particles", [{ name: "stack", kind: "particles" }], "r005");
    expect(steps.map((step) => step.protocol)).toEqual(["classify2d.em", "refine.auto", "particles.extract"]);
    expect(steps[0]?.inputs).toEqual({ input: "r005.stack" });
  });
});

describe("filters", () => {
  const run = node("r007", { protocol: "ctf.estimate", label: "night two", state: "failed", tags: ["good"] });
  const all = { text: "", state: "", step: "", tag: "" };
  it.each([
    [{ text: "NIGHT ctf" }, true],
    [{ text: "r007" }, true],
    [{ text: "night three" }, false],
    [{ state: "failed" }, true],
    [{ state: "finished" }, false],
    [{ step: "ctf" }, true],
    [{ step: "pick" }, false],
    [{ tag: "good" }, true],
    [{ tag: "bad" }, false],
  ])("%o: %s", (filter, expected) => expect(fits(run, { ...all, ...filter })).toBe(expected));
  it("is open when nothing is asked", () => {
    expect(isOpen({ ...all, text: "  " })).toBe(true);
    expect(isOpen({ ...all, tag: "x" })).toBe(false);
  });
});

describe("runs and what rests on them", () => {
  const on = (run: string, ...parents: string[]) => node(run, { inputs: parents.map((parent) => ({ name: "in", run: parent, output: "out" })), outputs: [{ name: "out", kind: "particles", count: 1 }] });
  const nodes = [on("r001"), on("r002", "r001"), on("r003", "r002"), on("r004", "r001"), on("r005")];
  it("are found to any depth", () => {
    expect([...withDependents(nodes, ["r002"])].sort()).toEqual(["r002", "r003"]);
    expect([...withDependents(nodes, ["r001"])].sort()).toEqual(["r001", "r002", "r003", "r004"]);
  });
  it("take from outside what no copied run gives", () => {
    expect(takenFromOutside(nodes, new Set(["r002", "r003"]))).toEqual([{ output: "r001.out", kind: "particles" }]);
  });
  it("are the last in a state", () => {
    expect(lastIn([node("r001", { state: "failed" }), node("r003", { state: "failed" }), node("r004")], ["failed"])?.run).toBe("r003");
    expect(lastIn(nodes, ["failed"])).toBeUndefined();
  });
});

describe("the palette", () => {
  const command = (text: string, words = ""): Command => ({ id: text, group: "Action", icon: "play", text, words, go: () => undefined });
  it("puts what begins with the words first, and keeps the order of equals", () => {
    const commands = [command("postprocess.mask"), command("Empty the mask box"), command("mask.make"), command("nothing")];
    expect(found(commands, "mask").map((each) => each.text)).toEqual(["mask.make", "postprocess.mask", "Empty the mask box"]);
    expect(found(commands, "").map((each) => each.text)).toEqual(commands.map((each) => each.text));
  });
  it("wants every word, and takes none for a pattern", () => {
    expect(fit(command("r010 refinement", "refine.auto finished"), "r010 auto")).toBeGreaterThan(0);
    expect(fit(command("r010 refinement"), "r010 auto")).toBe(0);
    expect(fit(command("a.b (c)"), "( . *")).toBe(0);
    expect(fit(command("a.b (c)"), "(")).toBeGreaterThan(0);
  });
});

describe("the log", () => {
  const lines = ["start", "0 errors so far", "Traceback (most recent call last):", "ValueError: no"];
  it("finds the first error", () => {
    expect(firstError(lines)).toBe(2);
    expect(firstError(["all is well"])).toBe(-1);
  });
  it("finds lines without regard to case", () => {
    expect(hits(lines, "ERROR")).toEqual([1, 3]);
    expect(hits(lines, "")).toEqual([]);
  });
});
