import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Dialog } from "./Dialog";

afterEach(cleanup);

function drawn(onClose: () => void) {
  return render(
    <>
      <button type="button">below</button>
      <Dialog title="Delete r002?" onClose={onClose}>
        <button type="button">Keep</button>
      </Dialog>
    </>,
  );
}

describe("a dialog", () => {
  it("has the focus, and takes it back from what lies below", () => {
    drawn(() => undefined);
    expect(document.activeElement).toBe(screen.getByText("Keep"));
    screen.getByText("below").focus();
    expect(document.activeElement).toBe(screen.getByText("Keep"));
  });

  it("closes with Escape wherever the focus is, and nothing else hears it", () => {
    const closed = vi.fn();
    const heard = vi.fn();
    drawn(closed);
    addEventListener("keydown", heard);
    (document.activeElement as HTMLElement).blur();
    fireEvent.keyDown(document.body, { key: "Escape" });
    removeEventListener("keydown", heard);
    expect(closed).toHaveBeenCalledTimes(1);
    expect(heard).not.toHaveBeenCalled();
  });

  it("gives the focus back when it goes", () => {
    const page = render(<button type="button">below</button>);
    page.getByText("below").focus();
    const dialog = render(
      <Dialog title="Notes" onClose={() => undefined}>
        <p>nothing to press</p>
      </Dialog>,
    );
    expect(document.activeElement).toBe(screen.getByRole("dialog"));
    dialog.unmount();
    expect(document.activeElement).toBe(page.getByText("below"));
  });
});
