import { expect, it } from "vitest";
import { rows } from "./format";

it("calls rows what people call them", () => {
  expect([rows(51, "fsc"), rows(2, "classes3d"), rows(1, "atomic_model"), rows(300, "particles")]).toEqual(["51 shells", "2 classes", "1 atomic model", "300 particles"]);
});
