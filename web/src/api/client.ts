/** Requests to the server. Components ask through these hooks and never fetch by themselves. */

import { QueryClient } from "@tanstack/react-query";
import type { Problem } from "./schema";

export class ApiError extends Error {
  readonly problem: Problem;
  readonly status: number;
  /** All of the answer, which may say more. */
  readonly told: unknown;

  constructor(status: number, problem: Problem, told?: unknown) {
    super(problem.message);
    this.status = status;
    this.told = told;
    this.problem = problem;
  }
}

type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

/** An address below /api with its query. */
export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === "") continue;
    if (Array.isArray(value)) value.forEach((each) => search.append(name, each));
    else search.append(name, String(value));
  }
  const text = search.toString();
  return `/api/${path}${text ? `?${text}` : ""}`;
}

/** Addresses of a project, its runs and their outputs; every name is escaped here and nowhere else. */
export const at = {
  project: (project: string) => `projects/${encodeURIComponent(project)}`,
  run: (project: string, run: string) => `projects/${encodeURIComponent(project)}/runs/${encodeURIComponent(run)}`,
  output: (project: string, output: string) => `projects/${encodeURIComponent(project)}/outputs/${encodeURIComponent(output)}`,
  form: (project: string, protocol: string) => `projects/${encodeURIComponent(project)}/forms/${encodeURIComponent(protocol)}`,
};

/** The response if it is a good one; what the server says is wrong is thrown. */
export async function answered(response: Response): Promise<Response> {
  if (response.ok) return response;
  let problem: Problem = { code: `CL-http-${response.status}`, message: `The server answered ${response.status}.`, cure: "" };
  let told: unknown;
  try {
    told = await response.json();
    problem = (told as { error: Problem }).error;
  } catch {
    // not one of our answers: what the number says is all there is
  }
  throw new ApiError(response.status, problem, told);
}

async function answer<T>(response: Response): Promise<T> {
  const good = await answered(response);
  return good.status === 204 ? (undefined as T) : ((await good.json()) as T);
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return answer<T>(await fetch(address(path, query), { signal: signal ?? null }));
}

export async function send<T>(method: "POST" | "PATCH" | "PUT" | "DELETE", path: string, body: unknown = {}, query?: Query): Promise<T> {
  return answer<T>(
    await fetch(address(path, query), { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  );
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status < 500),
    },
  },
});
