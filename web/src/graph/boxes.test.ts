import { describe, expect, it } from "vitest";
import { node } from "../api/graph.fixture";
import type { Graph } from "../api/schema";
import { arrows, boxes, type Look } from "./boxes";
import { BOX, firstView, keepPlaces, keptPlaces, line, neighbour, placeOf, READABLE, STEP } from "./places";

const takes = (run: string, output = "x") => ({ name: "in", run, output });
const graph: Graph = {
  number: 1,
  nodes: [node("r001"), node("r002", { inputs: [takes("r001"), takes("r001", "y")] }), node("r003", { inputs: [takes("r001"), takes("gone")] }), node("r004", { inputs: [takes("r002")] })],
  places: { r001: [0.5, 0], r002: [0, 1], r003: [1, 1], r004: [0, 2] },
};
const look: Look = { project: "p", moved: {}, chosen: new Set(), current: "r001", found: null };

describe("boxes", () => {
  it("have a fixed size, so that they are never hidden while an event replaces them", () => {
    for (const box of boxes(graph, look)) expect(box).toMatchObject(BOX);
  });

  it("stay the same objects where nothing changed", () => {
    const first = boxes(graph, look);
    const kept = new Map(first.map((box) => [box.id, box]));
    const next = boxes({ ...graph, nodes: graph.nodes.map((each) => (each.run === "r002" ? { ...each, state: "running" } : each)) }, look, kept);
    expect(next.map((box, place) => box === first[place])).toEqual([true, false, true, true]);
    expect(next[1]?.position).toEqual(first[1]?.position);
  });

  it("stand where somebody put them", () => {
    const [first] = boxes(graph, { ...look, moved: { r001: { x: 7, y: 9 } } });
    expect(first?.position).toEqual({ x: 7, y: 9 });
  });

  it("fade when a filter leaves them out, and one alone is in the order of the Tab key", () => {
    const drawn = boxes(graph, { ...look, found: new Set(["r002"]) });
    expect(drawn.map((box) => box.data.faded)).toEqual([true, false, true, true]);
    expect(drawn.filter((box) => box.focusable).map((box) => box.id)).toEqual(["r001"]);
  });
});

it("draws one arrow a pair of runs, and none from what is gone", () => {
  expect(arrows(graph).map((edge) => edge.id)).toEqual(["r001-r002", "r001-r003", "r002-r004"]);
});

describe("places", () => {
  it("are kept by the browser, for each project", () => {
    keepPlaces("p", { r001: { x: 1, y: 2 } });
    expect(keptPlaces("p")).toEqual({ r001: { x: 1, y: 2 } });
    expect(keptPlaces("q")).toEqual({});
    keepPlaces("p", {});
    expect(keptPlaces("p")).toEqual({});
    localStorage.setItem("cryoloom-places-p", "not JSON");
    expect(keptPlaces("p")).toEqual({});
  });

  it("first show the last run at a size that can be read", () => {
    const chain: Graph = { number: 1, nodes: Array.from({ length: 200 }, (_, place) => node(`r${place + 1}`)), places: Object.fromEntries(Array.from({ length: 200 }, (_, place) => [`r${place + 1}`, [place % 30, place]])) };
    const { x, y, zoom } = firstView(chain, {}, 800, 600);
    const end = placeOf(chain, {}, "r200");
    expect(zoom).toBe(READABLE);
    expect(end.x * zoom + x).toBeGreaterThanOrEqual(0);
    expect((end.x + BOX.width) * zoom + x).toBeLessThanOrEqual(800);
    expect((end.y + BOX.height) * zoom + y).toBeLessThanOrEqual(600);
  });

  it("of a few runs begin at the top", () => {
    const { y, zoom } = firstView(graph, {}, 1000, 700);
    expect(zoom).toBe(1);
    expect(y).toBeGreaterThan(0);
  });
});

describe("arrow keys", () => {
  const way = (run: string, key: "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight") => neighbour(graph, {}, run, key);
  it("go along the edges, and to the neighbour in a row", () => {
    expect(way("r004", "ArrowUp")).toBe("r002");
    expect(way("r002", "ArrowDown")).toBe("r004");
    expect(way("r002", "ArrowRight")).toBe("r003");
    expect(way("r003", "ArrowLeft")).toBe("r002");
    expect(way("r003", "ArrowDown")).toBeUndefined();
    expect(way("r001", "ArrowUp")).toBeUndefined();
  });
});

it("leads a line past other boxes in the gap beside them", () => {
  const gap = STEP.y - BOX.height;
  const far = line({ x: 100, y: BOX.height }, { x: 100, y: 3 * STEP.y });
  expect(far).toMatch(/V/);
  expect(far).toContain(`${100 + STEP.x / 2}`);
  expect(line({ x: 100, y: 0 }, { x: 300, y: gap })).toMatch(/^M100,0 C/);
});
