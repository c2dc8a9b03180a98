"""A picking as it is worked at, by the browser or a script: marks, a model that learns from them, its picks, and corrections.

Everything is journalled in the run's folder before it counts: kill the program at any time and open the picking again. Several threads may work
at one picking: edits wait for each other, and never for a model that learns or picks.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom.app import catalogue, forms
from cryoloom.app.picking_edits import JOURNAL, Edits
from cryoloom.app.runs import Run
from cryoloom.data import Micrographs
from cryoloom.data.marks import BOX, MARKS, Look, Marks, Pick, Region, Sheet
from cryoloom.engine.inputs import open_inputs
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import WrongUse

if TYPE_CHECKING:
    from cryoloom.numerics.picking.descriptors import View
    from cryoloom.numerics.picking.learned import Examples, Model

VIEWS = 6
"""Micrographs that are kept ready to be described."""
DISTANCE = 0.75
"""Least distance of the model's picks, diameters."""


def open_picking(run: Run) -> "PickingSession":
    """Open the picking of a run of `pick.manual` that waits for somebody; `PickingSession.save` lets it finish.

    Raises
    ------
    WrongUse
        ``not-picking``: of another protocol, or one that learns from coordinates as they are. ``run-active``, ``run-finished``.
    """
    if run.protocol != "pick.manual":
        raise WrongUse("not-picking", f"{run.id} is of {run.protocol}, which nobody picks in.", "Give a run of pick.manual.")
    if run.state in ACTIVE:
        raise WrongUse("run-active", f"{run.id} is {run.state}.", "Wait for it, or stop it first.")
    if run.state is State.FINISHED:
        raise WrongUse("run-finished", f"{run.id} has been saved; runs are never changed.", f"Begin anew: project.restart('{run.id}').")
    protocol = catalogue.protocol(run.protocol)
    inputs, _ = open_inputs(run.folder, catalogue.protocol)
    form: Any = forms.build(protocol, run.parameters, inputs)
    if not form.waits:
        raise WrongUse("not-picking", f"{run.id} learns from its coordinates as they are.", "Make it with --interactive yes.")
    return PickingSession(
        form.micrographs, run.folder.path, form.start(), bright=form.bright, share=form.autopick_percent / 100.0, seed=run.seed,
        finish=lambda wait: run.resume(wait=wait),
    )  # fmt: skip


class PickingSession:
    """Micrographs that somebody picks on.

    Micrographs are named by their ids, places are px of theirs, row 0 first; picks have numbers that stay theirs.

    Parameters
    ----------
    micrographs
        The set.
    folder
        Where the journal lies, and in the end the marks.
    start
        What there is before anybody picks; its diameter may be changed.
    bright
        Particles are brighter than what is around them.
    share
        Part of the candidates that the model is asked about.
    finish
        What else `save` does, told whether to wait for its end; it returns what that does.
    """

    def __init__(
        self,
        micrographs: Micrographs,
        folder: Path,
        start: Marks,
        *,
        bright: bool = False,
        share: float = 0.9,
        seed: int = 0,
        finish: Callable[[bool], Any] = lambda _wait: None,
    ) -> None:
        self._rows = {row["id"]: row for row in micrographs.enabled().iter_rows(named=True)}
        self._set, self._folder = micrographs, Path(folder)
        self._bright, self._share, self._seed, self._finish = bright, share, seed, finish
        self._edits = Edits(self._folder / JOURNAL, start)
        self._views: OrderedDict[tuple[int, float], View] = OrderedDict()
        self._examples: dict[int, tuple[str, Examples]] = {}
        self._model: Model | None = None
        self._editing, self._learning = threading.RLock(), threading.RLock()

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def marks(self) -> Marks:
        """Return all marks as they stand."""
        return self._edits.marks

    @property
    def revision(self) -> int:
        """Return a number that every edit makes larger, also over kills: an equal one says that nothing has changed."""
        return self._edits.count

    @property
    def can_undo(self) -> bool:
        """Return whether there is an edit that could be taken back."""
        return self._edits.last is not None

    @property
    def can_redo(self) -> bool:
        """Return whether there is an edit that could be made again."""
        return self._edits.undone is not None

    @property
    def trained(self) -> bool:
        """Return whether a model has been asked for."""
        return self._edits.trained

    @property
    def estimates(self) -> dict[str, float] | None:
        """Return what `train` said last; None where nothing has been learned since this session was opened."""
        return None if self._model is None else {**self._model.estimates(), "particles": int(self._model.positive.sum())}

    @property
    def diameter(self) -> float:
        """Return the particle's diameter, Å."""
        return self.marks.diameter

    @property
    def model(self) -> "Model":
        """Return the model that autopicks; one that an earlier session had is learned again.

        Raises
        ------
        WrongUse
            ``not-trained``.
        """
        if self._model is None:
            if not self._edits.trained:
                raise WrongUse("not-trained", "There is no model yet.", "Pick at least 10 particles, then train.")
            self.train()
        assert self._model is not None
        return self._model

    def micrograph(self, number: int) -> dict[str, Any]:
        """Return the row of a micrograph, with the columns of its optics group."""
        try:
            return self._rows[number]
        except KeyError:
            raise WrongUse("unknown-micrograph", f"The set has no micrograph {number}.", "Choose one of its ids.") from None

    def box_size(self, micrograph: int) -> int:
        """Return the side of a box on a micrograph, px."""
        return round(BOX * self.diameter / self.micrograph(micrograph)["pixel_size"])

    def micrographs(self) -> pl.DataFrame:
        """Return the list that a picker shows: ``id``, ``name``, ``manual`` and ``auto`` (numbers of picks), ``state``."""
        least, rows = self.marks.least, []
        for number, row in self._rows.items():
            sheet = self.marks.sheets.get(number, Sheet())
            picks = sheet.standing(least)
            by_hand = sum(pick.score is None for pick in picks)
            rows.append((number, row["micrograph_name"], by_hand, len(picks) - by_hand, str(sheet.look)))
        schema = {"id": pl.Int64, "name": pl.String, "manual": pl.Int64, "auto": pl.Int64, "state": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def picks(self, micrograph: int) -> pl.DataFrame:
        """Return the picks of a micrograph: ``number``, ``x``, ``y``, and ``score``, null for those by hand."""
        self.micrograph(micrograph)
        picks = self.marks.sheets.get(micrograph, Sheet()).standing(self.marks.least)
        schema = {"number": pl.Int64, "x": pl.Float64, "y": pl.Float64, "score": pl.Float64}
        return pl.DataFrame([(pick.number, pick.x, pick.y, pick.score) for pick in picks], schema=schema, orient="row")

    def region(self, micrograph: int) -> Region | None:
        """Return the region of a micrograph that is picked in whole; None: all of it."""
        self.micrograph(micrograph)
        return self.marks.sheets.get(micrograph, Sheet()).region

    def next(self) -> int | None:
        """Return the first micrograph that nobody has looked at; None where there is none."""
        return next((number for number in self._rows if self.marks.sheets.get(number, Sheet()).look is Look.AVAILABLE), None)

    @contextmanager
    def at(self, revision: int) -> Iterator[None]:
        """Let edits in the context be made only if nothing has changed since a revision; those of others wait until its end.

        Raises
        ------
        WrongUse
            ``picking-changed``.
        """
        with self._editing:
            if revision != self.revision:
                raise WrongUse("picking-changed", f"The picking is at revision {self.revision}, not {revision}.", "Look again.")
            yield

    # -- edits ---------------------------------------------------------------------------------------------------

    def add(self, micrograph: int, x: float, y: float) -> int:
        """Pick a particle and return its number."""
        return self.add_many(micrograph, [(x, y)])[0]

    def add_many(self, micrograph: int, places: Sequence[Sequence[float]]) -> list[int]:
        """Pick particles, as one edit, and return their numbers.

        Raises
        ------
        WrongUse
            ``outside``: a place is not on the micrograph.
        """
        row = self.micrograph(micrograph)
        points = [self._inside(row, x, y) for x, y in places]
        with self._editing:
            numbers = self._edits.numbers(len(points))
            self._edits.write("pick", micrograph=micrograph, numbers=numbers, places=points, last=numbers[-1] if numbers else 0)
        return numbers

    def remove(self, micrograph: int, *numbers: int) -> None:
        """Take picks away; the model learns that those it had made are no particles."""
        with self._editing:
            for number in numbers:
                self._pick(micrograph, number)
            self._edits.write("remove", micrograph=micrograph, numbers=list(numbers))

    def remove_nearest(self, micrograph: int, x: float, y: float) -> int | None:
        """Take away the pick nearest to a place, if the place is in its circle; return its number."""
        reach = self.diameter / self.micrograph(micrograph)["pixel_size"] / 2
        with self._editing:
            picks = self.picks(micrograph).with_columns(away=((pl.col("x") - x) ** 2 + (pl.col("y") - y) ** 2).sqrt())
            near = picks.filter(pl.col("away") <= reach).sort("away")
            if near.is_empty():
                return None
            self.remove(micrograph, number := int(near["number"][0]))
        return number

    def move(self, micrograph: int, number: int, x: float, y: float) -> None:
        """Move a pick; from then on it is one by hand."""
        x, y = self._inside(self.micrograph(micrograph), x, y)
        with self._editing:
            self._pick(micrograph, number)
            self._edits.write("move", micrograph=micrograph, number=number, x=x, y=y)

    def set_region(self, micrograph: int, region: Region | None) -> None:
        """Say in which part, px (x and y of its first corner, then of the last), all particles are picked; None: on the whole micrograph."""
        self.micrograph(micrograph)
        if region is not None and not (region[0] < region[2] and region[1] < region[3]):
            raise WrongUse("bad-region", f"The region {region} is empty.", "Give x and y of its first corner, then those of its last.")
        with self._editing:
            self._edits.write("region", micrograph=micrograph, region=None if region is None else [float(each) for each in region])

    def set_least(self, least: float) -> None:
        """Hide the model's picks of lower scores."""
        with self._editing:
            self._edits.write("least", least=float(least))

    def set_diameter(self, diameter: float) -> None:
        """Change the particle's diameter, Å: what was learned is learned anew."""
        if not diameter > 0:
            raise WrongUse("bad-diameter", f"The diameter {diameter:g} Å is not above 0.", "Give it in Å.")
        with self._editing:
            self._edits.write("diameter", diameter=float(diameter))
            self._model = None

    def undo(self) -> int | None:
        """Take back the last edit by hand and return the micrograph it was made on, if on one; raises `WrongUse` where there is none."""
        with self._editing:
            undone = self._edits.last
            if undone is None:
                raise WrongUse("nothing-to-undo", "There is no edit that could be taken back.")
            self._turn("undo")
        return undone.get("micrograph")

    def redo(self) -> int | None:
        """Make the edit again that was taken back last, and return as `undo` does; raises `WrongUse` where there is none."""
        with self._editing:
            again = self._edits.undone
            if again is None:
                raise WrongUse("nothing-to-redo", "No edit has been taken back since the last one by hand.")
            self._turn("redo")
        return again.get("micrograph")

    def _turn(self, do: str) -> None:
        before = self.diameter
        self._edits.write(do)
        if self.diameter != before:
            self._model = None

    # -- learning ------------------------------------------------------------------------------------------------

    def train(self) -> dict[str, float]:
        """Learn from all that was picked by hand or accepted; return ``precision`` and ``recall`` by cross-validation, and ``particles``.

        Only what has changed since the last time is described again.

        Raises
        ------
        WrongUse
            ``too-few-picks``; ``diameter-changed``, meanwhile.
        """
        from cryoloom.numerics.picking.learned import Model, TooFew

        with self._learning:
            with self._editing:
                diameter, marks = self.diameter, self.marks
                taught = {number: lesson for number, sheet in sorted(marks.sheets.items()) if (lesson := sheet.lesson(marks.least))}
            examples = [self._taught(number, lesson, diameter) for number, lesson in taught.items()]
            try:
                model = Model.trained(self._grain(diameter), examples, seed=self._seed)
            except TooFew as problem:
                raise WrongUse("too-few-picks", f"Nothing can be learned yet: {problem}.", "Pick more, then train again.") from problem
            with self._editing:
                self._demand_diameter(diameter)
                self._model = model
                if not self._edits.trained:
                    self._edits.write("train")
            return {**model.estimates(), "particles": int(model.positive.sum())}

    def autopick(self, micrograph: int) -> pl.DataFrame:
        """Let the model pick a micrograph, in place of its earlier picks; what was picked by hand or removed stays so. Return its picks.

        Raises
        ------
        WrongUse
            ``not-trained``; ``corrected``: the micrograph has been accepted; ``diameter-changed``, meanwhile.
        """
        from cryoloom.numerics.picking.learned import pick

        row = self.micrograph(micrograph)
        self._demand_open(micrograph)
        with self._learning:
            diameter, model = self.diameter, self.model
            across = diameter / row["pixel_size"]
            found = pick(self._view(micrograph, diameter), model, least=0.0, distance=DISTANCE * across, share=self._share)
            with self._editing:
                self._demand_diameter(diameter)
                self._demand_open(micrograph)
                picks = self._beside(micrograph, found, 0.5 * DISTANCE * across)
                numbers = self._edits.numbers(len(picks))
                self._edits.write("auto", micrograph=micrograph, numbers=numbers, picks=picks, last=numbers[-1] if numbers else 0)
                return self.picks(micrograph)

    def accept(self, micrograph: int) -> dict[str, float] | None:
        """Say that the picks of a micrograph are right and complete; a model that is in use learns from it at once, and `train`'s answer is returned."""
        self.micrograph(micrograph)
        with self._editing:
            self._edits.write("accept", micrograph=micrograph)
        return self.train() if self._edits.trained else None

    def reopen(self, micrograph: int) -> None:
        """Take an acceptance back."""
        self.micrograph(micrograph)
        with self._editing:
            self._edits.write("reopen", micrograph=micrograph)

    def save(self, *, wait: bool = True) -> Any:
        """Write the marks down for good and let the run finish with them; return the run, finished or, without `wait`, under way.

        Raises
        ------
        WrongUse
            ``no-picks``.
        """
        with self._editing:
            if not self.marks.count:
                raise WrongUse("no-picks", "No particle has been picked.", "Pick at least 10 particles.")
            self.marks.write(self._folder / MARKS)
        return self._finish(wait)

    # -- inside --------------------------------------------------------------------------------------------------

    def _pick(self, micrograph: int, number: int) -> Pick:
        self.micrograph(micrograph)
        for pick in self.marks.sheets.get(micrograph, Sheet()).picks:
            if pick.number == number:
                return pick
        raise WrongUse("unknown-pick", f"Micrograph {micrograph} has no pick {number}.", "Choose one of its numbers.")

    @staticmethod
    def _inside(row: dict[str, Any], x: float, y: float) -> tuple[float, float]:
        if not (-0.5 <= x <= row["width"] - 0.5 and -0.5 <= y <= row["height"] - 0.5):
            name = row["micrograph_name"]
            raise WrongUse("outside", f"({x:g}, {y:g}) is not on {name}, of {row['width']} × {row['height']} px.", "Give px of it.")
        return float(x), float(y)

    def _demand_open(self, micrograph: int) -> None:
        if self.marks.sheets.get(micrograph, Sheet()).look is Look.CORRECTED:
            raise WrongUse("corrected", f"{self.micrograph(micrograph)['micrograph_name']} has been accepted.", "Reopen it first.")

    def _demand_diameter(self, diameter: float) -> None:
        if self.diameter != diameter:
            raise WrongUse("diameter-changed", f"The diameter has become {self.diameter:g} Å meanwhile.", "Train again.")

    def _beside(self, micrograph: int, found: Any, least: float) -> list[list[float]]:
        """Return those of the model's picks, ``x, y, score``, that are not within `least` px of what somebody picked or removed."""
        import numpy as np

        sheet = self.marks.sheets.get(micrograph, Sheet())
        fixed = np.array([(each.x, each.y) for each in (*sheet.rejected, *(p for p in sheet.picks if p.score is None))]).reshape(-1, 2)
        places = np.stack([found.x, found.y], axis=1)
        free = (np.linalg.norm(places[:, None] - fixed[None], axis=2) > least).all(axis=1)
        return [[float(x), float(y), float(score)] for (x, y), score in zip(places[free], found.score[free], strict=True)]

    def _grain(self, diameter: float) -> Any:
        from cryoloom.numerics.picking.descriptors import Grain

        return Grain.fitting(diameter, max(float(size) for size in self._set.of_groups("pixel_size").values()))

    def _view(self, micrograph: int, diameter: float) -> "View":
        """Return a micrograph ready to be described; the last few are kept."""
        import numpy as np

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.picking.descriptors import View

        key = (micrograph, diameter)
        if key not in self._views:
            row = self.micrograph(micrograph)
            image = np.squeeze(read_mrc(self._set.file(row.get("weighted_path") or row["micrograph_path"])).data)
            try:
                self._views[key] = View.of(image, row["pixel_size"], self._grain(diameter), bright=self._bright)
            except ValueError as problem:
                raise WrongUse(
                    "diameter-too-large", f"{row['micrograph_name']}: {problem}.", "Give a smaller diameter or box."
                ) from problem
        self._views.move_to_end(key)
        while len(self._views) > VIEWS:
            self._views.popitem(last=False)
        return self._views[key]

    def _taught(self, micrograph: int, lesson: dict[str, Any], diameter: float) -> "Examples":
        """Return the examples of a micrograph, described again only if its lesson has changed."""
        from cryoloom.numerics.picking.learned import Lesson, examples_of

        told = json.dumps([lesson, diameter])
        known = self._examples.get(micrograph)
        if known is None or known[0] != told:
            across = diameter / self.micrograph(micrograph)["pixel_size"]
            examples = examples_of(self._view(micrograph, diameter), Lesson.of_json(lesson), across, seed=micrograph)
            known = self._examples[micrograph] = (told, examples)
        return known[1]
