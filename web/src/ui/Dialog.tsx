/** A dialog over the page: keeps the focus, closes with Escape, gives the focus back. */

import { useEffect, useId, useRef, type ReactNode } from "react";

const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), textarea:not(:disabled), [tabindex='0']";

export function Dialog({ title, wide = false, onClose, children }: { title: string; wide?: boolean; onClose: () => void; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const close = useRef(onClose);
  close.current = onClose;
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const inside = () => {
      const first = box.current?.querySelector<HTMLElement>("[autofocus], input, select, textarea") ?? box.current?.querySelector<HTMLElement>(FOCUSABLE);
      (first ?? box.current)?.focus();
    };
    // What lies below may ask for the focus late, and a button that goes away loses it: neither takes the keys from the dialog.
    const keep = (event: FocusEvent) => {
      const target = event.target as HTMLElement;
      if (!box.current?.contains(target) && !target.closest(".toasts")) inside();
    };
    const onEscape = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close.current();
    };
    inside();
    document.addEventListener("focusin", keep);
    document.addEventListener("keydown", onEscape);
    return () => {
      document.removeEventListener("focusin", keep);
      document.removeEventListener("keydown", onEscape);
      before?.focus();
    };
  }, []);
  const onTab = (event: React.KeyboardEvent) => {
    if (event.key !== "Tab" || !box.current) return;
    const all = [...box.current.querySelectorAll<HTMLElement>(FOCUSABLE)];
    const edge = event.shiftKey ? all[0] : all.at(-1);
    if (document.activeElement === edge) {
      event.preventDefault();
      (event.shiftKey ? all.at(-1) : all[0])?.focus();
    }
  };
  return (
    <div className="scrim" onMouseDown={(event) => event.target === event.currentTarget && onClose()}>
      <div ref={box} className={wide ? "dialog wide" : "dialog"} role="dialog" aria-modal="true" aria-labelledby={id} tabIndex={-1} onKeyDown={onTab}>
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </div>
  );
}
