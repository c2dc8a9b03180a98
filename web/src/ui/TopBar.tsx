/** The bar over every page: where one is, and what is always at hand. */

import { useState, type ReactNode } from "react";
import { useSession } from "../api/session";
import { navigate, to } from "../router";
import { Icon } from "./Icon";
import { openPalette } from "./palette";
import { currentTheme, setTheme } from "./theme";
import "./topbar.css";

export function TopBar({ title, children }: { title?: ReactNode; children?: ReactNode }) {
  const [theme, show] = useState(currentTheme);
  const session = useSession();
  const other = theme === "dark" ? "light" : "dark";
  return (
    <header className="topbar">
      <a
        className="brand"
        href={to.projects()}
        onClick={(event) => {
          event.preventDefault();
          navigate(to.projects());
        }}
      >
        <img src="/icon.svg" alt="" width={22} height={22} /> cryoloom
      </a>
      <div className="row grow">{title}</div>
      {children}
      <button type="button" className="button palette-opener" onClick={openPalette} aria-keyshortcuts="Control+K">
        <Icon name="search" size={14} /> Go to … <kbd>Ctrl K</kbd>
      </button>
      {session.data?.role === "viewer" && <span className="soft">viewer</span>}
      <button
        type="button"
        className="button plain"
        aria-label={`Use ${other} colours`}
        onClick={() => {
          setTheme(other);
          show(other);
        }}
      >
        <Icon name={theme === "dark" ? "sun" : "moon"} />
      </button>
    </header>
  );
}
