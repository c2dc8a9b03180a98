import { expect, test } from "vitest";
import { Changed, Desk, type Told, type Transport } from "./desk";
import { applied, holds, type Edit, type Sheet } from "./edits";

/** A server of one micrograph, and all that it was asked. */
class Server implements Transport {
  sheet: Sheet = { picks: [{ number: 1, x: 5, y: 5, score: 0.8 }], region: null, state: "supervised" };
  revision = 3;
  last = 1;
  asked: Edit[] = [];

  told = (): Told => ({ revision: this.revision, ...this.sheet });
  load = async () => this.told();

  async edit(_: number, revision: number, edit: Edit) {
    this.asked.push(edit);
    if (revision !== this.revision) throw new Changed(this.told());
    if (!holds(this.sheet, edit)) throw new Error("There is no such pick.");
    return this.make(edit);
  }

  make(edit: Edit) {
    const numbers = edit.do === "add" ? edit.picks.map(() => ++this.last) : [];
    const made = edit.do === "add" ? { ...edit, picks: edit.picks.map((pick, place) => ({ ...pick, number: numbers[place] as number })) } : edit;
    this.sheet = applied(this.sheet, made);
    this.revision++;
    return { revision: this.revision, numbers };
  }
}

async function opened() {
  const server = new Server();
  const problems: unknown[] = [];
  const desk = new Desk(server, (problem) => problems.push(problem));
  await desk.load(7);
  return { server, desk, problems, numbers: () => desk.sheet(7)?.picks.map((pick) => pick.number) };
}

test("an edit shows at once, and gets the server's number when that has answered", async () => {
  const { desk, numbers, server } = await opened();
  desk.edit(7, { do: "add", picks: [desk.pick(50, 60)] });
  expect(numbers()).toEqual([1, -1]);
  await desk.settled();
  expect(numbers()).toEqual([1, 2]);
  expect(desk.revision).toBe(server.revision);
});

test("a pick can be moved and removed before the server has numbered it", async () => {
  const { desk, server, numbers } = await opened();
  const pick = desk.pick(50, 60);
  desk.edit(7, { do: "add", picks: [pick] });
  desk.edit(7, { do: "move", number: pick.number, x: 51, y: 61 });
  expect(desk.sheet(7)?.picks[1]).toMatchObject({ x: 51, y: 61 });
  desk.edit(7, { do: "remove", numbers: [pick.number] });
  expect(numbers()).toEqual([1]);
  await desk.settled();
  expect(server.asked.slice(1)).toEqual([{ do: "move", number: 2, x: 51, y: 61 }, { do: "remove", numbers: [2] }]);
  expect(server.sheet.picks.map((each) => each.number)).toEqual([1]);
});

test("what another tab did is taken over, and an edit that still holds is made on top", async () => {
  const { desk, server, numbers, problems } = await opened();
  server.make({ do: "add", picks: [{ number: 0, x: 70, y: 70, score: null }] });
  desk.edit(7, { do: "add", picks: [desk.pick(50, 60)] });
  await desk.settled();
  expect(numbers()).toEqual([1, 2, 3]);
  expect(problems).toEqual([]);
});

test("an edit of a pick that another tab has removed is told and forgotten", async () => {
  const { desk, server, numbers, problems } = await opened();
  server.make({ do: "remove", numbers: [1] });
  desk.edit(7, { do: "move", number: 1, x: 9, y: 9 });
  await desk.settled();
  expect(numbers()).toEqual([]);
  expect(problems).toHaveLength(1);
});

test("an edit that the server refuses is taken back", async () => {
  const { desk, numbers, problems } = await opened();
  desk.edit(7, { do: "remove", numbers: [99] });
  await desk.settled();
  expect(numbers()).toEqual([1]);
  expect(String(problems[0])).toContain("no such pick");
});
