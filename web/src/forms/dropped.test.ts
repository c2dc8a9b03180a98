import { expect, test } from "vitest";
import type { Offer } from "../api/schema";
import { dropped } from "./dropped";
import { fits } from "./InputPicker";

const offer = (output: string, label = ""): Offer => ({ output, label, kind: "particles", state: "finished", count: 1200, aside: false });
const offers = [offer("r010.particles", "good"), offer("r001.particles"), offer("r001.rest")];

test("an output that is dropped is that one, a run its first that fits", () => {
  expect(dropped("r001.rest", offers)?.output).toBe("r001.rest");
  expect(dropped("r001", offers)?.output).toBe("r001.particles");
  expect(dropped("r01", offers)).toBeUndefined();
  expect(dropped("r001.micrographs", offers)).toBeUndefined();
});

test("offers are found by any of their words", () => {
  expect(fits(offers[0]!, "GOOD r010")).toBe(true);
  expect(fits(offers[0]!, "")).toBe(true);
  expect(fits(offers[1]!, "good")).toBe(false);
});
