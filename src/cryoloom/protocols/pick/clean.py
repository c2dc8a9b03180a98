"""pick.clean: coordinates on carbon, ice, aggregates, borders and gold are left out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, Micrographs
from cryoloom.data.picks import micrographs_of, on_micrographs, picked_on
from cryoloom.report.panels import Histogram, MaskedImages, TableView
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

KEEP_ALL = -1.0
"""The threshold that only scores."""
SHOWN = 12
"""Micrographs in the report."""


@dataclass(frozen=True)
class Cleaned(Outputs):
    """What is kept comes last, for the last set of a kind is what an export of everything writes."""

    discarded: Coordinates | None = None
    masks: Micrographs | None = None
    coordinates: Coordinates | None = None


class CleanPicks(
    Protocol,
    id="pick.clean",
    outputs=Cleaned,
    cite=("10.1016/j.jsb.2020.107498", "10.1007/978-3-319-24574-4_28"),
    aliases=("XmippProtDeepMicrographScreen",),
    streams="micrographs",
):
    """Mask what is neither ice nor particle by a network, and leave out the coordinates that lie on it.

    A coordinate's score is 1 minus the mean of the mask over the particle. Where nearly all of a micrograph is masked, the mask is
    not believed: its coordinates are kept, without a score. The network comes with cryoloom and was trained on simulated micrographs alone.
    """

    coordinates: Coordinates = Input("Coordinates", help="Picks of any kind; they keep their ids.", aliases=("inputCoordinates",))
    micrographs: Micrographs | None = Input(
        "Micrographs", optional=True, aliases=("inputMicrographs",),
        help="Those that were picked on, or the same ones binned, cropped or filtered; not needed where the coordinates tell their files.",
    )  # fmt: skip
    threshold: float = Param(
        "Least score", 0.75, ge=-1, le=1,
        help="Coordinates with less are left out; -1 keeps all and scores them. Above 0.9 particles next to contaminants go, too.",
    )  # fmt: skip
    edge_distance: Angstrom = Param(
        "Distance to edges", 0.0, ge=0, help="Coordinates nearer than this to what is masked are left out, too. Too much loses good particles.",
    )  # fmt: skip
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, wizard="particle-size", aliases=("particle_diameter", "boxSize"),
        help="Empty takes the one they were picked with. Twice or half, and particles and contaminants are mistaken for each other.",
    )  # fmt: skip
    bright: bool = Param(
        "Bright particles", False, aliases=("invert",),
        help="Particles are brighter than their surroundings; known of micrographs inverted here. Wrong, the masks are less sure.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if -1 < self.threshold < 0:
            yield Hint("threshold", f"{self.threshold:g} is neither a score, from 0 to 1, nor -1, which keeps all", fix=0.75)
        micrographs = self._micrographs()
        if micrographs is None:
            yield Hint("micrographs", "are needed: the coordinates do not tell the files they were picked on")
            return
        names = set(micrographs.items["micrograph_name"])
        if len(self.coordinates) and names.isdisjoint(self.coordinates.items["micrograph_name"]):
            yield Hint("micrographs", f"are not those of the coordinates: none is called {self.coordinates.items['micrograph_name'][0]}")
        diameter, sides = self._diameter(), _sides(micrographs)
        if diameter is None:
            yield Hint("diameter", "is needed: the coordinates do not tell it")
        elif sides and diameter > min(sides) / 2:
            fix = float(int(min(sides) / 2))
            yield Hint("diameter", f"of {diameter:g} Å is likely too big: the micrographs' short side is {min(sides):.0f} Å", fix=fix)

    def _micrographs(self) -> Dataset | None:
        """Return what to mask: the micrographs given, or those that the coordinates name."""
        return self.micrographs if self.micrographs is not None else micrographs_of((self.coordinates,))

    def _diameter(self) -> float | None:
        return self.diameter or self.coordinates.meta.get("diameter")

    def automatic(self) -> Mapping[str, Any]:
        return {"diameter": self._diameter()}

    def run(self, job: Job) -> Cleaned:
        work = self._work(job.root)
        result = job.map(self.alone().score, work, name="micrographs")
        rows = result.rows
        lists = rows.select("particle_ids", good_region_score="scores", mask_distance="distances")
        scores = lists.explode(lists.columns).rename({"particle_ids": "id"})
        if without := len(self.coordinates) - scores.height:
            job.warn(f"{without} coordinates lie on micrographs that are not there, disabled or unreadable, and are left out.")
        if doubtful := rows.filter("mask_unreliable").height:
            job.warn(f"{doubtful} micrographs are masked nearly everywhere, or empty: their coordinates are kept, without a score.")
        scored = self.coordinates.select(scores["id"]).with_columns(scores)
        good = pl.col("good_region_score").is_nan() | (
            (pl.col("good_region_score") >= self.threshold) & (pl.col("mask_distance") >= self.edge_distance)
        )
        kept = scores.filter(pl.lit(self.threshold == KEEP_ALL) | good)["id"]
        dropped = scores.filter(~pl.col("id").is_in(kept.implode()))["id"]
        return Cleaned(
            discarded=scored.select(dropped) if len(dropped) else None,
            masks=self._masks(work, rows).disable(result.failed),
            coordinates=scored.select(kept, threshold=self.threshold),
        )

    def _work(self, root: Path) -> Dataset:
        """Return the micrographs with the coordinates on them, in px of these micrographs, as lists."""
        micrographs = self._micrographs()
        assert micrographs is not None
        rows = on_micrographs(self.coordinates, micrographs).drop_nulls("micrograph_id")
        lists = rows.group_by("micrograph_id", maintain_order=True).agg(particle_ids="id", x="x", y="y")
        items = picked_on(micrographs.items)
        items = items.filter("enabled") if "enabled" in items.columns else items
        work = items.join(lists, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left")
        if work.is_empty():
            raise Failure(
                "no-common-micrographs", "No coordinate lies on one of these micrographs.", "Give the micrographs they were picked on."
            )
        return Dataset(work.with_columns(particle_diameter=pl.lit(self._diameter())), root, optics=micrographs.optics)

    def _masks(self, work: Dataset, rows: pl.DataFrame) -> Micrographs:
        """Return the micrographs with their masks."""
        found = rows.drop("particle_ids", "scores", "distances")
        items = work.items.select("id", "micrograph_name", "micrograph_path", "optics_group").join(found, on="id", how="left")
        items = items.with_columns(pl.col("width", "height").fill_null(0), enabled=pl.lit(True), fail_reason=pl.lit(""))
        return Micrographs(items.sort("id"), work.root, optics=work.optics)

    def score(self, item: Item) -> Mapping[str, Any]:
        """Mask one micrograph and score what was picked on it."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.picking.cleaning import cleaner, find_cover

        torch.set_num_threads(1)
        image = np.squeeze(read_mrc(item.file("micrograph_path")).data)
        dark = not (self.bright or item.row.get("contrast") == "bright")
        try:
            cover = find_cover(image, item["pixel_size"], item["particle_diameter"], cleaner(), dark=dark)
        except ValueError as problem:
            raise Failure("diameter-too-large", f"{item['micrograph_name']}: {problem}.", "Give the diameter in Å.") from problem
        working = item["pixel_size"] * float(np.mean(cover.scale))
        paths = {"cover_path": item.output("_cover.mrc"), "thumbnail_path": item.output("_thumbnail.mrc")}
        write_mrc(paths["cover_path"], np.rint(100.0 * cover.probability), working, mode=0)
        write_mrc(paths["thumbnail_path"], np.rint(40.0 * cover.pixels), working, mode=0)
        x, y = np.asarray(item["x"], dtype=np.float64), np.asarray(item["y"], dtype=np.float64)
        return {
            **paths,
            "width": image.shape[1],
            "height": image.shape[0],
            "covered": float((cover.probability > 0.5).mean()),
            "mask_unreliable": not cover.believable,
            "particle_ids": item["particle_ids"],
            "scores": cover.region_scores(x, y).tolist(),
            "distances": (cover.distances(x, y) * item["particle_diameter"]).tolist(),
        }

    def summary(self, out: Cleaned) -> Mapping[str, Any]:
        kept, masks = _count(out.coordinates), out.masks
        dropped = _count(out.discarded)
        summary: dict[str, Any] = {
            "coordinates": kept,
            "left out": dropped,
            "left out (%)": round(100 * dropped / max(kept + dropped, 1), 1),
        }
        if masks is not None:
            rows = masks.enabled()
            summary |= {
                "micrographs": rows.height,
                "masked on average (%)": round(100 * float(rows["covered"].mean() or 0.0), 1),  # pyright: ignore[reportArgumentType]
                "masks not believed": rows.filter("mask_unreliable").height,
            }
        return summary

    def methods(self, out: Cleaned) -> str:
        whole = _count(out.coordinates) + _count(out.discarded)
        done = "were scored" if self.threshold == KEEP_ALL else f"with a score below {self.threshold:g} were left out"
        return (
            f"Carbon, ice, aggregates, borders and gold were masked in the micrographs by a convolutional network, and coordinates {done}. "
            f"This left {_count(out.coordinates)} of {whole} positions."
        )

    def report(self, out: Cleaned) -> list[Panel]:
        assert out.masks is not None
        rows = out.masks.enabled().sort("covered", descending=True, maintain_order=True)
        sets = [each.items for each in (out.coordinates, out.discarded) if each is not None]
        scores = [score for each in sets for score in each["good_region_score"].to_list()]
        marks = {} if self.threshold == KEEP_ALL else {"threshold": self.threshold}
        columns = {
            "micrograph": rows["micrograph_name"].to_list(),
            "masked (%)": [round(100 * part, 1) for part in rows["covered"]],
            "kept": _counts(out.coordinates, out.masks, rows["id"]),
            "left out": _counts(out.discarded, out.masks, rows["id"]),
            "mask believed": ["no" if doubtful else "yes" for doubtful in rows["mask_unreliable"]],
        }
        return [
            self._pictures(out, rows),
            Histogram(title="Scores", values=scores, label="1 - mean of the mask under the pick", marks=marks),
            Histogram(title="Masked part", values=[100 * part for part in rows["covered"]], label="of a micrograph, %", bins=20),
            TableView(title="Micrographs", columns=columns),
        ]

    def _pictures(self, out: Cleaned, rows: pl.DataFrame) -> Panel:
        """Return the micrographs that are masked most, and what was kept and left out on them."""
        import numpy as np

        from cryoloom.formats.mrc import read_mrc

        assert out.masks is not None
        images, masks, kept, dropped = [], [], [], []
        for row in rows.head(SHOWN).iter_rows(named=True):
            images.append(np.squeeze(read_mrc(out.masks.file(row["thumbnail_path"])).data).astype(np.float32))
            masks.append(np.squeeze(read_mrc(out.masks.file(row["cover_path"])).data) > 50)
            height, width = images[-1].shape
            for each, points in ((out.coordinates, kept), (out.discarded, dropped)):
                mine = _on(each, out.masks).filter(pl.col("micrograph_id") == row["id"])
                x, y = mine["x"] / row["width"] * width, mine["y"] / row["height"] * height
                points.append(list(zip(x.to_list(), y.to_list(), strict=True)))
        return MaskedImages(
            title="Masks", images=images, masks=masks, kept=kept, dropped=dropped, captions=rows["micrograph_name"].head(SHOWN).to_list(),
            caption=f"The {len(images)} micrographs that are masked most, particles bright: masked red, kept coordinates green, others orange.",
        )  # fmt: skip


def _count(coordinates: Coordinates | None) -> int:
    return 0 if coordinates is None else len(coordinates)


def _on(coordinates: Coordinates | None, micrographs: Micrographs) -> pl.DataFrame:
    """Return ``micrograph_id``, ``x`` and ``y`` in px of `micrographs`."""
    if coordinates is None:
        return pl.DataFrame(schema={"micrograph_id": pl.Int64, "x": pl.Float64, "y": pl.Float64})
    return on_micrographs(coordinates, micrographs).select("micrograph_id", "x", "y")


def _counts(coordinates: Coordinates | None, micrographs: Micrographs, ids: pl.Series) -> list[int]:
    """Return how many coordinates lie on each of the micrographs `ids`."""
    found = dict(_on(coordinates, micrographs).group_by("micrograph_id").len().iter_rows())
    return [found.get(number, 0) for number in ids]


def _sides(micrographs: Dataset) -> list[float]:
    """Return the short sides of micrographs, Å, where they are known."""
    if not {"width", "height"} <= micrographs.schema.keys():
        return []
    rows = micrographs.to_polars().filter((pl.col("width") > 0) & (pl.col("height") > 0))
    return rows.select(pl.min_horizontal("width", "height") * pl.col("pixel_size")).to_series().to_list()
