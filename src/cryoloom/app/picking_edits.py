"""What somebody does while picking, edit by edit: journalled before it counts, undone by leaving it out."""

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cryoloom.data.marks import Look, Marks, Pick, Sheet
from cryoloom.engine.events import append_line, read_lines

JOURNAL = "picking.jsonl"

Edit = Mapping[str, Any]


class Edits:
    """The marks of a picking, and all that led to them.

    Parameters
    ----------
    path
        The journal; what is in it already is taken up.
    start
        What there was before anybody picked.
    """

    def __init__(self, path: Path, start: Marks) -> None:
        self._path, self._start = path, start
        number = 0
        for sheet in start.sheets.values():
            for pick in sheet.picks:
                number += 1
                pick.number = number
        self._edits: list[Edit] = [*read_lines(path)]
        self._last = max([number, *(int(edit["last"]) for edit in self._edits if "last" in edit)])
        self.marks = _replayed(start, self._edits)

    def write(self, do: str, **about: Any) -> None:
        """Journal an edit and carry it out."""
        edit = {"do": do, **about}
        append_line(self._path, edit)
        self._edits.append(edit)
        if do in ("undo", "redo"):
            self.marks = _replayed(self._start, self._edits)
        else:
            _DEEDS[do](self.marks, edit)

    def numbers(self, count: int) -> list[int]:
        """Return numbers for new picks; an edit that gives them names the ``last``."""
        self._last += count
        return list(range(self._last - count + 1, self._last + 1))

    @property
    def count(self) -> int:
        """Return how many edits there were."""
        return len(self._edits)

    @property
    def last(self) -> Edit | None:
        """Return the edit that would be undone; None: there is none."""
        standing, _ = _history(self._edits)
        return next((edit for edit in reversed(standing) if edit["do"] not in _LASTING), None)

    @property
    def undone(self) -> Edit | None:
        """Return the edit that would be made again; None: there is none."""
        _, undone = _history(self._edits)
        return undone[-1] if undone else None

    @property
    def trained(self) -> bool:
        """Return whether a model has been asked for."""
        return any(edit["do"] == "train" for edit in self._edits)


def _history(edits: Iterable[Edit]) -> tuple[list[Edit], list[Edit]]:
    """Return the edits that stand, and those that were undone and nothing has been done by hand since."""
    standing: list[Edit] = []
    undone: list[Edit] = []
    for edit in edits:
        if edit["do"] == "undo":
            place = next((place for place in reversed(range(len(standing))) if standing[place]["do"] not in _LASTING), None)
            if place is not None:
                undone.append(standing.pop(place))
        elif edit["do"] == "redo":
            if undone:
                standing.append(undone.pop())
        else:
            standing.append(edit)
            if edit["do"] not in _LASTING:
                undone.clear()
    return standing, undone


def _replayed(start: Marks, edits: Iterable[Edit]) -> Marks:
    marks = copy.deepcopy(start)
    standing, _ = _history(edits)
    for edit in standing:
        _DEEDS[edit["do"]](marks, edit)
    return marks


# -- what edits do ----------------------------------------------------------------------------------------------


def _sheet(marks: Marks, edit: Edit) -> Sheet:
    return marks.sheets.setdefault(int(edit["micrograph"]), Sheet())


def _settle(sheet: Sheet) -> None:
    """Tell a micrograph that somebody began to pick from one without picks."""
    if sheet.look is Look.AVAILABLE and sheet.picks:
        sheet.look = Look.MANUAL
    elif sheet.look is Look.MANUAL and not sheet.picks and sheet.region is None:
        sheet.look = Look.AVAILABLE


def _pick(marks: Marks, edit: Edit) -> None:
    sheet = _sheet(marks, edit)
    sheet.picks += [Pick(x, y, None, number) for number, (x, y) in zip(edit["numbers"], edit["places"], strict=True)]
    _settle(sheet)


def _remove(marks: Marks, edit: Edit) -> None:
    sheet = _sheet(marks, edit)
    gone = [pick for pick in sheet.picks if pick.number in edit["numbers"]]
    sheet.picks = [pick for pick in sheet.picks if pick.number not in edit["numbers"]]
    sheet.rejected += [pick for pick in gone if pick.score is not None]
    _settle(sheet)


def _move(marks: Marks, edit: Edit) -> None:
    for pick in _sheet(marks, edit).picks:
        if pick.number == edit["number"]:
            pick.x, pick.y, pick.score = edit["x"], edit["y"], None  # where it is now, a person has put it


def _region(marks: Marks, edit: Edit) -> None:
    sheet = _sheet(marks, edit)
    sheet.region = tuple(edit["region"]) if edit["region"] else None
    _settle(sheet)


def _auto(marks: Marks, edit: Edit) -> None:
    """Take the model's picks in place of its earlier ones."""
    sheet = _sheet(marks, edit)
    picks = [Pick(x, y, score, number) for number, (x, y, score) in zip(edit["numbers"], edit["picks"], strict=True)]
    sheet.picks = [pick for pick in sheet.picks if pick.score is None] + picks
    if sheet.look is Look.AVAILABLE:
        sheet.look = Look.SUPERVISED


def _accept(marks: Marks, edit: Edit) -> None:
    _sheet(marks, edit).look = Look.CORRECTED


def _reopen(marks: Marks, edit: Edit) -> None:
    sheet = _sheet(marks, edit)
    sheet.look = Look.SUPERVISED if any(pick.score is not None for pick in sheet.picks) else Look.MANUAL
    _settle(sheet)


def _least(marks: Marks, edit: Edit) -> None:
    marks.least = float(edit["least"])


def _diameter(marks: Marks, edit: Edit) -> None:
    marks.diameter = float(edit["diameter"])


def _nothing(marks: Marks, edit: Edit) -> None:
    """Leave the marks as they are."""


_DEEDS: dict[str, Callable[[Marks, Edit], None]] = {
    "pick": _pick, "remove": _remove, "move": _move, "region": _region, "auto": _auto, "accept": _accept, "reopen": _reopen,
    "least": _least, "diameter": _diameter, "train": _nothing,
}  # fmt: skip
_LASTING = frozenset({"auto", "train"})
"""Edits of the machine: they are not undone."""
