/** The rows that a tree of two levels shows, and which of them typed letters mean. */

export interface Leaf {
  key: string;
  text: string;
  note?: string;
  hint?: string;
  disabled?: boolean;
  onChoose: () => void;
}

export interface Branch {
  key: string;
  text: string;
  /** A class of all of its rows. */
  className?: string;
  leaves: readonly Leaf[];
}

export interface Row {
  key: string;
  text: string;
  className: string;
  /** From 1, among the groups, or the entries of a group. */
  position: number;
  size: number;
  /** Of a group: whether its entries are shown. */
  open: boolean;
  leaf?: Leaf;
}

export function rowsOf(branches: readonly Branch[], closed: ReadonlySet<string>): Row[] {
  return branches.flatMap(({ key, text, className = "", leaves }, place) => {
    const open = !closed.has(key);
    const group: Row = { key, text, className: `branch ${className}`, position: place + 1, size: branches.length, open };
    const entries = leaves.map((leaf, number): Row => ({ key: leaf.key, text: leaf.text, className: `leaf ${className}`, position: number + 1, size: leaves.length, open, leaf }));
    return open ? [group, ...entries] : [group];
  });
}

/** The place of the row that typed letters mean, after `from` and round again, -1 if none: one that begins so, else one with a word that does. */
export function lettersFind(texts: readonly string[], letters: string, from: number): number {
  const same = [...letters].every((each) => each === letters[0]);
  const wanted = (same ? letters.slice(0, 1) : letters).toLowerCase();
  // A word that grows may stay where it is; one letter, again or not, goes on.
  const first = same ? from + 1 : from;
  const order = texts.map((_, number) => (first + number) % texts.length);
  const text = (place: number) => (texts[place] ?? "").toLowerCase();
  const begins = order.find((place) => text(place).startsWith(wanted));
  return begins ?? order.find((place) => text(place).split(/[\s._-]+/).some((word) => word.startsWith(wanted))) ?? -1;
}
