import { beforeEach, expect, test } from "vitest";
import { draftKey, emptyDraft, keepDraft, readDraft } from "./drafts";

const key = draftKey("project", "ctf.estimate", {});

beforeEach(() => sessionStorage.clear());

test("what was typed comes back", () => {
  const draft = { ...emptyDraft({ box: "64", sets: ["a", "b"], yes: false }), label: "mine", threads: "4" };
  keepDraft(key, draft);
  expect(readDraft(key)).toEqual(draft);
  keepDraft(key, null);
  expect(readDraft(key)).toBeNull();
});

test("each address of a form has a draft of its own, whatever the order of its values", () => {
  expect(draftKey("p", "x", { a: "1", b: "2" })).toBe(draftKey("p", "x", { b: "2", a: "1" }));
  const keys = [key, draftKey("project", "ctf.estimate", { like: "r003" }), draftKey("other", "ctf.estimate", {}), draftKey("project", "pick.blob", {})];
  expect(new Set(keys).size).toBe(4);
});

test("a draft that cannot be read is none", () => {
  for (const text of ["{", "3", "null", "{}", '{"values": 3}']) {
    sessionStorage.setItem(key, text);
    expect(readDraft(key)).toBeNull();
  }
});

test("a draft of an earlier edition is filled up", () => {
  sessionStorage.setItem(key, '{"values": {"a": 1}}');
  expect(readDraft(key)).toEqual(emptyDraft({ a: 1 }));
});

test("a storage that refuses is no error", () => {
  const full = { setItem: () => { throw new Error("full"); }, removeItem: () => undefined, getItem: () => null } as unknown as Storage;
  expect(() => keepDraft(key, emptyDraft(), full)).not.toThrow();
});
