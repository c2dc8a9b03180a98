/** Numbers and times as people read them. */

/** A number with four digits that matter; whole ones with thin spaces between thousands. */
export function number(value: unknown): string {
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return String(value);
    if (Number.isInteger(value)) return value.toLocaleString("en").replaceAll(",", "\u2009");
    return Number(value.toPrecision(4)).toString();
  }
  if (Array.isArray(value)) return value.map(number).join(", ");
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}

/** Seconds as 12 s, 3 min 20 s, 2 h 5 min. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** A moment, given in seconds since 1970, in the reader's own time. */
export const moment = (seconds: number): string =>
  new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** What the rows of a kind of set are called, where that is not the kind itself. */
const ROWS: Record<string, string> = { fsc: "shells", classes2d: "classes", classes3d: "classes" };

export const rows = (count: number, kind: string): string => `${number(count)} ${ROWS[kind] ?? kind.replaceAll("_", " ")}`;

export const counted = (count: number, word: string): string => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** Bytes as people read them. */
export function bytes(size: number): string {
  const power = size < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(size) / 3));
  return `${number(Number((size / 1000 ** power).toPrecision(3)))} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}
