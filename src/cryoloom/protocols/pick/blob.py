"""pick.blob: particles by size alone, with a threshold that the data set themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, CTFs, Micrographs
from cryoloom.report.panels import Histogram, MarkedImage
from cryoloom.spec import Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")


@dataclass(frozen=True)
class Picked(Outputs):
    coordinates: Coordinates


class BlobPick(
    Protocol,
    id="pick.blob",
    outputs=Picked,
    cite=("10.1016/j.jsb.2009.01.004", "10.1016/S0304-3991(02)00333-9"),
    aliases=("ProtRelionAutopickLoG", "SparxGaussianProtPicking"),
):
    """Find blobs of the particle's size by matched filters of several sizes, then tell particles from noise, ice and edges.

    What a particle looks like is learnt from the candidates of the whole set, by a mixture model; blobs of the wrong sign, which no
    particle makes, teach it what noise and contamination look like. No threshold on grey values is needed.
    """

    micrographs: Micrographs = Input("Micrographs", help="The dose-weighted sums are used where there are any.")
    ctfs: CTFs | None = Input("CTFs", optional=True, help="With them phases are flipped first, which sharpens blobs at high defocus.")
    diameter: Angstrom = Param(
        "Particle diameter", gt=0, wizard="particle-size", aliases=("boxSize", "LoG_diam_max", "particle_diameter"),
        help="Of the particle's longest view. Half or twice the true value finds parts, or pairs.",
    )  # fmt: skip
    smallest: float = Param(
        "Smallest blob", 0.7, gt=0.2, le=1, advanced=True, aliases=("LoG_diam_min",),
        help="As a fraction of the diameter: the shortest view. Too small picks fragments.",
    )  # fmt: skip
    probability: float = Param(
        "Least probability", 0.5, ge=0, le=1, aliases=("threshold",),
        help="Picks that are less likely to be particles are left out. Low values bring noise, high ones lose faint particles.",
    )  # fmt: skip
    distance: float = Param(
        "Least distance", 0.5, ge=0.3, le=2, advanced=True, aliases=("min_distance",),
        help="Between picks, in diameters; of two that are nearer the less likely one goes. Too small picks a particle twice.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        items = self.micrographs.items
        if items.height == 0:
            return
        sizes = {group["optics_group"]: float(group["pixel_size"]) for group in self.micrographs.optics}
        sides = items.select(
            side=pl.min_horizontal("width", "height") * pl.col("optics_group").replace_strict(sizes, return_dtype=pl.Float64, default=1.0)
        )["side"]
        short = min((float(side) for side in sides if side), default=0.0)
        if short and self.diameter > short / 2:
            yield Hint("diameter", f"{self.diameter:g} Å does not fit micrographs whose short side is {short:.0f} Å", fix=round(short / 10))

    def run(self, job: Job) -> Picked:
        result = job.map(self.candidates, self._work())
        rows = result.rows.sort("id")
        picks = self._select(rows)
        for micrograph, reason in result.failed.items():
            job.warn(f"Micrograph {micrograph} was not picked: {reason}")
        if picks.height < 5 * max(rows.height, 1):
            job.warn(f"Only {picks.height} particles in {rows.height} micrographs: is the diameter of {self.diameter:g} Å right?")
        coordinates = Coordinates(picks, job.root, optics=self.micrographs.optics, meta={"diameter": self.diameter})
        return Picked(coordinates)

    def _work(self) -> Dataset:
        """Return the micrographs, with their CTF where it is known."""
        items = self.micrographs.items
        if self.ctfs is not None:
            ctf = self.ctfs.enabled().select("micrograph_id", *CTF_COLUMNS)
            items = items.join(ctf, left_on="id", right_on="micrograph_id", how="left", maintain_order="left")
        return Dataset(items, self.micrographs.root, optics=self.micrographs.optics)

    def candidates(self, item: Item) -> Mapping[str, Any]:
        """List the blobs of one micrograph and measure their surroundings."""
        import torch

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.picking.blob import find_blobs
        from cryoloom.numerics.picking.scene import Transfer, reduce_micrograph

        torch.set_num_threads(1)
        path = item.file("weighted_path" if item.row.get("weighted_path") else "micrograph_path")
        transfer = None
        if item.row.get("defocus_u") is not None:
            transfer = Transfer(*(item[name] for name in CTF_COLUMNS), item["voltage"], item["cs"], item["amplitude_contrast"])
        scene = reduce_micrograph(read_mrc(path).data, item["pixel_size"], self.diameter, transfer=transfer)
        blobs = find_blobs(scene, smallest=self.smallest)
        return {
            "x": blobs.x.tolist(),
            "y": blobs.y.tolist(),
            "strength": blobs.strength.tolist(),
            "features": blobs.features.ravel().tolist(),
            "decoys": blobs.decoys.ravel().tolist(),
            "chance": float(blobs.chance),
        }

    def _select(self, rows: pl.DataFrame) -> pl.DataFrame:
        import numpy as np

        from cryoloom.numerics.picking.blob import FEATURES
        from cryoloom.numerics.picking.peaks import keep_apart
        from cryoloom.numerics.picking.selection import particle_probability

        def stacked(column: str) -> Any:
            return np.concatenate([np.asarray(values, dtype=np.float64).reshape(-1, len(FEATURES)) for values in rows[column]])

        counts = np.array([len(values) for values in rows["x"]])
        owner = np.repeat(np.arange(rows.height), counts)
        x, y, strength = (
            np.concatenate([np.asarray(values, dtype=np.float64) for values in rows[name]]) for name in ("x", "y", "strength")
        )
        strong = strength > np.repeat(rows["chance"].to_numpy(), counts)
        score = particle_probability(stacked("features"), owner, strong, stacked("decoys"))
        names = dict(self.micrographs.items.select("id", "micrograph_name").iter_rows())
        groups = dict(self.micrographs.items.select("id", "optics_group").iter_rows())
        sizes = {group["optics_group"]: float(group["pixel_size"]) for group in self.micrographs.optics}
        frames = []
        for number, micrograph in enumerate(rows["id"]):
            mine = np.flatnonzero((owner == number) & (score >= self.probability) & (score > 0))
            mine = mine[np.lexsort((-strength[mine], -score[mine]))]
            mine = mine[keep_apart(x[mine], y[mine], self.distance * self.diameter / sizes[groups[micrograph]])]
            frames.append(
                pl.DataFrame(
                    {
                        "id": (micrograph << 20) | np.arange(len(mine), dtype=np.int64),
                        "micrograph_id": np.full(len(mine), micrograph, dtype=np.int64),
                        "micrograph_name": pl.Series([names[micrograph]] * len(mine), dtype=pl.String),
                        "x": x[mine],
                        "y": y[mine],
                        "score": score[mine],
                        "strength": strength[mine],
                        "optics_group": np.full(len(mine), groups[micrograph], dtype=np.int64),
                    }
                )  # fmt: skip
            )
        return pl.concat(frames)

    def summary(self, out: Picked) -> Mapping[str, Any]:
        count = len(out.coordinates)
        micrographs = out.coordinates.items["micrograph_id"].n_unique()
        return {"particles": count, "micrographs": micrographs, "particles a micrograph": round(count / max(micrographs, 1), 1)}

    def report(self, out: Picked) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        picks = out.coordinates.items
        counts = picks.group_by("micrograph_id", maintain_order=True).len().sort("len")
        panels: list[Panel] = []
        if counts.height:
            typical = counts["micrograph_id"][counts.height // 2]
            row = self.micrographs.items.filter(pl.col("id") == typical).row(0, named=True)
            mine = picks.filter(pl.col("micrograph_id") == typical)
            image = read_mrc(self.micrographs.file(row.get("weighted_path") or row["micrograph_path"])).data
            pixel_size = float(self.micrographs.optics[0]["pixel_size"])
            panels.append(
                MarkedImage(
                    title=f"Picks on {row['micrograph_name']}", image=image, x=mine["x"].to_list(), y=mine["y"].to_list(),
                    radius=self.diameter / pixel_size / 2, caption="The micrograph with the median number of picks; circles have the diameter given.",
                )
            )  # fmt: skip
        return [
            *panels,
            Histogram(title="Probability", values=picks["score"].to_list(), label="probability of being a particle"),
            Histogram(title="Picks in a micrograph", values=[float(count) for count in counts["len"]], label="picks", bins=20),
        ]
