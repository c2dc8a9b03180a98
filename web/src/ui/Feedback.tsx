/** States of a page that has nothing to show yet, nothing to show at all, or cannot show it. */

import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { Icon } from "./Icon";

export const Loading = ({ what }: { what: string }) => (
  <div className="empty" role="status">
    <Icon name="spinner" size={22} spin />
    Loading {what} …
  </div>
);

export const Empty = ({ children }: { children: ReactNode }) => <div className="empty">{children}</div>;

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof ApiError ? error.problem : { code: "", message: String(error), cure: "" };
  return (
    <div className="notice bad" role="alert">
      {problem.message} <span className="cure">{problem.cure}</span> {problem.code && <span className="soft">[{problem.code}]</span>}
      {retry && (
        <button type="button" className="button plain" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
