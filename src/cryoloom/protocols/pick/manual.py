"""pick.manual: particles picked by hand on a few micrographs, and a model that learns from them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator

from cryoloom.data import Coordinates, Micrographs, PickingModel
from cryoloom.data.identity import new_id_space
from cryoloom.data.marks import BOX, MARKS, Look, Marks
from cryoloom.data.picks import on_micrographs, picked_on
from cryoloom.report.picks import learning_panel, picking_panels
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom, Pixels

MOST = 25
"""Micrographs that are learned from at the most; of more, as many that lie evenly among them."""

_LESSONS = {"id": pl.Int64, "lesson": pl.String}

Interactive = Annotated[
    Literal["auto", "yes", "no"], BeforeValidator(lambda value: {"true": "yes", "false": "no"}.get(str(value).lower(), value))
]
"""Other forms' yes and no are taken, too."""


@dataclass(frozen=True)
class PickedByHand(Outputs):
    """Without `model` there was too little to learn from."""

    coordinates: Coordinates
    discarded: Coordinates | None
    model: PickingModel | None


class ManualPick(
    Protocol,
    id="pick.manual",
    outputs=PickedByHand,
    cite=("10.1093/bioinformatics/btt429", "10.1109/TIP.2011.2147323", "10.1023/A:1018628609742"),
    aliases=("XmippProtParticlePicking",),
):
    """Mark the particles of about five micrographs, and let a model learn from them and from your corrections of its picks.

    The run waits (needs-you) until somebody has picked: in the browser, or by `project.picking(run)` in Python. Coordinates of an earlier
    picking or import take the place of that: what is on their micrographs and is not among them is taken for background, so let all
    particles be marked there. The model is what `pick.learned` picks other micrographs with.
    """

    micrographs: Micrographs = Input("Micrographs", help="The dose-weighted sums are used where there are any.")
    coordinates: Coordinates | None = Input(
        "Coordinates", optional=True, help="Picks to begin with, or to learn from alone. Their micrographs are found by name."
    )
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, wizard="particle-size", aliases=("particle_diameter",),
        help="Of the longest view; left empty it is that of the coordinates, or two thirds of the box. Half or twice finds parts, or pairs.",
    )  # fmt: skip
    box_size: Pixels | None = Param(
        "Box size", None, ge=8, wizard="box-size", aliases=("boxSize", "particleSize"),
        help="In px of the micrographs, 1.5 diameters; left empty it follows from the diameter. Too small a box cuts what tells particles apart.",
    )  # fmt: skip
    interactive: Interactive = Param(
        "Pick by hand", "auto", aliases=("doInteractive",),
        help="auto: unless there are coordinates. yes: the run waits for somebody who picks. no: it learns from the coordinates as they are.",
    )  # fmt: skip
    marked: Literal["micrograph", "around"] = Param(
        "All particles are marked", "micrograph", when="interactive=no",
        help="micrograph: on the whole of each micrograph that has coordinates. around: in the rectangle about them. Particles that are not "
        "marked there are learned as background.",
    )  # fmt: skip
    autopick_percent: float = Param(
        "Candidates looked at", 90, gt=0, le=100, advanced=True, aliases=("autopickPercent",),
        help="Per cent of the places with detail, the strongest, that the model is asked about. Low values lose faint particles.",
    )  # fmt: skip
    bright: bool = Param(
        "Bright particles", False, aliases=("invert",),
        help="Particles are brighter than their surroundings, as in negative stain. Wrong, and the model learns from what lies between them.",
    )  # fmt: skip
    save_discarded: bool = Param(
        "Keep what was discarded", False, aliases=("saveDiscarded",),
        help="As a set of its own: picks of the model that were removed, or hidden for their low score. Without it they are lost.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.interactive == "no" and self.coordinates is None:
            yield Hint("coordinates", "is needed where nobody picks", fix=None)
        diameter = self.known_diameter()
        if diameter is None:
            yield Hint("diameter", "is needed, or box_size: nothing else tells how large the particle is")
            return
        for width, height, size in self.micrographs.to_polars().select("width", "height", "pixel_size").unique().iter_rows():
            if width and height and BOX * diameter > 0.75 * min(width, height) * size:
                box, fitting = round(BOX * diameter / size), int(0.75 * min(width, height))
                name, fix = ("box_size", fitting) if self.box_size else ("diameter", float(int(fitting * size / BOX)))
                yield Hint(name, f"makes a box of {box} px, too large for micrographs of {width} × {height} px", fix=fix)
                return
        if self.coordinates is not None and on_micrographs(self.coordinates, self.micrographs).is_empty():
            example = self.coordinates.items["micrograph_name"].head(1).to_list()
            yield Hint(
                "coordinates", f"{f'lie on other micrographs ({example[0]} …)' if example else 'are none'}; pick at least 10 particles"
            )

    def automatic(self) -> Mapping[str, Any]:
        return {"diameter": self.known_diameter()}

    def known_diameter(self) -> float | None:
        """Return the particle's diameter, Å, from whichever parameter or input tells it."""
        if self.diameter is not None:
            return self.diameter
        if self.box_size is not None:
            return self.box_size * self.pixel_size / BOX
        told = self.coordinates.meta.get("diameter") if self.coordinates is not None else None
        return float(told) if told else None

    @property
    def pixel_size(self) -> float:
        """Return the coarsest pixel size of the micrographs, Å."""
        return max(float(size) for size in self.micrographs.of_groups("pixel_size").values())

    @property
    def waits(self) -> bool:
        """Return whether somebody is to pick."""
        return self.interactive == "yes" or (self.interactive == "auto" and self.coordinates is None)

    def start(self) -> Marks:
        """Return what there is before anybody has picked."""
        diameter = self.known_diameter()
        assert diameter is not None  # `check` asks for it
        if self.coordinates is None:
            return Marks(diameter)
        look = Look.REVIEW if self.waits else Look.MANUAL
        around = self.marked == "around" and not self.waits
        return Marks.of_coordinates(self.coordinates, self.micrographs, diameter, around=around, look=look)

    def run(self, job: Job) -> PickedByHand:
        marks = Marks.read(Path(job.output(MARKS))) if self.waits else self.start()
        if marks is None:
            raise Failure(
                "needs-you", "Particles are to be picked by hand.", "Pick, and save: in the browser, or by project.picking(run) in Python."
            )
        if not marks.count:
            raise Failure("no-picks", "pick.manual: no particle was picked.", "Pick at least 10 particles.")
        rows, spaces = self._rows(marks)
        meta = {"diameter": marks.diameter, "box_size": self._box(marks), "autopick_percent": self.autopick_percent}
        meta |= {"marked_micrographs": len({*rows["micrograph_id"]}), "id_space": spaces or new_id_space(rows)}
        coordinates = Coordinates(rows, job.root, optics=self.micrographs.optics, meta=meta)
        discarded = None
        if self.save_discarded and self.waits:
            gone = marks.rows(self.micrographs, rejected=True)
            discarded = Coordinates(gone, job.root, optics=self.micrographs.optics, meta={**meta, "id_space": new_id_space(gone)})
        return PickedByHand(coordinates, discarded, self._model(job, marks))

    def _rows(self, marks: Marks) -> tuple[pl.DataFrame, str]:
        """Return the picks, and the space of their ids if that was there before: coordinates that were given keep theirs."""
        if self.waits or self.coordinates is None:
            return marks.rows(self.micrographs), ""
        rows = on_micrographs(self.coordinates, self.micrographs)
        files = picked_on(self.micrographs.items).select("micrograph_path", micrograph_id="id")
        rows = rows.drop("micrograph_path", strict=False).join(files, on="micrograph_id", maintain_order="left")
        rows = rows.with_columns(picking_state=pl.lit(str(Look.MANUAL)), diameter=pl.lit(marks.diameter))
        return rows, str(self.coordinates.meta.get("id_space") or "")

    def _box(self, marks: Marks) -> int:
        changed = marks.diameter != self.known_diameter()
        return self.box_size if self.box_size and not changed else round(BOX * marks.diameter / self.pixel_size)

    def _model(self, job: Job, marks: Marks) -> PickingModel | None:
        """Learn; None with a warning where there is too little to learn from."""
        from cryoloom.formats.picking_model import NAME, StoredModel, read_examples, write_model
        from cryoloom.numerics.picking.descriptors import Grain
        from cryoloom.numerics.picking.learned import Model, TooFew

        grain = Grain.fitting(marks.diameter, self.pixel_size)
        lessons = self._lessons(job, marks)
        taught = pl.DataFrame({"id": list(lessons), "lesson": [json.dumps(each) for each in lessons.values()]}, schema=_LESSONS)
        taught = taught.with_columns(grain=pl.lit(grain.size), particle_diameter=pl.lit(grain.diameter))
        marked = picked_on(self.micrographs.enabled()).join(taught, on="id", maintain_order="left")
        work = Dataset(marked, job.root, optics=self.micrographs.optics)
        paths = job.map(self.alone().describe, work, name="examples").rows.sort("id")["examples_path"] if lessons else []
        try:
            model = Model.trained(grain, [read_examples(job.root / path) for path in paths], seed=job.seed)
        except TooFew as problem:
            job.warn(f"No model was made: {problem}.")
            return None
        about = {
            "diameter": marks.diameter, "box_size": self._box(marks), "pixel_size": self.pixel_size, "bright": self.bright,
            "autopick_percent": self.autopick_percent, "micrographs": len(paths), "particles": int(model.positive.sum()),
        }  # fmt: skip
        path = job.output(NAME)
        write_model(path, StoredModel(model, about))
        items = pl.DataFrame({"id": [1], "model_path": [path.relative_to(job.root).as_posix()]})
        return PickingModel(items, job.root, meta={**about, **model.estimates()})

    @staticmethod
    def _lessons(job: Job, marks: Marks) -> dict[int, dict[str, Any]]:
        """Return what the micrographs teach, by their ids, of `MOST` at the most."""
        lessons = {number: lesson for number, sheet in sorted(marks.sheets.items()) if (lesson := sheet.lesson(marks.least)) is not None}
        if len(lessons) <= MOST:
            return lessons
        job.warn(f"{len(lessons)} micrographs are marked; {MOST} of them are learned from.")
        numbers = list(lessons)
        return {number: lessons[number] for number in (numbers[place * len(numbers) // MOST] for place in range(MOST))}

    def describe(self, item: Item) -> Mapping[str, Any]:
        """Describe the places of one micrograph that there is something to learn from."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.formats.picking_model import write_examples
        from cryoloom.numerics.picking.descriptors import Grain, View
        from cryoloom.numerics.picking.learned import Lesson, examples_of

        torch.set_num_threads(1)
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        view = View.of(image, item["pixel_size"], Grain(item["grain"], item["particle_diameter"]), bright=self.bright)
        lesson = Lesson.of_json(json.loads(item["lesson"]))
        path = item.output("_examples.npz")
        write_examples(path, examples_of(view, lesson, item["particle_diameter"] / item["pixel_size"], seed=item.id))
        return {"examples_path": path}

    def summary(self, out: PickedByHand) -> Mapping[str, Any]:
        told: dict[str, Any] = {"particles": len(out.coordinates), "micrographs": out.coordinates.meta["marked_micrographs"]}
        if out.model is not None:
            told |= {"learned from": f"{out.model.meta['particles']} particles", "cross-validated precision": out.model.meta["precision"]}
            told |= {"cross-validated recall": out.model.meta["recall"]}
        return told

    def methods(self, out: PickedByHand) -> str:
        picked = f"{len(out.coordinates)} particles were picked by hand on {out.coordinates.meta['marked_micrographs']} micrographs"
        if out.model is None:
            return f"{picked}."
        about = out.model.meta
        return (
            f"{picked}, and a classifier of turn-free features learned from {about['particles']} of them (leave-one-out precision "
            f"{about['precision']:.2f}, recall {about['recall']:.2f})."
        )

    def report(self, out: PickedByHand) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc
        from cryoloom.formats.picking_model import read_model

        model = read_model(out.model.file(out.model.items["model_path"][0])).model if out.model is not None else None
        return [
            *picking_panels(out.coordinates, read_mrc),
            *([learning_panel(*model.curve())] if model is not None else []),
        ]
