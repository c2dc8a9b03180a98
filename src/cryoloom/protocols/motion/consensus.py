"""motion.consensus: how far two alignments of the same movies agree, and the micrographs of which both can be believed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Micrographs
from cryoloom.data.identity import other_items
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

PLACES = 25
"""Places an axis at which fields are compared: those that `motion.optical_flow` writes."""
_OTHER = ("micrograph_path", "shift_x", "shift_y", "motion_model", "flow_path", "first_frame", "crop_x", "crop_y", "width", "height")


@dataclass(frozen=True)
class Agreed(Outputs):
    micrographs: Micrographs


class MotionConsensus(
    Protocol,
    id="motion.consensus",
    outputs=Agreed,
    cite=("10.1016/j.jsb.2015.02.001",),
    aliases=("XmippProtConsensusMovieAlignment",),
):
    """Compare two alignments of the same movies, and disable micrographs whose motion they do not agree on.

    Compared are the paths of whole frames, the displacements at places all over the frames, and the sums themselves by ring correlation.
    """

    micrographs: tuple[Micrographs, ...] = Input(
        "Micrographs", help="The same movies aligned in two ways; repeat the flag.", many=True, aliases=("inputMovies1", "inputMovies2")
    )
    keep: Literal["better", "first", "second"] = Param(
        "Micrographs to keep", "better",
        help="better: of each movie the sum with more signal, that is with more power over its noise. first, second: those of that set.",
    )  # fmt: skip
    max_difference: Angstrom = Param(
        "Largest difference", 1.0, gt=0,
        help="Root mean square distance of the displacements of frames and places; 1 Å halves the amplitude at 3.8 Å. Too small loses good ones.",
    )  # fmt: skip
    min_resolution: Angstrom | None = Param(
        "Least agreement", None, gt=0, advanced=True,
        help="Micrographs whose two sums agree no further than this are disabled too; empty: the agreement is told but not judged.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if len(self.micrographs) != 2:
            yield Hint("micrographs", f"are {len(self.micrographs)} sets: give two, the flag repeated")
            return
        one, two = self.micrographs
        without = [name for name, each in (("first", one), ("second", two)) if "shift_x" not in each.schema]
        if without:
            yield Hint("micrographs", f"tell no motion of frames in the {' and the '.join(without)} set: give what motion.* made")
        elif one.stored is not None and one.stored == two.stored:
            yield Hint("micrographs", "are one set, given twice: give two alignments")
        elif unlike := other_items(one, two):
            yield Hint("micrographs", f"are not of the same movies: {unlike}")
        elif not set(one.ids()) & set(two.ids()):
            yield Hint("micrographs", "are not of the same movies: they have no id in common")
        elif (sizes := [_pixel_size(each) for each in (one, two)])[0] != sizes[1]:
            yield Hint("micrographs", f"differ in pixel size, {sizes[0]:g} and {sizes[1]:g} Å: align again with equal binning")

    def run(self, job: Job) -> Agreed:
        one, two = self.micrographs
        rows = [each.items.with_columns(pl.col("enabled").fill_null(True)) for each in (one, two)]
        there = rows[1].filter(pl.col("enabled") & pl.col("shift_x").is_not_null())
        other = there.select("id", **{f"other_{name}": name for name in _OTHER if name in there.columns})
        both = rows[0].filter(pl.col("enabled") & pl.col("shift_x").is_not_null()).join(other, on="id", maintain_order="left")
        if both.is_empty():
            raise Failure(
                "no-common-micrographs", "motion.consensus: no movie was aligned in both sets.", "Give alignments of the same movies."
            )
        result = job.map(self.model_copy(update={"micrographs": ()}).compare, Micrographs(both, job.root, optics=one.optics))
        chosen = result.rows.filter(pl.col("alignment") == 2)["id"]
        items = pl.concat(
            [rows[0].filter(~pl.col("id").is_in(chosen.implode())), rows[1].filter(pl.col("id").is_in(chosen.implode()))],
            how="diagonal_relaxed",
        )
        lone = rows[1].join(rows[0], on="id", how="anti")
        items = pl.concat([items.sort("id"), lone], how="diagonal_relaxed").join(result.rows, on="id", how="left", maintain_order="left")
        micrographs = Micrographs(items, job.root, optics=one.optics, meta=one.meta)
        reasons = self._reasons(rows, result.rows) | dict(result.failed)
        differ = result.rows.filter(~pl.col("agree")).height
        if differ:
            job.warn(
                f"{differ} of {result.rows.height} movies were aligned differently: they are disabled, and first in the table of the report."
            )
        return Agreed(micrographs.disable(reasons) if reasons else micrographs)

    def _reasons(self, sets: list[pl.DataFrame], compared: pl.DataFrame) -> dict[int, str]:
        """Return why micrographs are disabled that were not in both sets."""
        reasons = {}
        for row in compared.filter(~pl.col("agree")).iter_rows(named=True):
            far = f"alignments differ by {row['motion_difference']:.2f} Å" if row["motion_difference"] > self.max_difference else ""
            reasons[row["id"]] = far or f"sums agree to {row['sums_resolution']:.1f} Å only"
        usable = [set(rows.filter(pl.col("enabled"))["id"]) for rows in sets]
        for number, name in ((0, "second"), (1, "first")):
            reasons |= dict.fromkeys(usable[number] - usable[1 - number], f"not aligned in the {name} set")
        return reasons

    def compare(self, item: Item) -> Mapping[str, Any]:
        """Compare two alignments of one movie."""
        import numpy as np
        import torch

        from cryoloom.formats.motion_fields import displacements
        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.motion.agreement import difference, dimmed_by, likeness

        torch.set_num_threads(1)
        first, second = item.row, {name.removeprefix("other_"): value for name, value in item.row.items() if name.startswith("other_")}
        for name, word in (("crop_x", "region"), ("crop_y", "region"), ("width", "size"), ("height", "size")):
            if (first.get(name) or 0) != (second.get(name) or 0):
                raise Failure(
                    "unlike-sums", f"{item['micrograph_name']}: the {word} of its two sums differs.", "Align again with equal settings."
                )
        fields = [displacements(row, item.root, PLACES) for row in (first, second)]
        starts = [int(row.get("first_frame") or 1) for row in (first, second)]
        start, stop = max(starts), min(begin + len(field) for begin, field in zip(starts, fields, strict=True))
        if stop - start < 2:
            raise Failure("unlike-sums", f"{item['micrograph_name']}: the two sets have fewer than two frames in common.", "Align again.")
        common = [field[start - begin : stop - begin] for begin, field in zip(starts, fields, strict=True)]
        movie, sums = float(item["movie_pixel_size"]), float(item["pixel_size"])
        apart = difference(*common)
        images = [np.ascontiguousarray(read_mrc(item.root / row["micrograph_path"]).data, dtype=np.float32) for row in (first, second)]
        alike = likeness(images[0], images[1], apart.mean * (movie / sums))
        agreement = sums / alike.resolved()
        agree = apart.both * movie <= self.max_difference and (self.min_resolution is None or agreement <= self.min_resolution)
        better = 1 if alike.stronger >= 0 else 2
        return {
            "motion_difference": apart.both * movie,
            "global_difference": apart.whole * movie,
            "global_difference_px": apart.whole,
            "local_difference": apart.local * movie,
            "dimmed_resolution": dimmed_by(apart.both * movie),
            "sums_resolution": agreement,
            "signal_ratio": alike.stronger,
            "alignment": {"better": better, "first": 1, "second": 2}[self.keep],
            "agree": agree,
        }

    def summary(self, out: Agreed) -> Mapping[str, Any]:
        rows = out.micrographs.items.filter(pl.col("agree").is_not_null())
        return {
            "compared": rows.height,
            "agree": int(rows["agree"].sum()),
            "left out": len(out.micrographs) - out.micrographs.enabled().height,
            "median difference (Å)": round(float(rows["motion_difference"].median() or 0), 2),  # pyright: ignore[reportArgumentType]
            "of the second set": rows.filter(pl.col("alignment") == 2).height,
        }

    def methods(self, out: Agreed) -> str:
        rows = out.micrographs.items.filter(pl.col("agree").is_not_null())
        return (
            f"Two alignments of {rows.height} movies were compared, and the {int((~rows['agree']).sum())} whose displacements differed by more than "
            f"{self.max_difference:g} Å RMS were left out; the median difference was {float(rows['motion_difference'].median() or 0):.2f} Å."  # pyright: ignore[reportArgumentType]
        )

    def report(self, out: Agreed) -> list[Panel]:
        from cryoloom.report.panels import Histogram, LinePlot, Series, TableView

        rows = out.micrographs.to_polars().filter(pl.col("agree").is_not_null()).sort("motion_difference", descending=True)
        columns = (
            "micrograph_name",
            "agree",
            "motion_difference",
            "global_difference",
            "local_difference",
            "sums_resolution",
            "alignment",
        )
        worst = rows.row(0, named=True)
        size, series = float(worst["movie_pixel_size"]), []
        for name, each in zip(("first set", "second set"), self.micrographs, strict=True):
            row = each.items.filter(pl.col("id") == worst["id"]).row(0, named=True)
            series.append(Series(name, *([-value * size for value in row[f"shift_{axis}"]] for axis in "xy")))
        return [
            Histogram(
                title="Difference of alignments", values=rows["motion_difference"].to_list(), label="Å", marks={"largest allowed": self.max_difference},
                caption="Root mean square distance of displacements over frames and places, one count a movie.",
            ),
            Histogram(
                title="Agreement of sums", values=rows["sums_resolution"].to_list(), label="Å",
                caption="Resolution to which the ring correlation of the two sums stays above 0.5; their noise is the same.",
            ),
            LinePlot(
                title=f"Paths of {worst['micrograph_name']}", series=series, x_label="x shift (Å)", y_label="y shift (Å)",
                caption="The movie on which the two alignments differ most.",
            ),
            TableView(title="Movies, most different first", columns={name: rows[name].to_list() for name in columns}),
        ]  # fmt: skip


def _pixel_size(micrographs: Micrographs) -> float:
    return float(micrographs.optics[0]["pixel_size"])
