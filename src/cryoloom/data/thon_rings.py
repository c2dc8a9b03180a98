"""What every protocol that fits Thon rings asks for, declared once; and the columns that a fit gives."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import polars as pl
import polars.selectors as cs

from cryoloom.spec import Hint, Param
from cryoloom.units import Angstrom, Degrees, Pixels

if TYPE_CHECKING:
    from cryoloom.numerics.ctf.estimate import Estimate, Settings
    from cryoloom.numerics.ctf.rings import Astigmatic, Optics

FINE = 3.4
"""Å to which spectra are fitted unless asked otherwise, or to Nyquist: past the ring of ice, where its Thon rings are strongest."""

RESAMPLED = 1.4
"""Å/px: spectra of finer micrographs are kept to this only, as no ring is seen beyond."""

BinFactor = Annotated[float, Param(
    "Downsampling", 1.0, ge=1, le=16, aliases=("ctfDownFactor",),
    help="Of the spectrum only: its fine end is dropped. So large that rings lie beyond the new Nyquist frequency, precision is lost.",
)]  # fmt: skip
LowRes = Annotated[Angstrom, Param(
    "Coarse limit", 30.0, gt=0, group="Band", wizard="psd-band", aliases=("lowRes",),
    help="Where the fit begins; a value below 0.5 is a fraction of the (downsampled) sampling rate, as in Scipion. "
    "Too coarse and the shape of particles is taken for rings.",
)]  # fmt: skip
HighRes = Annotated[Angstrom, Param(
    "Fine limit", FINE, gt=0, group="Band", wizard="psd-band", aliases=("highRes",),
    help="Where the fit ends, in Å or, below 0.5, as a fraction of the sampling rate; never beyond Nyquist. Too coarse costs precision.",
)]  # fmt: skip
MinDefocus = Annotated[Angstrom, Param(
    "Least defocus", 2500.0, ge=0, group="Search", aliases=("minDefocus",),
    help="Underfocus searched from here; a value below 100 is taken as µm. Micrographs outside of the range are disabled.",
)]  # fmt: skip
MaxDefocus = Annotated[Angstrom, Param(
    "Greatest defocus", 50000.0, gt=0, group="Search", aliases=("maxDefocus",),
    help="Underfocus searched to here; a value below 100 is taken as µm. Micrographs outside of the range are disabled.",
)]  # fmt: skip
DefocusStep = Annotated[Angstrom, Param(
    "Defocus step", 100.0, gt=0, group="Search", advanced=True, aliases=("stepDefocus",),
    help="Of the search; refined by itself where a ring would slip between two nodes, so a coarse one costs nothing.",
)]  # fmt: skip
ExpectedAstigmatism = Annotated[Angstrom, Param(
    "Expected astigmatism", 400.0, group="Search", advanced=True, aliases=("tolerated_astigmatism",),
    help="Soft restraint on the difference of the two defoci, zero or negative for none. Too small a value hides weak astigmatism.",
)]  # fmt: skip
FittedSpectrum = Annotated[Literal["whole", "tiles"], Param(
    "Spectrum", "whole", advanced=True,
    help="whole: of the micrograph, which tells the most. tiles: averaged over pieces of the window's size, as CTFFIND and Xmipp do; less precise, but "
    "an estimate of its own for ctf.consensus.",
)]  # fmt: skip
Average = Annotated[Literal["amplitude", "power"], Param(
    "Average", "amplitude", advanced=True,
    help="What is averaged over the pieces of a micrograph: amplitudes, which contaminants rule less, or powers.",
)]  # fmt: skip
Window = Annotated[Pixels, Param(
    "Spectrum window", 512, ge=64, le=4096, multiple_of=2, advanced=True, aliases=("windowSize",),
    help="Rows of the spectrum by which a fit is judged and shown; smaller micrographs get smaller ones. Too small a window blurs the rings of "
    "large defoci there; the fit itself is made to the spectrum of the whole micrograph.",
)]  # fmt: skip
Resample = Annotated[bool, Param(
    "Resample to 1.4 Å", True, advanced=True, aliases=("resamplePix",),
    help="Keep the spectra of finer micrographs to 2.8 Å only. Without it the window covers less of them and blurs their rings.",
)]  # fmt: skip
FindPhaseShift = Annotated[bool, Param(
    "Phase plate", False, group="Phase plate", aliases=("findPhaseShift",),
    help="Fit a phase shift as well. Without a plate it only costs precision of the defocus.",
)]  # fmt: skip
MinPhaseShift = Annotated[Degrees, Param(
    "Least shift", 0.0, ge=0, le=180, group="Phase plate", when="find_phase_shift", advanced=True,
    help="Phase shift searched from here. What the search does not begin near, it may miss.",
)]  # fmt: skip
MaxPhaseShift = Annotated[Degrees, Param(
    "Greatest shift", 180.0, ge=0, le=180, group="Phase plate", when="find_phase_shift", advanced=True,
    help="Phase shift searched to here. What the search does not begin near, it may miss.",
)]  # fmt: skip
PhaseShiftStep = Annotated[Degrees, Param(
    "Shift step", 10.0, gt=0, le=90, group="Phase plate", when="find_phase_shift", advanced=True,
    help="Of the search; the shift is refined after it. Steps above 30° may miss the right one.",
)]  # fmt: skip


def underfocus(value: float) -> float:
    """Return a defocus in Å that was given in Å or, below 100, in µm."""
    return value * 1e4 if value < 100 else value


def angstrom(limit: float, pixel_size: float) -> float:
    """Return a limit of the band in Å, given in Å or as a fraction of the sampling rate; those are at most 50 Å coarse, as in Scipion's forms."""
    return limit if limit >= 0.5 else min(pixel_size / limit, 50.0)


def settings_of(protocol: Any, pixel_size: float, **more: Any) -> "Settings":
    """Return how to fit a micrograph of `pixel_size` Å/px, from the protocol's own fields, `more` laid over them."""
    from cryoloom.numerics.ctf.estimate import Settings

    plates = None
    if protocol.find_phase_shift:
        whole = protocol.max_phase_shift - protocol.min_phase_shift
        count = math.ceil(whole / protocol.phase_shift_step) + 1
        plates = tuple(math.radians(protocol.min_phase_shift + whole / (count - 1) * number) for number in range(count))
    given: dict[str, Any] = {
        "low_res": angstrom(protocol.low_res, pixel_size * protocol.bin_factor),
        "high_res": angstrom(protocol.high_res, pixel_size * protocol.bin_factor),
        "min_defocus": underfocus(protocol.min_defocus),
        "max_defocus": underfocus(protocol.max_defocus),
        "defocus_step": protocol.defocus_step,
        "astigmatism": protocol.astigmatism,
        "plates": plates,
        "window": protocol.window,
        "spectral_pixel": max(pixel_size * protocol.bin_factor, RESAMPLED if protocol.resample else 0.0),
        "power": protocol.average == "power",
        "whole": protocol.spectrum == "whole",
    }
    return Settings(**given | more)


SENSIBLE = {"pixel_size": (0.05, 50.0), "voltage": (10.0, 3000.0), "cs": (0.0, 100.0), "amplitude_contrast": (0.0, 1.0)}
"""Least and most of what rings are computed from: Å/px, kV, mm, a fraction. Beyond them a unit or a digit is wrong."""


def contradictions(protocol: Any) -> Iterator[Hint]:
    """Yield what is wrong with the acquisition of the protocol's micrographs or, where nothing is, with the band and the ranges."""
    strange = [
        f"optics group {group['optics_group']} says {name} = {'nothing' if group.get(name) is None else group[name]}: import them anew"
        for group in protocol.micrographs.optics
        for name, (least, most) in SENSIBLE.items()
        if group.get(name) is None or not least <= group[name] <= most
    ]
    if strange:
        yield from (Hint("micrographs", each) for each in strange)
        return
    finest = min((float(group["pixel_size"]) for group in protocol.micrographs.optics), default=1.0) * protocol.bin_factor
    low, high = angstrom(protocol.low_res, finest), angstrom(protocol.high_res, finest)
    if high >= low:
        yield Hint("high_res", f"must be finer than low_res = {low:.3g} Å; got {high:.3g} Å", fix=round(low / 6, 1))
    elif 2 * finest >= 0.7 * low:
        yield Hint("bin_factor", f"leaves no rings between low_res = {low:.3g} Å and the new Nyquist frequency", fix=1.0)
    if underfocus(protocol.min_defocus) >= underfocus(protocol.max_defocus):
        yield Hint("max_defocus", f"must be above min_defocus = {protocol.min_defocus:g}; got {protocol.max_defocus:g}", fix=50000.0)
    if protocol.find_phase_shift and protocol.min_phase_shift >= protocol.max_phase_shift:
        yield Hint("max_phase_shift", f"must be above min_phase_shift = {protocol.min_phase_shift:g}°", fix=180.0)


def typed(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of fits whose columns without any value are numbers all the same, so that sets of several runs fit together."""
    return rows.with_columns(cs.by_dtype(pl.Null).cast(pl.Float64))


def defocus_columns(ctf: "Astigmatic") -> dict[str, float]:
    """Return a transfer function as the columns of a set."""
    return {
        "defocus_u": ctf.mean + ctf.astigmatism / 2,
        "defocus_v": ctf.mean - ctf.astigmatism / 2,
        "defocus_angle": ctf.angle,
        "phase_shift": math.degrees(ctf.plate),
        "astigmatism": ctf.astigmatism,
    }


def fitted(row: Mapping[str, Any], prefix: str = "") -> "Astigmatic | None":
    """Return the transfer function that the columns of a row say; None where they say none."""
    from cryoloom.numerics.ctf.rings import Astigmatic

    u, v, angle = (row.get(f"{prefix}{name}") for name in ("defocus_u", "defocus_v", "defocus_angle"))
    if u is None or v is None or not math.isfinite(u + v):
        return None
    double = 2 * math.radians(angle or 0.0)
    return Astigmatic(
        0.5 * (u + v),
        0.5 * (u - v) * math.cos(double),
        0.5 * (u - v) * math.sin(double),
        math.radians(row.get(f"{prefix}phase_shift") or 0.0),
    )


def optics_of(row: Mapping[str, Any]) -> "Optics":
    """Return the optics of the micrograph of a row."""
    from cryoloom.numerics.ctf.rings import Optics

    return Optics(row["voltage"], row["cs"], row["amplitude_contrast"])


def fit_columns(found: "Estimate") -> dict[str, Any]:
    """Return what a fit gives as the columns of a set; ``doubt`` and ``faint`` are for the run that makes it."""
    curves = found.curves
    return {
        **defocus_columns(found.ctf),
        "defocus_error": float(found.error[0]),
        "ctf_score": found.score,
        "ctf_resolution": found.resolution,
        "ctf_aliasing": curves.aliased,
        "ctf_rings": found.rings,
        "ctf_gain": found.gain,
        "ctf_drift": found.refined.drift,
        "ctf_iceness": found.ice if math.isfinite(found.ice) else None,
        "ctf_frequency": curves.frequency.tolist(),
        "ctf_rotational": curves.rotational.tolist(),
        "ctf_equiphase": curves.equiphase.tolist(),
        "ctf_fit": curves.fit.tolist(),
        "ctf_quality": curves.quality.tolist(),
        "doubt": "; ".join(found.doubts),
        "faint": found.faint,
    }
