import { describe, expect, it } from "vitest";
import { combined, rounded, ruleOf, ruleOfAll, stretchesOf } from "./rules";

describe("a stretch as a rule", () => {
  it("is written as the grammar has it", () => {
    expect(ruleOf({ column: "score", low: 0.5, high: 0.75 })).toBe("score between 0.5 and 0.75");
    expect(ruleOf({ column: "score", low: 0.5, high: null })).toBe("score >= 0.5");
    expect(ruleOf({ column: "x", low: null, high: -2 })).toBe("x <= -2");
    expect(ruleOf({ column: "x", low: null, high: null })).toBe("");
  });

  it("has the digits that its width gives meaning to", () => {
    expect(rounded(0.7512345, 0.4)).toBe(0.7512);
    expect(rounded(15234.56, 20000)).toBe(15200);
    expect(rounded(300.123456, 0.01)).toBe(300.12346);
    expect(rounded(0, 1)).toBe(0);
  });

  it("is read back", () => {
    const all = [
      { column: "a", low: 1, high: 5 },
      { column: "b", low: null, high: -3e-5 },
      { column: "c", low: -2.5, high: null },
    ];
    expect(stretchesOf(ruleOfAll(all))).toEqual(all);
    expect(stretchesOf("")).toEqual([]);
  });

  it.each(["a > 1 or b < 2", "not (a >= 1)", "a between x and 2", "a >= 1 and a <= 2", 'name == "x and y"', "a is null"])("more than stretches: %s", (rule) => {
    expect(stretchesOf(rule)).toBeNull();
  });
});

it("rules are joined with brackets where they need them", () => {
  expect(combined("", "a >= 1", "and")).toBe("a >= 1");
  expect(combined("a >= 1", "b between 1 and 2", "or")).toBe("a >= 1 or b between 1 and 2");
  expect(combined("a >= 1 or c >= 2", "b >= 3", "and")).toBe("(a >= 1 or c >= 2) and b >= 3");
});
