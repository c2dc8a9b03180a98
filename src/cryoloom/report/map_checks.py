"""What a check of a map says in words: good, advice or warning, the number it rests on, and what to try next."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from cryoloom.data import Checks
from cryoloom.report.panels import Notice, TableView
from cryoloom.spec import Panel

Verdict = Literal["good", "advice", "warning"]

SAME, UNLIKE = 0.99999, 0.2
"""Correlation from which two half maps are one map, and below which they are not of one particle."""
SHARED, EVIDENT = 0.05, 5.0
"""Correlation of half maps around the particle, and its standard errors, from which they share noise."""
MASKED = 0.01
"""Variance of noise around the particle to that inside below which half maps have been masked."""
TIGHT = 0.1
"""Correlation of maps of random phases under the mask, at the resolution, from which the mask is too tight."""
CUT = 0.1
"""Part of what the halves have in common that a mask may leave out."""
SOFT = 4.0
"""Voxels over which a mask's edge falls at the least."""
CLAIM, UNLIKE_CURVE = 1.05, 0.1
"""Times finer than measured that a resolution may be told, and the largest difference of a stored curve from the one measured."""
STRETCHED, FAR = 1.3, 2.0
"""Times the finest resolution of a direction that the coarsest may be, and may be at the most where the views are not known."""
UNEVEN = 0.8
"""Efficiency of views below which they explain a stretched map."""
TWICE = 0.001
"""Part of the particles that may be in both halves before it is a warning."""
PIXELS = 0.005
"""Relative difference of the pixel sizes of set and header."""
FITS, INCLUDED, COARSER = 0.3, 0.3, 2.0
"""Correlation and part of the atoms in the contour below which a model is not in its place, and resolutions of the map that it may stay behind."""
LOCAL_FINE, LOCAL_COARSE = 0.75, 1.5
"""Median local resolution, in resolutions of the map, below and above which something is off."""
RESTS_ON = "The number is what a verdict rests on, in the unit of the words beside it."
LIKELIHOODS = (
    "Of “images show the map” it is log-likelihood per image, of “CTFs” and “phases” the log-likelihood that the other choice would gain: below 0, what is "
    "recorded is right."
)


class Check(NamedTuple):
    """One line of the page."""

    check: str
    verdict: Verdict
    value: float | None
    message: str


def no_halves() -> Check:
    """Say that nothing can be told of resolution."""
    return Check(
        "half maps", "warning", None,
        "The map has no half maps: no resolution can be claimed for it. Refine in two halves, or import the map with its half maps.",
    )  # fmt: skip


def unreadable(what: str, problem: str) -> Check:
    """Say that a file cannot be used."""
    return Check(f"{what} readable", "warning", None, problem)


def alike(correlation: float, boxes: tuple[int, int, int]) -> Check:
    """Judge whether half maps are two maps, of one particle."""
    if len(set(boxes)) > 1:
        told = ", ".join(map(str, boxes))
        return Check(
            "half maps",
            "warning",
            None,
            f"Map and half maps have boxes of {told} voxels: they do not belong together. Give those of one run.",
        )
    if correlation > SAME:
        return Check(
            "half maps", "warning", correlation,
            f"The half maps are the same map (correlation {correlation:.6f}): their FSC says nothing. Give the two independent ones.",
        )  # fmt: skip
    if correlation < -UNLIKE:
        return Check(
            "half maps",
            "warning",
            correlation,
            f"One half map is the negative of the other (correlation {correlation:.2f}). Make them alike.",
        )
    return Check("half maps", "good", correlation, f"Two different maps, correlation {correlation:.2f}.")


def frame(turned: tuple[str, float, float] | None, shift: float, pixel_size: float) -> Check:
    """Judge whether half maps lie in one frame; `shift` in Å."""
    if turned is not None:
        axes, better, worse = turned
        return Check(
            "frame of the halves", "warning", better,
            f"The second half fits the first with axes {axes} (correlation {better:.2f}), as it is not ({worse:.2f}): swapped axes or another hand. "
            "Export both from one program.",
        )  # fmt: skip
    if shift > pixel_size:
        return Check(
            "frame of the halves", "warning", shift,
            f"The halves lie {shift:.1f} Å apart, more than a voxel of {pixel_size:.2f} Å: their FSC is too low. Lay one on the other with volumes.align.",
        )  # fmt: skip
    return Check("frame of the halves", "good", shift, f"The halves lie on each other to {shift:.2f} Å.")


def belongs(agreement: float) -> Check:
    """Judge whether the map is made of its half maps; the mean shell correlation up to the resolution."""
    if agreement < 0.8:
        return Check(
            "map of these halves", "warning", agreement,
            f"Map and mean of the half maps correlate to {agreement:.2f} up to the resolution: the map is not made of these halves. Give those of its own run.",
        )  # fmt: skip
    return Check("map of these halves", "good", agreement, f"The map is that of its halves (correlation {agreement:.2f} of the shells).")


def beyond(corners: float | None, solvent: float | None, error: float) -> Iterator[Check]:
    """Judge what halves share where independent ones share nothing."""
    if corners is not None:
        shared = abs(corners) > SHARED
        yield Check(
            "beyond Nyquist", "warning" if shared else "good", corners,
            f"Coefficients beyond Nyquist correlate to {corners:.2f}"
            + (": the halves were interpolated or masked together, or share particles. Use half maps as they were reconstructed." if shared else "."),
        )  # fmt: skip
    if solvent is not None:
        shared = solvent > SHARED and solvent > EVIDENT * error
        yield Check(
            "noise around the particle", "warning" if shared else "good", solvent,
            f"Around the particle, fine detail of the halves correlates to {solvent:.3f} ± {error:.3f}"
            + (
                ": they share noise, as when particles are in both halves or halves were refined together. Remove duplicates, and refine again in halves that "
                "never meet."
                if shared
                else ", as of independent noise."
            ),
        )  # fmt: skip


def masked_before(ratio: float) -> Check:
    """Judge whether half maps are as they were reconstructed."""
    if ratio < MASKED:
        return Check(
            "unmasked halves", "warning", ratio,
            f"Around the particle the half maps have {ratio:.2g} of the noise inside: they were masked already, and an FSC without correction flatters. "
            "Use them as they were reconstructed.",
        )  # fmt: skip
    return Check("unmasked halves", "good", ratio, "The half maps have noise around the particle, as unmasked maps do.")


def falls(resolution: float, again: float | None, nyquist: float, last: float) -> Iterator[Check]:
    """Judge the shape of the FSC; `again` is the resolution to which it recovers, `last` its value in the last shell."""
    if again is not None:
        yield Check(
            "FSC falls once", "warning", again,
            f"The FSC falls below 0.143 at {resolution:.1f} Å and recovers to {again:.1f} Å: particles in both halves, too tight a mask or zeros of one "
            "defocus do that. Look at the curve.",
        )  # fmt: skip
    else:
        yield Check(
            "FSC falls once",
            "good",
            resolution,
            "The FSC falls below 0.143 and stays there." if last < 0.143 else "The FSC does not fall before Nyquist.",
        )
    if resolution < 1.05 * nyquist:
        yield Check(
            "Nyquist", "advice", resolution,
            f"The FSC reaches Nyquist, {nyquist:.2f} Å: the data may hold more. Extract at smaller pixels; if it stays flat there, look for duplicates.",
        )  # fmt: skip


def told(claimed: float, measured: float, where: str, masked: bool) -> Check:
    """Judge a resolution that was told against the one measured from the files, under a mask or not."""
    name = f"resolution told by the {where}"
    if measured <= CLAIM * claimed:
        return Check(name, "good", measured, f"The {where} tells {claimed:.2f} Å; the half maps give {measured:.2f} Å.")
    text = f"The {where} tells {claimed:.2f} Å; its half maps agree to {measured:.2f} Å"
    if masked:
        return Check(name, "warning", measured, f"{text} under the mask. Do not report the finer value.")
    return Check(name, "advice", measured, f"{text} without a mask. Give the mask under which the finer value was told.")


def stored_curve(difference: float) -> Check:
    """Judge a stored FSC against the one computed from the files: the largest difference of a shell."""
    if difference > UNLIKE_CURVE:
        return Check(
            "stored FSC", "warning", difference,
            f"The stored FSC differs by up to {difference:.2f} from that of the half maps: it is of other maps, or a mask was left on. Compute it again.",
        )  # fmt: skip
    return Check("stored FSC", "good", difference, f"The stored FSC is that of the half maps, to {difference:.3f}.")


def circle(cut: float, diameter: float) -> Check:
    """Judge whether the sphere that a map was refined in holds the particle."""
    if cut > CUT:
        return Check(
            "mask diameter", "warning", cut,
            f"{cut:.0%} of what the halves have in common lies outside of the mask diameter of {diameter:.0f} Å: it cuts the particle, or neighbours are in "
            "the box. Refine with a larger one.",
        )  # fmt: skip
    return Check("mask diameter", "good", cut, f"{cut:.0%} of what the halves have in common lies outside of {diameter:.0f} Å.")


def mask_tight(randomised: float, resolution: float) -> Check:
    """Judge a mask by what random phases show under it."""
    if randomised > TIGHT:
        return Check(
            "mask adds no correlation", "warning", randomised,
            f"Random phases correlate to {randomised:.2f} at {resolution:.1f} Å under the mask: it is too tight or too sharp. Widen it and its soft edge.",
        )  # fmt: skip
    return Check(
        "mask adds no correlation", "good", randomised, f"Random phases correlate to {randomised:.2f} at {resolution:.1f} Å under the mask."
    )


def mask_shape(edge: float, border: int, cut: float, unmasked: float, masked: float) -> Iterator[Check]:
    """Judge a mask's edge (voxels), its room, and what it leaves out; resolutions in Å."""
    if cut > CUT or unmasked < 0.95 * masked:
        yield Check(
            "mask holds the particle", "warning", cut,
            f"{max(cut, 0.0):.0%} of what the halves share lies outside the mask (resolution {unmasked:.2f} Å without, {masked:.2f} Å with it): it cuts the "
            "particle. Make it at a lower threshold.",
        )  # fmt: skip
    else:
        yield Check("mask holds the particle", "good", cut, f"{max(cut, 0.0):.0%} of what the halves have in common lies outside the mask.")
    if edge < SOFT:
        yield Check("mask is soft", "advice", edge, f"The mask falls within {edge:.1f} voxels: give it a soft edge of 5 or more.")
    if border < 1:
        yield Check(
            "mask has room", "advice", float(border), "The mask touches the border of the box: the box is too small, or the mask too wide."
        )


def by_direction(finest: float, coarsest: float, round_: float, rot: float, tilt: float, enough: bool, efficiency: float | None) -> Check:
    """Judge the resolutions of directions, extremes left out, given the efficiency of the views if it is known: rods and rings are stretched themselves."""
    if not enough:
        return Check("directions", "advice", None, "The halves agree on too few shells to compare directions.")
    ratio = coarsest / finest
    if ratio <= STRETCHED:
        return Check(
            "directions", "good", ratio, f"Halves agree to {finest:.1f} to {coarsest:.1f} Å in all directions (sphericity {round_:.2f})."
        )
    told = (
        f"Halves agree to {finest:.1f} Å in some directions and to {coarsest:.1f} Å in others, worst near rot {rot:.0f}°, tilt {tilt:.0f}° (sphericity "
        f"{round_:.2f})."
    )  # fmt: skip
    if efficiency is None:
        return Check("directions", "warning" if ratio > FAR else "advice", ratio, f"{told} Give the particles: their views tell why.")
    if efficiency < UNEVEN:
        return Check(
            "directions", "warning", ratio, f"{told} Views are missing, and the map is stretched there: tilt the stage or change the grid."
        )
    return Check(
        "directions", "advice", ratio,
        f"{told} The views are even: long or flat particles are so by themselves; a wrong symmetry or uncertain poses do it too.",
    )  # fmt: skip


def contrast(brightness: float) -> Check:
    """Judge whether the particle is bright."""
    if brightness < 0:
        return Check(
            "contrast", "warning", brightness, "The particle is darker than what is around it: invert the contrast of map and particles."
        )
    return Check("contrast", "good", brightness, "The particle is bright.")


def pixel_size(told_by_set: float, told_by_header: float) -> Check | None:
    """Judge whether set and header tell one pixel size; None when the header tells none."""
    if told_by_header <= 0:
        return None
    off = told_by_header / told_by_set - 1
    if abs(off) > PIXELS:
        return Check(
            "pixel size", "warning", off,
            f"The set tells {told_by_set:.4f} Å a voxel, the file's header {told_by_header:.4f}: lengths are off by {abs(off):.1%} in one of them. "
            "Calibrate by a known structure.",
        )  # fmt: skip
    return Check("pixel size", "good", off, f"Set and header tell {told_by_set:.4f} Å a voxel.")


def halves_of_particles(twice: int, count: int, sizes: Sequence[int], same_run: bool | None) -> Iterator[Check]:
    """Judge the particles: how many are in both halves, how large these are, and whether the map is of them."""
    if twice:
        part = twice / count
        yield Check(
            "particles in one half only", "warning" if part > TWICE else "advice", part,
            f"{twice} of {count} particles are also in the other half, as the same image or a box around the same place: the FSC flatters. Remove duplicates "
            "(particles.remove_duplicates) and refine again.",
        )  # fmt: skip
    else:
        yield Check("particles in one half only", "good", 0.0, f"None of {count} particles is in both halves.")
    if min(sizes) < 0.8 * max(sizes):
        yield Check(
            "halves of one size",
            "advice",
            min(sizes) / max(sizes),
            f"The halves hold {sizes[0]} and {sizes[1]} particles: split them evenly.",
        )
    if same_run is False:
        yield Check(
            "map of these particles",
            "advice",
            None,
            "Map and particles tell of other halves: they are not of one refinement. Give those of one run.",
        )


def local(median: float, resolution: float) -> Check:
    """Judge a map of local resolution by its median."""
    ratio = median / resolution
    if ratio < LOCAL_FINE:
        return Check(
            "local resolution",
            "warning",
            median,
            f"Half of the map is said to be finer than {median:.1f} Å, the whole {resolution:.1f} Å: the halves were filtered or masked.",
        )
    if ratio > LOCAL_COARSE:
        return Check(
            "local resolution",
            "advice",
            median,
            f"Half of the map is coarser than {median:.1f} Å, the whole {resolution:.1f} Å: parts move or are missing. Classify in 3D.",
        )
    return Check("local resolution", "good", median, f"Median {median:.1f} Å beside {resolution:.1f} Å of the whole.")


def growth(verdict: str, separation: float | None) -> Check:
    """Judge a curve of `validate.overfitting`."""
    words: dict[str, tuple[Verdict, str]] = {
        "above noise": ("good", "Maps of these particles agree better than maps of noise aligned to the reference."),
        "not distinguishable": ("warning", "Maps of these particles agree no better than maps of aligned noise. Refine from another first map."),
        "saturated": ("advice", "Both curves of the overfitting test end at the finest detail of its maps: repeat it at smaller pixels."),
    }  # fmt: skip
    level, text = words.get(
        verdict, ("advice", "The overfitting test was done without the noise bound: repeat it with the map as reference.")
    )
    return Check("overfitting", level, separation, text)


def model(correlation: float, model_resolution: float, inclusion: float, mirrored: bool, resolution: float | None) -> Iterator[Check]:
    """Judge how an atomic model agrees with the map that it was laid in."""
    told = f"The model agrees with the map to {correlation:.2f}, to {model_resolution:.1f} Å (FSC 0.5), with {inclusion:.0%} of its atoms inside of the contour"
    if mirrored:
        yield Check(
            "hand", "warning", correlation,
            "The model fits the mirror image of the map better: the map has the wrong hand, or the model. volumes.flip_hand mirrors map and poses.",
        )  # fmt: skip
    if correlation < FITS or inclusion < INCLUDED:
        yield Check("model", "warning", correlation, f"{told}: it is another particle's, lies elsewhere, or the map is wrong.")
    elif resolution is not None and model_resolution > COARSER * resolution:
        yield Check(
            "model",
            "advice",
            model_resolution,
            f"{told}, where the halves agree to {resolution:.1f} Å: parts are missing, moved, or overfitted.",
        )
    else:
        yield Check("model", "good", correlation, f"{told}.")


def checked(checks: Sequence[Check], root: Path, meta: Mapping[str, Any]) -> Checks:
    """Return the set of some checks."""
    table = pl.DataFrame(checks, schema=["check", "verdict", "value", "message"], orient="row", infer_schema_length=None)
    return Checks(
        table.with_columns(pl.col("value").cast(pl.Float64), id=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)), root, meta=dict(meta)
    )


def notices(checks: pl.DataFrame) -> list[Notice]:
    """Return what is wrong, the gravest first."""
    return [
        Notice(level=level, text=f"{row['check'][:1].upper()}{row['check'][1:]}: {row['message']}")
        for level in ("warning", "advice")
        for row in checks.iter_rows(named=True)
        if row["verdict"] == level
    ]


def panels(checks: Checks) -> list[Panel]:
    """Return what is wrong, and the table of all checks."""
    found: list[Panel] = [*notices(checks.items)]
    if not found:
        found = [Notice(level="good", text="No check found anything wrong. Look at the map all the same.")]
    columns = {"check": "check", "verdict": "verdict", "value": "number", "message": "what was found"}
    shown = {label: checks.items[name].to_list() for name, label in columns.items()}
    told = f"{RESTS_ON} {LIKELIHOODS}" if "CTFs" in shown["check"] else RESTS_ON
    return [*found, TableView(title="Checks", columns=shown, limit=60, caption=told)]
