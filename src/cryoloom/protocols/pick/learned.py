"""pick.learned: particles as a model picks them that learned from picks by hand."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, CTFs, Micrographs, PickingModel
from cryoloom.data.identity import new_id_space
from cryoloom.data.marks import BOX
from cryoloom.data.picking import Border, Most, Picked, pick_counts, to_be_picked
from cryoloom.data.picks import pick_rows
from cryoloom.report.picks import learning_panel, picking_panels
from cryoloom.spec import AbsolutePath, Failure, Hint, Input, Item, Job, Panel, Param, Protocol
from cryoloom.units import Angstrom


class LearnedPick(
    Protocol,
    id="pick.learned",
    outputs=Picked,
    cite=("10.1093/bioinformatics/btt429", "10.1109/TIP.2011.2147323", "10.1023/A:1018628609742"),
    aliases=("XmippParticlePickingAutomatic",),
    streams="micrographs",
):
    """Pick with a model of `pick.manual`: the places with fine dark detail that look, whichever way they are turned, like what was picked by hand.

    The score is the probability of being a particle, calibrated on examples that the model was not shown. Micrographs of another pixel size are
    read at the model's own scale.
    """

    micrographs: Micrographs = Input("Micrographs", help="The dose-weighted sums are used where there are any.")
    model: PickingModel | None = Input(
        "Model", optional=True, aliases=("xmippParticlePicking",), help="What pick.manual learned, of this project."
    )
    ctfs: CTFs | None = Input("CTFs", optional=True, help="With them, micrographs without a believable CTF are left out.")
    model_path: AbsolutePath = Param(
        "Model from elsewhere", "", help="A file picking_model.npz or the folder it is in, in place of a model of this project."
    )
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, advanced=True, aliases=("particle_diameter",),
        help="Empty: the model's own. Another one is a mistake as a rule: the model knows particles of its own size only.",
    )  # fmt: skip
    least: float = Param(
        "Least score", 0.5, ge=0, le=1, advanced=True, aliases=("scoreThreshold", "threshold"),
        help="Picks that are less likely to be particles are left out. Low values bring contaminants, high ones lose faint particles.",
    )  # fmt: skip
    distance: float = Param(
        "Least distance", 0.75, ge=0.2, le=2, advanced=True,
        help="Between picks, in diameters; of two that are nearer the less likely one goes. Too small picks a particle twice.",
    )  # fmt: skip
    border: Border
    most: Most

    def check(self) -> Iterator[Hint]:
        if (self.model is None) == (not self.model_path):
            both = "and model_path are given; give one of them" if self.model_path else "or model_path is needed: pick.manual makes a model"
            yield Hint("model", both)
            return
        try:
            about = self._stored().about
        except Failure as problem:
            yield Hint("model_path" if self.model_path else "model", f"cannot be used: {problem}")
            return
        diameter = float(about["diameter"])
        for width, height, size in self.micrographs.to_polars().select("width", "height", "pixel_size").unique().iter_rows():
            if width and height and diameter > 0.5 * min(width, height) * size:
                box = round(BOX * diameter / size)
                yield Hint("model", f"is of boxes of {box} px, too large for micrographs of {width} × {height} px")
                return
        if self.diameter is not None and abs(self.diameter / diameter - 1) > 0.1:
            yield Hint("diameter", f"is not that of the model, {diameter:g} Å, which is used", fix=diameter, error=False)
        sizes = {round(float(size), 3) for size in self.micrographs.of_groups("pixel_size").values()} - {round(about["pixel_size"], 3)}
        if sizes:
            words = " and ".join(f"{size:g}" for size in sorted(sizes))
            yield Hint("model", f"was made at {about['pixel_size']:g} Å/px; micrographs of {words} Å/px are rescaled to it", error=False)

    def fingerprint(self) -> Any:
        from cryoloom.formats import sources
        from cryoloom.formats.picking_model import model_file

        return sources.fingerprint([model_file(Path(self.model_path))]) if self.model_path else None

    def run(self, job: Job) -> Picked:
        work = to_be_picked(self.micrographs, self.ctfs, job, self.id)
        about = self._stored().about
        form = self.model_copy(update={"micrographs": None, "ctfs": None})
        rows = job.map(form.picks, work, name="micrographs").rows.sort("id")
        rows_of = {row["id"]: row for row in work.items.iter_rows(named=True)}
        picks = pl.concat(
            pick_rows(
                rows_of[row["id"]], about["diameter"], **{name: pl.Series(row[name], dtype=pl.Float64) for name in ("x", "y", "score")}
            )
            for row in rows.iter_rows(named=True)
        )
        meta = {"diameter": float(about["diameter"]), "picked_micrographs": rows.height, "candidates": int(rows["candidates"].sum())}
        meta |= {"box_size": about["box_size"], "learned_from": about["particles"], "id_space": new_id_space(picks)}
        if picks.is_empty():
            job.warn(f"No particle was found on {rows.height} micrographs: does the model belong to this specimen?")
        return Picked(Coordinates(picks, job.root, optics=self.micrographs.optics, meta=meta))

    def picks(self, item: Item) -> Mapping[str, Any]:
        """Pick one micrograph."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.picking.descriptors import View
        from cryoloom.numerics.picking.learned import pick

        torch.set_num_threads(1)
        stored = self._stored()
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        grain = stored.model.grain
        try:
            view = View.of(image, item["pixel_size"], grain, bright=stored.about["bright"], border=self.border)
        except ValueError as problem:
            raise Failure(
                "diameter-too-large", f"{item['micrograph_name']}: {problem}.", "Give micrographs as they were picked."
            ) from problem
        distance = self.distance * grain.diameter / item["pixel_size"]
        share = stored.about["autopick_percent"] / 100.0
        found = pick(view, stored.model, least=self.least, distance=distance, share=share, most=self.most)
        places = {"x": found.x.tolist(), "y": found.y.tolist(), "score": found.score.tolist()}
        return {**places, "candidates": len(view.candidates.x)}

    def _stored(self) -> Any:
        """Return the model and what is said of it."""
        from cryoloom.formats.picking_model import read_model

        if self.model is None:
            return read_model(Path(self.model_path))
        return read_model(self.model.file(self.model.items["model_path"][0]))

    def summary(self, out: Picked) -> Mapping[str, Any]:
        return pick_counts(out)

    def methods(self, out: Picked) -> str:
        meta = out.coordinates.meta
        return (
            f"Particles were picked by a classifier of turn-free features that had learned from {meta['learned_from']} particles picked by hand, "
            f"where the probability of a particle was at least {self.least:g}. This gave {len(out.coordinates)} positions in "
            f"{meta['picked_micrographs']} micrographs."
        )

    def report(self, out: Picked) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        return [*picking_panels(out.coordinates, read_mrc), learning_panel(*self._stored().model.curve())]
