"""The two ways in which somebody uses a page: a mouse, and a keyboard alone."""

from collections.abc import Sequence
from typing import Any


class Mouse:
    """Presses what is pointed at; types into what was clicked."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, what: Any) -> None:
        what.click()

    def fill(self, what: Any, text: str) -> None:
        what.fill(text)

    def open_tab(self, tab: Any) -> None:
        tab.click()

    def choose_rows(self, grid: Any, numbers: Sequence[int]) -> None:
        """Choose rows of a table by their number, from 1."""
        for number in numbers:
            grid.locator(f'[role="row"][aria-rowindex="{number + 1}"]').click(modifiers=["Control"])


class Keyboard(Mouse):
    """Walks with Tab, and in tabs, tables and trees with arrows, to what it wants, and never clicks."""

    FURTHEST = 100

    def press(self, what: Any) -> None:
        self._reach(what)
        self.page.keyboard.press("Enter")

    def fill(self, what: Any, text: str) -> None:
        self._reach(what)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def open_tab(self, tab: Any) -> None:
        tab.wait_for()
        self._reach(tab.locator('xpath=ancestor::*[@role="tablist"]').locator('[aria-selected="true"]'))
        for _ in range(20):
            if tab.get_attribute("aria-selected") == "true":
                return
            self.page.keyboard.press("ArrowRight")
        raise AssertionError(f"arrows do not lead to {tab}")

    def choose_rows(self, grid: Any, numbers: Sequence[int]) -> None:
        self._reach(grid)
        place = 1
        for number in numbers:
            for _ in range(number - place):
                self.page.keyboard.press("ArrowDown")
            self.page.keyboard.press("Space")
            place = number

    def _reach(self, what: Any) -> None:
        what.wait_for()
        tree = what.locator('xpath=ancestor::*[@role="tree"]')
        if tree.count():
            self._walk(tree, what)
        else:
            self._tab(what)

    def _walk(self, tree: Any, what: Any) -> None:
        """Reach a row of a tree, which is one stop of Tab, with its arrows."""
        self._tab(tree.locator('[tabindex="0"]'))
        self.page.keyboard.press("Home")
        for _ in range(self.FURTHEST):
            if what.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"arrows do not lead to {what}")

    def _tab(self, what: Any) -> None:
        for _ in range(self.FURTHEST):
            if what.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{what} cannot be reached with Tab")
