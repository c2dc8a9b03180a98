"""pick.clean: coordinates on carbon, ice, aggregates, borders and gold are left out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, Micrographs
from cryoloom.data.places import places
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

    A coordinate's score is 1 minus the mean of the mask over the middle of the particle. Where nearly all of a micrograph is masked, the mask is
    not believed: its coordinates are kept, without a score. The network comes with cryoloom and was trained on simulated micrographs alone.
    """

    coordinates: Coordinates = Input("Coordinates", help="Picks of any kind; they keep their ids.", aliases=("inputCoordinates",))
    micrographs: Micrographs = Input(
        "Micrographs", aliases=("inputMicrographs",),
        help="Those that were picked on, or the same ones binned, cropped or filtered. The dose-weighted sums are used where there are any.",
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
        mine = self.coordinates.items.select("micrograph_id", "micrograph_name").unique(maintain_order=True)
        theirs = self.micrographs.items.select(micrograph_id="id", other_name="micrograph_name")
        both = mine.join(theirs, on="micrograph_id", how="inner")
        renamed = both.filter(pl.col("micrograph_name") != pl.col("other_name"))
        if both.is_empty() and mine.height:
            yield Hint("micrographs", "are not those of the coordinates: they have none in common")
        elif renamed.height:
            number, one, other = renamed.row(0)
            yield Hint("micrographs", f"are not those of the coordinates: id {number} is {one} to these and {other} to those")
        diameter, sides = self._diameter(), self._sides()
        if diameter is None:
            yield Hint("diameter", "is needed: the coordinates do not tell it")
        elif sides and diameter > min(sides) / 2:
            fix = float(int(min(sides) / 2))
            yield Hint("diameter", f"of {diameter:g} Å is likely too big: the micrographs' short side is {min(sides):.0f} Å", fix=fix)

    def _diameter(self) -> float | None:
        return self.diameter or self.coordinates.meta.get("diameter")

    def _sides(self) -> list[float]:
        """Return the short sides of the micrographs, Å."""
        rows = self.micrographs.to_polars().filter((pl.col("width") > 0) & (pl.col("height") > 0))
        return rows.select(pl.min_horizontal("width", "height") * pl.col("pixel_size")).to_series().to_list()

    def run(self, job: Job) -> Cleaned:
        work = self._work(job)
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
        masks = self.micrographs.select(rows["id"]).with_columns(rows.drop("particle_ids", "scores", "distances"))
        return Cleaned(
            discarded=scored.select(dropped) if len(dropped) else None,
            masks=masks.disable(result.failed) if result.failed else masks,
            coordinates=scored.select(kept, threshold=self.threshold),
        )

    def _work(self, job: Job) -> Dataset:
        """Return the micrographs with the coordinates on them, in px of these micrographs, as lists."""
        optics = self.micrographs.to_polars()
        start = {axis: pl.col(f"offset_{axis}").fill_null(0.0) if f"offset_{axis}" in optics.columns else pl.lit(0.0) for axis in "xy"}
        here = optics.select("id", "pixel_size", start_x=start["x"], start_y=start["y"])
        lying = places(self.coordinates, "micrograph_id").join(here, left_on="key", right_on="id", how="inner", maintain_order="left")
        if lying.is_empty():
            raise Failure(
                "no-common-micrographs", "No coordinate lies on one of these micrographs.", "Give the micrographs they were picked on."
            )
        lists = lying.group_by("key", maintain_order=True).agg(
            particle_ids="id", **{axis: (pl.col(axis) - pl.col(f"start_{axis}")) / pl.col("pixel_size") for axis in "xy"}
        )
        work = self.micrographs.items.join(lists, left_on="id", right_on="key", how="inner", maintain_order="left")
        return Dataset(work.with_columns(particle_diameter=pl.lit(self._diameter())), job.root, optics=self.micrographs.optics)

    def score(self, item: Item) -> Mapping[str, Any]:
        """Mask one micrograph and score what was picked on it."""
        import numpy as np
        import torch

        from cryoloom.formats.mrc import read_mrc, write_mrc
        from cryoloom.numerics.picking.cleaning import cleaner, find_cover

        torch.set_num_threads(1)
        image = np.squeeze(read_mrc(item.file("weighted_path" if item.row.get("weighted_path") else "micrograph_path")).data)
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
            "kept": [_on(out.coordinates, number).height for number in rows["id"]],
            "left out": [_on(out.discarded, number).height for number in rows["id"]],
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
        starts = {group["optics_group"]: (group.get("offset_x") or 0.0, group.get("offset_y") or 0.0) for group in out.masks.optics}
        images, masks, kept, dropped = [], [], [], []
        for row in rows.head(SHOWN).iter_rows(named=True):
            images.append(np.squeeze(read_mrc(out.masks.file(row["thumbnail_path"])).data).astype(np.float32))
            masks.append(np.squeeze(read_mrc(out.masks.file(row["cover_path"])).data) > 50)
            height, width = images[-1].shape
            extent = row["width"] * row["pixel_size"], row["height"] * row["pixel_size"]
            for each, points in ((out.coordinates, kept), (out.discarded, dropped)):
                mine = _on(each, row["id"])
                x, y = mine["x"] - starts[row["optics_group"]][0], mine["y"] - starts[row["optics_group"]][1]
                points.append(list(zip((x / extent[0] * width).to_list(), (y / extent[1] * height).to_list(), strict=True)))
        return MaskedImages(
            title="Masks", images=images, masks=masks, kept=kept, dropped=dropped, captions=rows["micrograph_name"].head(SHOWN).to_list(),
            caption=f"The {len(images)} micrographs that are masked most, particles bright: masked red, kept coordinates green, others orange.",
        )  # fmt: skip


def _count(coordinates: Coordinates | None) -> int:
    return 0 if coordinates is None else len(coordinates)


def _on(coordinates: Coordinates | None, micrograph: int) -> pl.DataFrame:
    """Return the places on a micrograph, Å from its first pixel as recorded."""
    found = (
        pl.DataFrame(schema={"key": pl.Int64, "x": pl.Float64, "y": pl.Float64})
        if coordinates is None
        else places(coordinates, "micrograph_id")
    )
    return found.filter(pl.col("key") == micrograph)
