/** A button that opens a list of actions; arrows move in it, Escape closes it. */

import { useEffect, useRef, useState, type ReactNode } from "react";
import { Icon, type IconName } from "./Icon";
import "./menu.css";

export interface Action {
  icon: IconName;
  text: string;
  onChoose?: () => void;
  /** A file to save instead. */
  href?: string;
  danger?: boolean;
}

export function Menu({ label, actions, children }: { label: string; actions: readonly Action[]; children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const items = () => [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
  useEffect(() => {
    if (!open) return;
    items()[0]?.focus();
    const away = (event: PointerEvent) => !box.current?.contains(event.target as Element) && setOpen(false);
    addEventListener("pointerdown", away);
    return () => removeEventListener("pointerdown", away);
  }, [open]);
  const close = () => {
    setOpen(false);
    box.current?.querySelector<HTMLElement>("button")?.focus();
  };
  const onKey = (event: React.KeyboardEvent) => {
    if (!open) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    if (event.key === "Escape") event.stopPropagation();
    if (!step) return;
    event.preventDefault();
    const all = items();
    all[(all.indexOf(document.activeElement as HTMLElement) + step + all.length) % all.length]?.focus();
  };
  return (
    <div ref={box} className="menu" onKeyDown={onKey}>
      <button type="button" className="button plain" aria-haspopup="menu" aria-expanded={open} aria-label={label} title={label} onClick={() => setOpen(!open)}>
        {children}
      </button>
      {open && (
        <div role="menu" aria-label={label}>
          {actions.map(({ icon, text, onChoose, href, danger }) =>
            href ? (
              <a key={text} role="menuitem" tabIndex={-1} href={href} download onClick={close}>
                <Icon name={icon} /> {text}
              </a>
            ) : (
              <button
                key={text}
                type="button"
                role="menuitem"
                tabIndex={-1}
                className={danger ? "danger" : undefined}
                onClick={() => {
                  close();
                  onChoose?.();
                }}
              >
                <Icon name={icon} /> {text}
              </button>
            ),
          )}
        </div>
      )}
    </div>
  );
}
