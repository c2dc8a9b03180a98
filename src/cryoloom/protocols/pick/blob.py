"""pick.blob: particles by size alone, with a threshold that the data set themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from cryoloom.data import CTFs, Micrographs
from cryoloom.data.picking import (
    Border,
    Bright,
    Distance,
    Most,
    Picked,
    coordinates_of,
    pick_counts,
    size_hints,
    to_be_picked,
)
from cryoloom.data.picks import pick_rows
from cryoloom.report.picks import picking_panels
from cryoloom.spec import Failure, Hint, Input, Item, Job, Panel, Param, Protocol
from cryoloom.units import Angstrom

CANDIDATE = ("x", "y", "strength", "features")


class BlobPick(
    Protocol,
    id="pick.blob",
    version=4,
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
    diameter_max: Angstrom | None = Param(
        "Largest diameter", None, gt=0, advanced=True,
        help="For particles of several sizes: blobs are sought from the diameter above to this one, and each kind of particle is told by itself. A wide "
        "range takes longer and is less sure than the right diameter.",
    )  # fmt: skip
    probability: float = Param(
        "Least probability", 0.25, ge=0, le=1, aliases=("threshold",),
        help="Picks that are less likely to be particles are left out. Low values bring noise, which 2D classes sort out; high ones lose faint particles.",
    )  # fmt: skip
    bright: Bright
    distance: Distance
    border: Border
    most: Most

    def check(self) -> Iterator[Hint]:
        yield from size_hints(self.diameter, self.micrographs)
        if self.diameter_max is not None:
            yield from size_hints(self.diameter_max, self.micrographs, "diameter_max")
            if self.diameter_max < self.diameter:
                yield Hint("diameter_max", f"is below the diameter of {self.diameter:g} Å", fix=self.diameter)

    def run(self, job: Job) -> Picked:
        work = to_be_picked(self.micrographs, self.ctfs, job, self.id)
        rows = job.map(self.alone().candidates, work).rows.sort("id")
        picks = self._select(rows, work.items)
        candidates = int(rows["x"].list.len().sum())
        return Picked(coordinates_of(picks, self.micrographs, job, self.id, self.diameter, rows.height, candidates))

    def candidates(self, item: Item) -> Mapping[str, Any]:
        """List the blobs of one micrograph and measure them."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.picking.blob import find_blobs
        from cryoloom.numerics.picking.scene import reduce_micrograph

        torch.set_num_threads(1)
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        lists: dict[str, list[Any]] = {name: [] for name in (*CANDIDATE, "size", "decoys", "decoy_size")}
        for number, diameter in enumerate(self._diameters()):
            try:
                scene = reduce_micrograph(image, item["pixel_size"], diameter, dark=not self.bright)
            except ValueError as problem:
                raise Failure("diameter-too-large", f"{item['micrograph_name']}: {problem}.", "Give the diameter in Å.") from problem
            if not bool(scene.pixels.any()):
                raise Failure("micrograph-blank", f"{item['micrograph_name']}: all its pixels are the same.", "Leave it out.")
            blobs = find_blobs(scene, border=self.border)
            for name in (*CANDIDATE, "decoys"):
                lists[name] += getattr(blobs, name).ravel().tolist()
            lists["size"] += [number] * len(blobs.x)
            lists["decoy_size"] += [number] * len(blobs.decoys)
        return lists

    def automatic(self) -> Mapping[str, Any]:
        return {"diameter_max": self.diameter}

    def _diameters(self) -> list[float]:
        from cryoloom.numerics.picking.sizes import diameters_between

        return diameters_between(self.diameter, max(self.diameter, self.diameter_max or 0.0)).tolist()

    def _select(self, rows: pl.DataFrame, micrographs: pl.DataFrame) -> pl.DataFrame:
        """Sort the candidates of all `micrographs`, `rows`, into particles and others; return the particles."""
        import numpy as np

        from cryoloom.numerics.picking.blob import FEATURES
        from cryoloom.numerics.picking.selection import best_apart, particle_probability
        from cryoloom.numerics.picking.sizes import Sized, family_probability

        def joined(column: str) -> Any:
            return np.concatenate([np.asarray(values, dtype=np.float64) for values in rows[column]])

        counts = rows["x"].list.len().to_numpy()
        x, y, strength = (joined(name) for name in ("x", "y", "strength"))
        features, decoys = (joined(name).reshape(-1, len(FEATURES)) for name in ("features", "decoys"))
        micrograph, size, decoy_size = np.repeat(np.arange(rows.height), counts), joined("size").astype(np.int64), joined("decoy_size")
        scales, about = self.micrographs.of_groups("pixel_size"), {row["id"]: row for row in micrographs.iter_rows(named=True)}
        diameters = np.asarray(self._diameters())
        diameter = diameters[size]
        pixels = diameter / np.repeat([scales[about[each]["optics_group"]] for each in rows["id"]], counts)
        if len(diameters) == 1:
            score = particle_probability(features, micrograph, decoys)
        else:
            apart = [decoys[decoy_size == number] for number in range(len(diameters))]
            score = family_probability(Sized(x, y, features, micrograph, size, pixels, apart), self.probability)
        frames = []
        for number, end, count in zip(rows["id"], np.cumsum(counts), counts, strict=True):
            mine = slice(int(end - count), int(end))
            best = best_apart(
                x[mine], y[mine], score[mine], strength[mine], least=self.probability, distance=self.distance * pixels[mine], most=self.most
            )
            columns = {name: values[mine][best] for name, values in {"x": x, "y": y, "score": score, "strength": strength}.items()}
            frames.append(pick_rows(about[number], diameter[mine][best].tolist(), **columns))
        return pl.concat(frames)

    def summary(self, out: Picked) -> Mapping[str, Any]:
        return pick_counts(out)

    def methods(self, out: Picked) -> str:
        sizes = f"{self.diameter:g} to {self.diameter_max:g}" if self.diameter_max else f"{self.diameter:g}"
        micrographs = out.coordinates.meta["picked_micrographs"]
        return (
            f"Particles of {sizes} Å were picked without a reference, where the probability of a particle was at least {self.probability:g}. This gave "
            f"{len(out.coordinates)} positions in {micrographs} micrographs."
        )

    def report(self, out: Picked) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        return picking_panels(out.coordinates, read_mrc)
