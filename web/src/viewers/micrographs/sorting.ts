/** The order of rows by a column; those without a value come last, equal ones stay in their order. */
export function sortedRows(count: number, values: readonly (number | string | null)[] | null, descending: boolean): number[] {
  const rows = Array.from({ length: count }, (_, row) => row);
  if (!values) return rows;
  const sign = descending ? -1 : 1;
  const compare = (a: number | string, b: number | string) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return rows.sort((a, b) => {
    const [left, right] = [values[a] ?? null, values[b] ?? null];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return sign * compare(left, right);
  });
}

/** Ids as a form takes them: 1,3,5-8. */
export function idRanges(ids: Iterable<number>): string {
  const parts: [number, number][] = [];
  for (const id of [...ids].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && id === last[1] + 1) last[1] = id;
    else parts.push([id, id]);
  }
  return parts.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
