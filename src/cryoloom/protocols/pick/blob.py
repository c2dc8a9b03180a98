"""pick.blob: particles by size alone, with a threshold that the data set themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, CTFs, Micrographs
from cryoloom.data.identity import new_id_space
from cryoloom.data.picks import pick_rows, picked_on
from cryoloom.report.panels import Histogram
from cryoloom.report.picks import picks_panel
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom


@dataclass(frozen=True)
class Picked(Outputs):
    coordinates: Coordinates


class BlobPick(
    Protocol,
    id="pick.blob",
    version=2,
    outputs=Picked,
    cite=("10.1016/j.jsb.2009.01.004", "10.1016/S0304-3991(02)00333-9", "10.1038/nmeth1019"),
    aliases=("ProtRelionAutopickLoG", "SparxGaussianProtPicking"),
    streams="micrographs",
):
    """Find where dark detail gathers within a disc of the particle's size, then tell particles from noise, ice and edges.

    Fine dark detail, whatever its arrangement, is added up within the disc: balls, rings and rods give a maximum at their centre alike.
    Particles of one kind have about one such strength and one breadth. A mixture model learns both from the candidates of the whole set;
    blobs of the wrong sign, which no particle makes, teach it what noise looks like, and what is stronger or broader than the particles is
    taken for contamination. The score is the probability of being a particle: no threshold on grey values is needed.
    """

    micrographs: Micrographs = Input("Micrographs", help="The dose-weighted sums are used where there are any.")
    ctfs: CTFs | None = Input("CTFs", optional=True, help="With them, micrographs without a believable CTF are left out.")
    diameter: Angstrom = Param(
        "Particle diameter", gt=0, wizard="particle-size", aliases=("LoG_diam_max", "particle_diameter", "boxSize"),
        help="Of the particle's longest view. A quarter off costs a tenth of thin or hollow particles; half or twice finds parts, or pairs.",
    )  # fmt: skip
    probability: float = Param(
        "Least probability", 0.5, ge=0, le=1, aliases=("threshold",),
        help="Picks that are less likely to be particles are left out. Low values bring noise, high ones lose faint particles.",
    )  # fmt: skip
    bright: bool = Param(
        "Bright particles", False, aliases=("invert",),
        help="Particles are brighter than their surroundings, as in negative stain. Wrong, and what is picked lies between them.",
    )  # fmt: skip
    distance: float = Param(
        "Least distance", 0.6, ge=0.3, le=2, advanced=True, aliases=("min_distance", "minInterparticleDistance"),
        help="Between picks, in diameters; of two that are nearer the less likely one goes. Too small picks a particle twice.",
    )  # fmt: skip
    border: float = Param(
        "Border", 0.3, ge=0, le=2, advanced=True,
        help="Centres nearer than this to an edge, in diameters, are left out. Too small picks halves of particles.",
    )  # fmt: skip
    most: int | None = Param(
        "Most per micrograph", None, ge=1, advanced=True, aliases=("max_per_micrograph",),
        help="Keep at most this many, the likeliest. Empty keeps all; too small a number throws particles away.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        sizes = self._pixel_sizes()
        sides = [
            min(width, height) * sizes[group]
            for width, height, group in self.micrographs.items.select("width", "height", "optics_group").iter_rows()
            if width and height
        ]
        if sides and self.diameter > min(sides) / 2:
            yield Hint(
                "diameter",
                f"{self.diameter:g} Å is larger than half the micrograph, whose short side is {min(sides):.0f} Å",
                fix=float(int(min(sides) / 2)),
            )

    def run(self, job: Job) -> Picked:
        work = self.micrographs
        if self.ctfs is not None:
            good = self.ctfs.enabled()["micrograph_id"]
            work = work.select(good)
            if without := self.micrographs.enabled().height - work.enabled().height:
                job.warn(f"{without} micrographs have no believable CTF and were not picked.")
        if work.enabled().is_empty():
            raise Failure("no-micrographs", "pick.blob: no micrograph is left to be picked.", "Give micrographs that are not disabled.")
        work = Dataset(picked_on(work.enabled()), job.root, optics=work.optics)
        result = job.map(self.alone().candidates, work)
        rows = result.rows.sort("id")
        picks = self._select(rows, work.items)
        if picks.height < 5 * rows.height:
            job.warn(f"Only {picks.height} particles in {rows.height} micrographs: is the diameter of {self.diameter:g} Å right?")
        meta = {"diameter": self.diameter, "candidates": int(rows["x"].list.len().sum()), "picked_micrographs": rows.height}
        meta["id_space"] = new_id_space(picks)
        return Picked(Coordinates(picks, job.root, optics=self.micrographs.optics, meta=meta))

    def candidates(self, item: Item) -> Mapping[str, Any]:
        """List the blobs of one micrograph and measure them."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.picking.blob import find_blobs
        from cryoloom.numerics.picking.scene import reduce_micrograph

        torch.set_num_threads(1)
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        try:
            scene = reduce_micrograph(image, item["pixel_size"], self.diameter, dark=not self.bright)
        except ValueError as problem:
            raise Failure("diameter-too-large", f"{item['micrograph_name']}: {problem}.", "Give the diameter in Å.") from problem
        blobs = find_blobs(scene, border=self.border)
        return {
            "x": blobs.x.tolist(),
            "y": blobs.y.tolist(),
            "strength": blobs.strength.tolist(),
            "features": blobs.features.ravel().tolist(),
            "decoys": blobs.decoys.ravel().tolist(),
        }

    def _select(self, rows: pl.DataFrame, micrographs: pl.DataFrame) -> pl.DataFrame:
        """Sort the candidates of all `micrographs`, `rows`, into particles and others; return the particles."""
        import numpy as np

        from cryoloom.numerics.picking.blob import FEATURES
        from cryoloom.numerics.picking.selection import best_apart, particle_probability

        def joined(column: str) -> Any:
            return np.concatenate([np.asarray(values, dtype=np.float64) for values in rows[column]])

        counts = rows["x"].list.len().to_numpy()
        x, y, strength = (joined(name) for name in ("x", "y", "strength"))
        features, decoys = (joined(name).reshape(-1, len(FEATURES)) for name in ("features", "decoys"))
        score = particle_probability(features, np.repeat(np.arange(rows.height), counts), decoys)
        about = {row["id"]: row for row in micrographs.iter_rows(named=True)}
        sizes = self._pixel_sizes()
        frames = []
        for micrograph, end, count in zip(rows["id"], np.cumsum(counts), counts, strict=True):
            mine = slice(int(end - count), int(end))
            distance = self.distance * self.diameter / sizes[about[micrograph]["optics_group"]]
            best = best_apart(x[mine], y[mine], score[mine], strength[mine], least=self.probability, distance=distance, most=self.most)
            columns = {"x": x[mine][best], "y": y[mine][best], "score": score[mine][best], "strength": strength[mine][best]}
            frames.append(pick_rows(about[micrograph], self.diameter, **columns))
        return pl.concat(frames)

    def _pixel_sizes(self) -> dict[int, float]:
        return {group["optics_group"]: float(group["pixel_size"]) for group in self.micrographs.optics}

    def summary(self, out: Picked) -> Mapping[str, Any]:
        count, micrographs = len(out.coordinates), out.coordinates.meta["picked_micrographs"]
        sure = out.coordinates.items["score"].mean() if count else None
        return {
            "particles": count,
            "micrographs": micrographs,
            "particles a micrograph": round(count / max(micrographs, 1), 1),
            "expected share of true picks": None if sure is None else round(float(sure), 3),  # pyright: ignore[reportArgumentType]
        }

    def methods(self, out: Picked) -> str:
        micrographs = out.coordinates.meta["picked_micrographs"]
        return (
            f"Particles of {self.diameter:g} Å were picked without a reference, where the probability of a particle was at least "
            f"{self.probability:g}. This gave {len(out.coordinates)} positions in {micrographs} micrographs."
        )

    def report(self, out: Picked) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        picks = out.coordinates.items
        counts = picks.group_by("micrograph_id", maintain_order=True).len()
        return [
            *picks_panel(out.coordinates, read_mrc),
            Histogram(title="Probability", values=picks["score"].to_list(), label="probability of being a particle"),
            Histogram(title="Picks in a micrograph", values=[float(count) for count in counts["len"]], label="picks", bins=20),
        ]
