/** Scrolling through more rows than an element can be high: the bar stands for all of them, the wheel moves by rows as ever. */

/** No browser cuts off an element of this height. */
export const TALLEST = 8_000_000;

export interface Geometry {
  /** Height of all rows, px. */
  whole: number;
  /** Height of the element that stands for them. */
  shown: number;
  /** Height of what can be seen. */
  view: number;
}

export function geometry(rows: number, rowHeight: number, view: number): Geometry {
  const whole = rows * rowHeight;
  return { whole, shown: Math.min(whole, TALLEST), view };
}

const range = ({ whole, shown, view }: Geometry) => [Math.max(0, whole - view), Math.max(0, shown - view)] as const;

/** How far all rows are scrolled when the element is scrolled by `top`. */
export function toRows(top: number, shape: Geometry): number {
  const [whole, shown] = range(shape);
  return shown === 0 ? 0 : Math.min(whole, Math.max(0, (top * whole) / shown));
}

/** How far the element is scrolled when all rows are by `offset`. */
export function toElement(offset: number, shape: Geometry): number {
  const [whole, shown] = range(shape);
  return whole === 0 ? 0 : Math.min(shown, Math.max(0, (offset * shown) / whole));
}

/** The first row to draw and the one after the last. */
export function window(offset: number, rowHeight: number, view: number, rows: number, spare = 6): [number, number] {
  const first = Math.floor(offset / rowHeight) - spare;
  return [Math.max(0, Math.min(first, rows)), Math.min(rows, Math.ceil((offset + view) / rowHeight) + spare)];
}

/** The offset at which a row can be seen, as near as possible to the present one. */
export function showing(row: number, offset: number, rowHeight: number, view: number): number {
  const top = row * rowHeight;
  if (top < offset) return top;
  return top + rowHeight > offset + view ? top + rowHeight - view : offset;
}
