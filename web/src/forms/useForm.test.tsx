import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { useForm } from "./useForm";

beforeEach(() => {
  vi.stubGlobal("fetch", () => new Promise(() => undefined)); // no server is asked
  sessionStorage.clear();
  localStorage.clear();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const within = ({ children }: { children: ReactNode }) => <QueryClientProvider client={new QueryClient()}>{children}</QueryClientProvider>;

describe("a form that fills its inputs", () => {
  it("gives no set to two of them, nor in place of what somebody gave", () => {
    const { result } = renderHook(() => useForm("tiny", "angles.compare", { particles: "r004.particles" }), { wrapper: within });
    act(() => {
      result.current.propose("particles", ["r009.particles"]);
      result.current.propose("other", ["r004.particles", "r003.particles"]);
      result.current.propose("third", ["r003.particles", "r004.particles"]);
    });
    expect(result.current.draft?.values).toEqual({ particles: "r004.particles", other: "r003.particles" });
  });
});
