"""What somebody marked on micrographs, as the picker leaves it and `pick.manual` reads it: one JSON file in the run's folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom import files
from cryoloom.data.kinds import Coordinates, Micrographs
from cryoloom.data.picks import on_micrographs, pick_rows, picked_on

MARKS = "marks.json"
"""The file; while it is not there, the run waits for somebody to pick."""
BOX = 1.5
"""Side of a box over the particle's diameter."""

Region = tuple[float, float, float, float]


class Look(StrEnum):
    """How far a micrograph has come, in the words that Xmipp's picker has for it."""

    AVAILABLE = "available"
    """Nothing is on it."""
    MANUAL = "manual"
    """Somebody picks."""
    SUPERVISED = "supervised"
    """The model has picked, and is being corrected."""
    REVIEW = "review"
    """Picks of another run are looked at."""
    CORRECTED = "corrected"
    """Somebody has said that the picks are right: everything on it can be learned from."""


@dataclass
class Pick:
    """A place in px; ``score`` is None if a person picked it. While somebody picks, ``number`` tells it from all others."""

    x: float
    y: float
    score: float | None = None
    number: int = 0


@dataclass
class Sheet:
    """One micrograph: its picks, those that were removed though the model had picked them, and the region that was picked in whole."""

    look: Look = Look.AVAILABLE
    picks: list[Pick] = field(default_factory=list)
    rejected: list[Pick] = field(default_factory=list)
    region: Region | None = None

    def standing(self, least: float) -> list[Pick]:
        """Return the picks by hand, and those of the model from the score `least` on."""
        return [pick for pick in self.picks if pick.score is None or pick.score >= least]

    def hidden(self, least: float) -> list[Pick]:
        """Return the model's picks of lower scores."""
        return [pick for pick in self.picks if pick.score is not None and pick.score < least]

    def lesson(self, least: float) -> dict[str, Any] | None:
        """Return what may be learned from it, as JSON: places of particles, of what is none, and where else there are none (None: anywhere).

        Picks of the model count once somebody has accepted them.
        """
        if self.look is Look.CORRECTED:
            return _lesson(self.standing(least), self.rejected, None)
        if self.look is Look.MANUAL:
            return _lesson([pick for pick in self.picks if pick.score is None], [], self.region)
        return None


@dataclass
class Marks:
    """All micrographs that somebody has looked at, by their id.

    Attributes
    ----------
    diameter
        Of the particle, Å.
    least
        Picks of the model of a lower score are hidden and left out.
    """

    diameter: float
    least: float = 0.5
    sheets: dict[int, Sheet] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return the number of picks."""
        return sum(len(sheet.standing(self.least)) for sheet in self.sheets.values())

    @classmethod
    def of_coordinates(cls, coordinates: Coordinates, micrographs: Micrographs, diameter: float, *, around: bool, look: Look) -> "Marks":
        """Return given coordinates as marks on `micrographs`, which are found by name; places are scaled by pixel sizes and offsets.

        Parameters
        ----------
        around
            What is outside the rectangle about a micrograph's picks was not looked at.
        """
        marks = cls(diameter)
        for rows in on_micrographs(coordinates, micrographs).partition_by("micrograph_id", maintain_order=True):
            score = look is Look.REVIEW
            picks = [Pick(row["x"], row["y"], row["score"] if score else None) for row in rows.iter_rows(named=True)]
            sheet = Sheet(look, picks)
            if around:
                xs, ys = [pick.x for pick in picks], [pick.y for pick in picks]
                sheet.region = (min(xs), min(ys), max(xs), max(ys))
            marks.sheets[int(rows["micrograph_id"][0])] = sheet
        return marks

    def rows(self, micrographs: Micrographs, *, rejected: bool = False) -> pl.DataFrame:
        """Return the picks, or what was removed and hidden, as rows of a set of coordinates."""
        about = {row["id"]: row for row in picked_on(micrographs.items).iter_rows(named=True)}
        frames = []
        for micrograph, sheet in sorted(self.sheets.items()):
            listed = [*sheet.rejected, *sheet.hidden(self.least)] if rejected else sheet.standing(self.least)
            columns = {
                "x": pl.Series([pick.x for pick in listed], dtype=pl.Float64),
                "y": pl.Series([pick.y for pick in listed], dtype=pl.Float64),
                "score": pl.Series([_score(pick, rejected) for pick in listed], dtype=pl.Float64),
                "picking_state": pl.Series([str(sheet.look)] * len(listed), dtype=pl.String),
            }
            frames.append(pick_rows(about[micrograph], self.diameter, **columns))
        return pl.concat(frames)

    def write(self, path: Path) -> None:
        """Write them as one file, which is whole or absent."""
        sheets = {str(number): _sheet_as_json(sheet) for number, sheet in self.sheets.items()}
        files.write_json(path, {"diameter": self.diameter, "least": self.least, "micrographs": sheets})

    @classmethod
    def read(cls, path: Path) -> "Marks | None":
        """Return what is in a file, None where there is none."""
        found = files.read_json(path)
        if found is None:
            return None
        sheets = {int(number): _sheet_of_json(each) for number, each in found["micrographs"].items()}
        return cls(found["diameter"], found["least"], sheets)


def _lesson(picks: list[Pick], rejected: list[Pick], region: Region | None) -> dict[str, Any]:
    return {"picks": [[pick.x, pick.y] for pick in picks], "rejected": [[pick.x, pick.y] for pick in rejected], "region": region}


def _score(pick: Pick, rejected: bool) -> float:
    return pick.score if pick.score is not None else 0.0 if rejected else 1.0


def _sheet_as_json(sheet: Sheet) -> dict[str, Any]:
    told: dict[str, Any] = {"state": sheet.look, "picks": _lists(sheet.picks), "rejected": _lists(sheet.rejected)}
    return told if sheet.region is None else {**told, "region": list(sheet.region)}


def _lists(picks: Iterable[Pick]) -> list[list[float | None]]:
    return [[pick.x, pick.y, pick.score] for pick in picks]


def _sheet_of_json(told: Mapping[str, Any]) -> Sheet:
    picks, rejected = ([Pick(*each) for each in told[name]] for name in ("picks", "rejected"))
    return Sheet(Look(told["state"]), picks, rejected, tuple(told["region"]) if told.get("region") else None)
