/** Where one picks: edits are drawn at once and sent one after the other; those that cannot be made are taken back. */

import { applied, holds, numbered, type Edit, type Pick, type Sheet } from "./edits";

/** What the server tells of a micrograph. */
export interface Told extends Sheet {
  revision: number;
}

export interface Done {
  revision: number;
  numbers: number[];
}

/** An edit that came too late: what there is instead. */
export class Changed extends Error {
  constructor(readonly current: Told) {
    super("The picks were changed meanwhile.");
  }
}

export interface Transport {
  load(micrograph: number): Promise<Told>;
  /** Throws `Changed`. */
  edit(micrograph: number, revision: number, edit: Edit): Promise<Done>;
}

interface Waiting {
  micrograph: number;
  edit: Edit;
}

export class Desk {
  /** The last revision that is known here. */
  revision = 0;
  private readonly sheets = new Map<number, Sheet>();
  private readonly shown = new Map<number, Sheet>();
  private readonly numbers = new Map<number, number>();
  private waiting: Waiting[] = [];
  private sending: Promise<void> = Promise.resolve();
  private own = 0;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly transport: Transport,
    private readonly onProblem: (error: unknown) => void,
  ) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** What is on a micrograph, edits under way included; undefined until it has been loaded. */
  sheet(micrograph: number): Sheet | undefined {
    return this.shown.get(micrograph);
  }

  get idle(): boolean {
    return this.waiting.length === 0;
  }

  async load(micrograph: number): Promise<void> {
    this.take(micrograph, await this.current(micrograph));
  }

  /** Forget micrographs that others have changed; the one that is looked at is loaded again. */
  async refresh(micrograph: number): Promise<void> {
    const told = await this.current(micrograph);
    for (const other of [...this.sheets.keys()]) if (other !== micrograph) this.drop(other);
    this.take(micrograph, told);
  }

  /** What the server has, and not less than what was answered here before: an edit may have overtaken the request. */
  private async current(micrograph: number): Promise<Told> {
    for (;;) {
      await this.settled();
      const told = await this.transport.load(micrograph);
      if (told.revision >= this.revision) return told;
    }
  }

  /** A new pick by hand, not sent yet. */
  pick = (x: number, y: number): Pick => ({ number: --this.own, x, y, score: null });

  edit(micrograph: number, edit: Edit): void {
    this.waiting.push({ micrograph, edit });
    this.redo(micrograph);
    this.sending = this.sending.then(() => this.sendNext());
  }

  /** Wait until all edits are made. */
  settled = (): Promise<void> => this.sending;

  private async sendNext(): Promise<void> {
    const first = this.waiting[0];
    if (!first) return;
    const edit = numbered(first.edit, this.numbers);
    try {
      const done = await this.sent(first.micrograph, edit);
      this.revision = done.revision;
      this.waiting.shift();
      const made = edit.do === "add" ? { ...edit, picks: edit.picks.map((pick, place) => ({ ...pick, number: done.numbers[place] ?? pick.number })) } : edit;
      if (edit.do === "add") edit.picks.forEach((pick, place) => this.numbers.set(pick.number, done.numbers[place] ?? pick.number));
      const sheet = this.sheets.get(first.micrograph);
      if (sheet) this.sheets.set(first.micrograph, applied(sheet, made));
      this.redo(first.micrograph);
    } catch (error) {
      this.waiting.shift();
      this.redo(first.micrograph);
      this.onProblem(error);
    }
  }

  /** Send an edit; if others were faster, once more on top of what they did, as long as it makes sense there. */
  private async sent(micrograph: number, edit: Edit): Promise<Done> {
    for (;;) {
      try {
        return await this.transport.edit(micrograph, this.revision, edit);
      } catch (error) {
        if (!(error instanceof Changed)) throw error;
        this.take(micrograph, error.current);
        if (edit.do === "region" || !holds(error.current, edit)) throw error;
      }
    }
  }

  private take(micrograph: number, { revision, ...sheet }: Told): void {
    this.revision = revision;
    this.sheets.set(micrograph, sheet);
    this.redo(micrograph);
  }

  private drop(micrograph: number): void {
    this.sheets.delete(micrograph);
    this.shown.delete(micrograph);
  }

  private redo(micrograph: number): void {
    const sheet = this.sheets.get(micrograph);
    if (!sheet) return;
    const waiting = this.waiting.filter((each) => each.micrograph === micrograph);
    this.shown.set(micrograph, waiting.reduce((before, { edit }) => applied(before, numbered(edit, this.numbers)), sheet));
    this.listeners.forEach((listener) => listener());
  }
}
