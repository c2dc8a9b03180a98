/** Lines of a log that somebody looks for. */

const ERROR = /\b(error|exception|traceback|failed|failure|killed|out of memory)\b|(Error|Exception)\b/i;

export const isError = (line: string): boolean => ERROR.test(line);

/** The line of the first error; where a traceback is, that is where it begins. */
export const firstError = (lines: readonly string[]): number => lines.findIndex(isError);

/** The numbers of the lines that hold a text, upper and lower case alike. */
export function hits(lines: readonly string[], search: string): number[] {
  const wanted = search.toLowerCase();
  return wanted ? lines.flatMap((line, place) => (line.toLowerCase().includes(wanted) ? [place] : [])) : [];
}
