import { describe, expect, it } from "vitest";
import { changedGraph, turned } from "./graph";
import { node } from "./graph.fixture";
import type { Graph } from "./schema";

const graph: Graph = { number: 1, nodes: [node("r001"), node("r002")], places: { r001: [0, 0], r002: [0, 1] } };

describe("changedGraph", () => {
  it("replaces what changed, keeps the identity of the rest, adds what is new", () => {
    const next = changedGraph(graph, { changed: [node("r002", { state: "running" }), node("r003")], removed: [], places: { r003: [1, 0] } }, 2);
    expect(next.nodes.map((each) => [each.run, each.state])).toEqual([["r001", "draft"], ["r002", "running"], ["r003", "draft"]]);
    expect(next.nodes[0]).toBe(graph.nodes[0]);
    expect(next.number).toBe(2);
    expect(next.places).toEqual({ r001: [0, 0], r002: [0, 1], r003: [1, 0] });
  });

  it("forgets what was removed, its place too, and leaves the old graph alone", () => {
    const next = changedGraph(graph, { changed: [], removed: ["r001"], places: { r002: [0, 0] } }, 2);
    expect(next.nodes.map((each) => each.run)).toEqual(["r002"]);
    expect(next.places).toEqual({ r002: [0, 0] });
    expect(graph.places).toHaveProperty("r001");
  });
});

it("tells only of states that turned, with what they were", () => {
  const after = [node("r001"), node("r002", { state: "failed" }), node("r003", { state: "running" })];
  expect(turned(graph.nodes, after)).toEqual([[graph.nodes[1], after[1]], [undefined, after[2]]]);
});
