"""angles.compare: how far two alignments of the same particles agree, particle by particle."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator

from cryoloom.data import Particles, symmetry_hints
from cryoloom.data.compared import comparison_hints
from cryoloom.report.panels import AngularDistribution, HeatMap, Histogram, LinePlot, Series, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol

if TYPE_CHECKING:
    from cryoloom.numerics.geometry.differences import PoseDifferences

ANGLES = ("rot", "tilt", "psi")
SHIFTS = ("origin_x", "origin_y")
LEAST = 3
"""Particles without which no frame can be found."""
FRACTIONS = (5.0, 10.0, 20.0)
"""Degrees below which the report counts particles."""
UNRELATED = 0.8
"""Median difference over that of random poses from which two alignments have hardly anything in common."""
BINS = 60
CURVE = 400
"""Points of a curve over all particles."""

Frame = Annotated[
    Literal["auto", "yes", "no"], BeforeValidator(lambda value: {"true": "yes", "false": "no"}.get(str(value).lower(), value))
]


@dataclass(frozen=True)
class Compared(Outputs):
    particles: Particles


class CompareAngles(
    Protocol,
    id="angles.compare",
    outputs=Compared,
    aliases=("XmippProtAngCompare", "XmippProtCompareAngles"),
):
    """Write beside each particle how far two alignments of it are apart, by angle and shift, symmetry and frame taken out.

    What two methods, or two beginnings, place alike is more likely placed rightly: keep it by `sets.select` and a rule such as
    ``angle_difference < 10``.
    """

    particles: Particles = Input(
        "Particles", columns=ANGLES, aliases=("inputParticles1",), help="Of the first alignment: the output is this set, its poses kept."
    )
    other: Particles = Input(
        "Other alignment", columns=ANGLES, aliases=("inputParticles2",),
        help="The same particles, aligned by another method or from another beginning. An alignment that began at the first one's poses agrees too well.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "C1", aliases=("symmetryGroup",),
        help="Point group of the map: poses that differ by it are one. A lower one than the map has makes equal poses differ.",
    )  # fmt: skip
    frame: Frame = Param(
        "Align frames", "auto",
        help="Two maps may be turned, moved and mirrored against each other. auto: that is found, and taken out where it lowers the median angle, or the "
        "median shift, by more than a fifth. yes: always. no: never.",
    )  # fmt: skip
    check_mirrors: bool = Param(
        "Take mirrors for equal", False, advanced=True, aliases=("checkMirrors",),
        help="The opposite view counts as agreement, as in Xmipp, though its image is the mirrored one. It is a column of its own in any case.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        yield from comparison_hints((self.particles, self.other), "other")

    def run(self, job: Job) -> Compared:
        import numpy as np

        from cryoloom.numerics.geometry.differences import NO_FRAME, common_frame, pose_differences
        from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler
        from cryoloom.numerics.geometry.symmetry import point_group

        group, rows = point_group(self.symmetry), self._common()
        if absent := len(self.particles.ids()) - rows.height:
            job.warn(f"{absent} particles of the first set are not in the other, or disabled in one of them; they are left out.")
        first, second = (euler_to_matrix(*rows.select(f"{name}{end}" for name in ANGLES).to_numpy().T) for end in ("", "_other"))
        origins = [rows.select(f"{name}{end}" for name in SHIFTS).to_numpy() for end in ("", "_other")]
        whole = np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2)) & np.isfinite(np.hstack(origins)).all(axis=1)
        if whole.sum() < (1 if self.frame == "no" else LEAST):
            raise Failure(
                "poses-missing",
                f"Both sets have whole poses of {int(whole.sum())} common particles.",
                "Give two alignments of one set of particles.",
            )
        job.progress(0, 2, "frames")
        frame = NO_FRAME
        if self.frame != "no":
            frame = common_frame(first[whole], origins[0][whole], second[whole], origins[1][whole], group, always=self.frame == "yes")
        job.progress(1, 2, "differences")
        found = pose_differences(first, frame.poses(second), frame.operators(group), job.threads)
        shift = frame.shifts(first, origins[0] - origins[1])
        angle = np.minimum(found.axes, found.mirror) if self.check_mirrors else found.axes
        columns = pl.DataFrame(
            {
                "id": rows["id"], "angle_difference": angle, "angle_difference_geodesic": found.geodesic, "direction_difference": found.direction,
                "psi_difference": found.psi, "angle_difference_mirror": found.mirror, "shift_difference": shift,
                "shift_difference_px": shift / rows["pixel_size"],
            }
        ).with_columns(pl.exclude("id").fill_nan(None))  # fmt: skip
        if not whole.all():
            job.warn(f"{int((~whole).sum())} particles have poses that are not numbers; they are disabled, and in no figure.")
        bad = {int(each): "its pose in one of the two sets is not a number" for each in rows["id"].to_numpy()[~whole]}
        move = dict(zip(ANGLES, (float(each) for each in matrix_to_euler(frame.rotation)), strict=True))
        told = {
            "turned": frame.turned, "displaced": frame.displaced, "mirrored": frame.mirrored and frame.turned, **move,
            "offset": frame.offset.tolist(), "symmetry": group.name,
        }  # fmt: skip
        made = self.particles.select(rows["id"]).with_columns(columns, frame=told)
        made = made.disable(bad) if bad else made
        median, chance = float(np.median(angle[whole])), float(np.median(self._random.axes))
        if median > UNRELATED * chance:
            job.warn(
                f"The alignments have hardly anything in common: their median difference is {median:.0f}°, of random poses {chance:.0f}°. "
                "One of them failed, or the sets are of other particles or symmetry."
            )
        return Compared(made)

    def _common(self) -> pl.DataFrame:
        """Return the particles of both sets in the first's order: ``id``, ``pixel_size``, poses, and those of the other with ``_other``."""
        found = []
        for each in (self.particles, self.other):
            rows = each.enabled()
            absent = [pl.lit(0.0).alias(name) for name in SHIFTS if name not in rows.columns]
            size = [] if "pixel_size" in rows.columns else [pl.lit(None, pl.Float64).alias("pixel_size")]
            rows = rows.with_columns(*absent, *size).select("id", pl.col("pixel_size", *ANGLES, *SHIFTS).cast(pl.Float64))
            found.append(rows.with_columns(pl.col(*ANGLES, *SHIFTS).fill_null(float("nan"))))
        return found[0].join(found[1].drop("pixel_size"), on="id", suffix="_other", maintain_order="left")

    @cached_property
    def _random(self) -> "PoseDifferences":
        from cryoloom.numerics.geometry.differences import random_differences
        from cryoloom.numerics.geometry.symmetry import point_group

        return random_differences(point_group(self.symmetry), 1)

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Compared) -> Mapping[str, Any]:
        rows = out.particles.enabled()
        angle, shift = rows["angle_difference"], rows["shift_difference"]
        return {
            "compared": rows.height,
            "angle (°), mean": _rounded(angle.mean()),
            "angle (°), median": _rounded(angle.median()),
            "shift (Å), median": _rounded(shift.median()),
            "below 10°": f"{100 * _below(angle, 10.0):.1f} % (of random poses {100 * float((self._random.axes < 10).mean()):.2f} %)",
            "frame": self._frame_words(out),
        }

    def _frame_words(self, out: Compared) -> str:
        frame = out.particles.meta["frame"]
        said = []
        if frame["turned"]:
            said.append(
                f"turned by rot {frame['rot']:.1f}°, tilt {frame['tilt']:.1f}°, psi {frame['psi']:.1f}°"
                + (", mirrored" if frame["mirrored"] else "")
            )
        if frame["displaced"]:
            said.append("moved by " + ", ".join(f"{each:.1f}" for each in frame["offset"]) + " Å")
        return "the other's was " + ", ".join(said) if said else "the same"

    def methods(self, out: Compared) -> str:
        angle = out.particles.enabled()["angle_difference"]
        return (
            f"Two alignments of {len(angle)} particles were compared in {self.symmetry}; the median of the mean angle between corresponding axes is "
            f"{angle.median():.1f}°, and {100 * _below(angle, 10.0):.0f} % differ by less than 10°."
        )

    def report(self, out: Compared) -> list[Panel]:
        import numpy as np

        rows = out.particles.enabled()
        angle, shift = rows["angle_difference"].to_numpy(), rows["shift_difference"].to_numpy()
        widest = max(float(np.quantile(shift, 0.99)), 1e-3)
        counts, _, _ = np.histogram2d(np.clip(shift, 0, widest), angle, bins=BINS, range=((0, widest), (0, max(float(angle.max()), 1e-3))))
        listed = {"": ["angle", "rotation", "direction", "in the plane", "to the opposite view"]}
        names = ("angle_difference", "angle_difference_geodesic", "direction_difference", "psi_difference", "angle_difference_mirror")
        by_chance = (self._random.axes, self._random.geodesic, self._random.direction, self._random.psi, self._random.mirror)
        figures = {
            "mean (°)": [rows[name].mean() for name in names], "median (°)": [rows[name].median() for name in names],
            **{f"below {limit:g}° (%)": [100 * _below(rows[name], limit) for name in names] for limit in FRACTIONS},
            **{f"by chance below {limit:g}° (%)": [100 * float((each < limit).mean()) for each in by_chance] for limit in FRACTIONS},
        }  # fmt: skip
        share = np.linspace(0, 100, CURVE)
        return [
            TableView(
                title="Differences", columns=listed | figures,
                caption=f"Rotation: the one turn ω from one pose to the other. Angle: the mean between corresponding axes, 0.67 to 0.82 of that. Direction: "
                "between the views, as they stand and to the opposite one. In the plane: the rest, within the image. By chance: of random poses. "
                f"Frame: {self._frame_words(out)}.",
            ),
            LinePlot(
                title="Particles that agree", x_label="angle difference (°)", y_label="% below", y_range=(0, 101),
                series=[
                    Series("these", np.quantile(angle, share / 100).tolist(), share.tolist()),
                    Series("random poses", np.quantile(self._random.axes, share / 100).tolist(), share.tolist()),
                ],
                marks={f"{100 * float((angle < limit).mean()):.0f} % below {limit:g}°": limit for limit in FRACTIONS},
            ),
            Histogram(title="Angle differences", values=angle.tolist(), label="angle difference (°)", bins=BINS),
            Histogram(
                title="Shift differences", values=np.clip(shift, 0, widest).tolist(), label="shift difference (Å)", bins=BINS,
                caption="The farthest hundredth in the last bin.",
            ),
            LinePlot(
                title="In the order of the set", x_label="particle", y_label="median angle difference (°)",
                series=[Series("median of those around", *_running(angle))],
                caption="Rises where a part of the set, a micrograph or a session, is aligned worse.",
            ),
            LinePlot(
                title="Sorted", x_label="% of the particles", y_label="difference below (°)",
                series=[Series(label, share.tolist(), np.quantile(rows[name].to_numpy(), share / 100).tolist()) for label, name in
                        (("angle", "angle_difference"), ("direction", "direction_difference"), ("in the plane", "psi_difference"))],
            ),
            HeatMap(
                title="Angle and shift", values=np.log1p(counts.T), label="log(1 + particles)", x_label="shift difference (Å)",
                y_label="angle difference (°)", extent=(0.0, widest, 0.0, max(float(angle.max()), 1e-3)),
            ),
            AngularDistribution(
                title="Disagreement by direction", rot=rows["rot"].to_list(), tilt=rows["tilt"].to_list(), values=angle.tolist(), label="median (°)",
                caption="High where views are taken for each other.",
            ),
        ]  # fmt: skip


def _below(angles: pl.Series, limit: float) -> float:
    """Return the part of angles below a limit."""
    return float((angles.to_numpy() < limit).mean()) if len(angles) else 0.0


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 2)


def _running(values: Any) -> tuple[list[float], list[float]]:
    """Return places and medians of at most `CURVE` equal parts of `values`, in order, each of some ten values or more."""
    import numpy as np

    parts = np.array_split(np.arange(len(values)), min(CURVE, len(values) // 10 + 1))
    return [float(part.mean()) for part in parts], [float(np.median(values[part])) for part in parts]
