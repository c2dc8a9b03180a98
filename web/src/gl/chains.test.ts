import { expect, test } from "vitest";
import { residueColours } from "./chains";

test("residues go from orange to green by their correlation, and are white where it is not known", () => {
  expect([...residueColours([-0.2, 1, null])]).toEqual([230, 97, 1, 124, 242, 154, 255, 255, 255]);
});
