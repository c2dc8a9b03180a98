/** What a run printed, read piece by piece while it works. */

import { useEffect, useRef, useState } from "react";
import { at, get } from "./client";
import type { Logged } from "./schema";

/** Bytes at the end of a long log that are read. */
const TAIL = 200_000;
const PAUSE = 1000;

export function useLog(project: string, run: string, active: boolean): { text: string; error: unknown } {
  const [text, setText] = useState("");
  const [error, setError] = useState<unknown>(null);
  const offset = useRef(-TAIL);
  useEffect(() => {
    let over = false;
    let timer = 0;
    const read = async () => {
      try {
        const piece = await get<Logged>(`${at.run(project, run)}/log`, { after: offset.current });
        if (over) return;
        setError(null);
        offset.current = piece.offset;
        if (piece.text) setText((before) => before + piece.text);
        if (piece.offset < piece.size) return void read();
      } catch (problem) {
        if (!over) setError(problem);
      }
      if (!over && active) timer = window.setTimeout(() => void read(), PAUSE);
    };
    void read();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [project, run, active]);
  return { text, error };
}
