import { describe, expect, it } from "vitest";
import { inverted, isChosen, isEmpty, NOTHING, ofRule, read, toggled, toServer, withRows, written } from "./selection";

describe("rows chosen by hand", () => {
  it("are chosen, and left out again", () => {
    const one = toggled(NOTHING, 7);
    expect([isChosen(one, 7), isChosen(one, 8)]).toEqual([true, false]);
    expect(isEmpty(toggled(one, 7))).toBe(true);
  });

  it("take a stretch in without turning what is chosen already", () => {
    const stretch = withRows(toggled(NOTHING, 2), [1, 2, 3].map((id) => [id, id === 2] as const));
    expect(toServer(stretch)).toEqual({ where: null, flipped: [1, 2, 3] });
  });

  it("are all others once inverted", () => {
    const rest = inverted(toggled(toggled(NOTHING, 1), 2));
    expect([1, 2, 3].map((id) => isChosen(rest, id))).toEqual([false, false, true]);
    expect(toServer(inverted(rest))).toEqual({ where: null, flipped: [1, 2] });
  });
});

describe("rows that follow a rule", () => {
  const rule = ofRule(" score > 0.5 ");

  it("are known by what the server says of them", () => {
    expect(rule.where).toBe("score > 0.5");
    expect([isChosen(rule, 1, true), isChosen(rule, 1, false)]).toEqual([true, false]);
  });

  it("but for some", () => {
    const without = toggled(rule, 1);
    expect([isChosen(without, 1, true), isChosen(without, 2, true)]).toEqual([false, true]);
    const stretch = withRows(without, [[1, false], [2, true], [3, false]]);
    expect(toServer(stretch)).toEqual({ where: "score > 0.5", flipped: [3] });
  });

  it("turn into their opposite and back", () => {
    expect(inverted(rule).where).toBe("not (score > 0.5)");
    expect(inverted(inverted(rule)).where).toBe("score > 0.5");
    const two = ofRule("not (a > 1) and (b > 2)");
    expect(inverted(two).where).toBe("not (not (a > 1) and (b > 2))");
    expect(inverted(inverted(two)).where).toBe(two.where);
    expect(inverted(ofRule('not (name == ")")')).where).toBe('name == ")"');
  });

  it("all of them: the empty rule", () => {
    expect(isChosen(ofRule(""), 5)).toBe(true);
    expect(inverted(ofRule("")).where).toBe(null);
  });
});

it("outlives a reload, and nonsense is no selection", () => {
  const some = toggled(ofRule("x > 1"), 3);
  expect(read(written(some))).toEqual(some);
  for (const text of [null, "", "{", '{"where":5,"flipped":"x"}']) expect(isEmpty(read(text))).toBe(true);
});
