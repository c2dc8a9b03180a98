"""How images were recorded: the parameters that every import asks for, declared once, and the optics group they make."""

from datetime import datetime
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator

from cryoloom.spec import AbsolutePath, Failure, Param, Texts
from cryoloom.units import AngstromPerPixel, ElectronsPerSquareAngstrom, KiloVolts, Millimetres


def _moment(text: str) -> str:
    """Return a text that means a time, or none."""
    if text:
        datetime.fromisoformat(text.strip())
    return text


Folder = Annotated[AbsolutePath, Param(
    "Folder", "", advanced=True, wizard="file", aliases=("filesPath",),
    help="Where relative patterns start; empty: where the program was started. A wrong one finds nothing.",
)]  # fmt: skip
Exclude = Annotated[Texts, Param(
    "Leave out", (), advanced=True,
    help="Files of the pattern not to take: names or paths with wildcards. What is left out here is in no later step.",
)]  # fmt: skip
ExcludeList = Annotated[AbsolutePath, Param(
    "Leave-out list", "", advanced=True, wizard="file", aliases=("blacklistFile",),
    help="A text file with a name, path or pattern a line of files not to take. What is left out here is in no later step.",
)]  # fmt: skip
ExcludeRegexps = Annotated[bool, Param(
    "List of expressions", False, advanced=True, when="exclude_list", aliases=("useRegexps",),
    help="The lines of the list are regular expressions, which may fit any part of a path. One like `.` leaves everything out.",
)]  # fmt: skip
ExcludeFrom = Annotated[str, AfterValidator(_moment), Param(
    "Leave out from", "", advanced=True, aliases=("blacklistDateFrom",),
    help="Files last changed from then on, 2026-03-01 or 2026-03-01 14:30:00, are not taken. A copy may have lost the time of its recording.",
)]  # fmt: skip
ExcludeTo = Annotated[str, AfterValidator(_moment), Param(
    "Leave out until", "", advanced=True, aliases=("blacklistDateTo",),
    help="Files last changed up to then are not taken; with a beginning, those between. A copy may have lost the time of its recording.",
)]  # fmt: skip
CopyFiles = Annotated[bool, Param(
    "Copy files", False, advanced=True, aliases=("copyFiles",),
    help="Copy the files into the project instead of linking them. Links break when the originals are moved.",
)]  # fmt: skip
IgnoreHeaderPixelSize = Annotated[bool, Param(
    "Ignore the header's pixel size", False, group="Acquisition", advanced=True,
    help="Take the pixel size given here even where the files say another. Right only when the headers are known to be wrong.",
)]  # fmt: skip
PixelSize = Annotated[AngstromPerPixel, Param(
    "Pixel size", gt=0, le=100, group="Acquisition", aliases=("samplingRate",),
    help="Å per pixel of these images. Every length that is measured later is wrong by the same factor as this.",
)]  # fmt: skip
Voltage = Annotated[KiloVolts, Param(
    "Voltage", 300.0, gt=0, le=1200, group="Acquisition",
    help="Acceleration voltage of the microscope. A wrong one bends every transfer function.",
)]  # fmt: skip
SphericalAberration = Annotated[Millimetres, Param(
    "Spherical aberration", 2.7, ge=0, le=20, group="Acquisition", aliases=("sphericalAberration",),
    help="Of the objective lens. A wrong one spoils resolutions beyond about 4 Å.",
)]  # fmt: skip
AmplitudeContrast = Annotated[float, Param(
    "Amplitude contrast", 0.1, ge=0, lt=1, group="Acquisition", aliases=("amplitudeContrast",),
    help="Fraction, 0.07 to 0.1 for proteins in ice, 0.2 or more in negative stain. A wrong one shifts the fitted defocus.",
)]  # fmt: skip
Magnification = Annotated[float | None, Param(
    "Magnification", None, gt=0, group="Acquisition", advanced=True,
    help="As the microscope shows it. It is recorded; the pixel size decides, unless that is taken from the scanner. A wrong one then scales all.",
)]  # fmt: skip
IgnoreRecorded = Annotated[bool, Param(
    "Ignore the microscope's files", False, group="Acquisition", advanced=True,
    help="Do not read EPU's .xml or SerialEM's .mdoc beside the movies. Without them nobody notices a wrong voltage or pixel size.",
)]  # fmt: skip
DosePerFrame = Annotated[ElectronsPerSquareAngstrom | None, Param(
    "Dose per frame", None, gt=0, group="Acquisition", aliases=("dosePerFrame",),
    help="Electrons per Å² in one frame; empty: unknown, and nothing can be dose-weighted. A wrong one weights by the wrong damage.",
)]  # fmt: skip
PreExposure = Annotated[ElectronsPerSquareAngstrom, Param(
    "Dose before the first frame", 0.0, ge=0, group="Acquisition", advanced=True, aliases=("doseInitial",),
    help="Electrons per Å² that hit the specimen before the recording. Left out, early frames weigh too much.",
)]  # fmt: skip


def optics_group(protocol: Any, **more: Any) -> dict[str, Any]:
    """Return the one optics group of an import from the protocol's own fields, `more` laid over them."""
    group = {"optics_group": 1, "optics_group_name": "opticsGroup1"}
    names = ("pixel_size", "voltage", "cs", "amplitude_contrast", "magnification", "dose_per_frame", "pre_exposure")
    return {**group, **{name: getattr(protocol, name) for name in names if hasattr(protocol, name)}, **more}


def dose_of_frame(rate: float, exposure: float, frames: int, pixel_size: float) -> float:
    """Return the dose of one frame, e/Å², of `rate` e/px/s during `exposure` s in `frames` frames with pixels of `pixel_size` Å."""
    return rate * exposure / (frames * pixel_size**2)


def demand_pixel_size(said: pl.DataFrame, pixel_size: float) -> None:
    """Refuse a pixel size that headers contradict by more than 1 %; 0 and 1.0 in a header mean that its writer did not know.

    Parameters
    ----------
    said
        Columns ``name`` of the file and ``header_pixel_size``, Å.
    pixel_size
        Å, as given.

    Raises
    ------
    Failure
        ``pixel-size``, with both values.
    """
    size = pl.col("header_pixel_size")
    other = said.filter((size > 0) & (size != 1.0) & ((size / pixel_size - 1).abs() > 0.01))
    if other.height:
        name, value = other.select("name", "header_pixel_size").row(0)
        raise Failure(
            "pixel-size",
            f"The header of {name} says {value:g} Å/px, --pixel-size says {pixel_size:g} Å/px "
            f"({other.height} of {said.height} files differ by more than 1 %).",
            "Correct the pixel size, or set ignore_header_pixel_size (--ignore-header-pixel-size) if the headers are wrong.",
        )


_WRONG_FILES = ", or set ignore_recorded (--ignore-recorded) if the files are wrong"


def settled(said: pl.DataFrame, given: float | None, what: str, unit: str, *, unless: str = _WRONG_FILES) -> float | None:
    """Return a value of the acquisition: as given, otherwise as the files of the microscope or of another program say, None where neither tells.

    Parameters
    ----------
    said
        Columns ``recorded_by``, the file's name, and ``value``, 0 where the file does not tell.
    given
        As in the form.
    what, unit
        Name of the parameter and its unit, for people.
    unless
        What else can be done than to correct the value, for people.

    Raises
    ------
    Failure
        ``recorded``, naming both sides, when a file contradicts the form, or another file.
    """
    told = said.filter(pl.col("value") > 0)
    if told.is_empty():
        return given
    reference = given if given is not None else float(told["value"][0])
    other = told.filter((pl.col("value") / reference - 1).abs() > 0.01)
    if other.height:
        name, value = other.select("recorded_by", "value").row(0)
        against = f"--{what.replace(' ', '-')}" if given is not None else told["recorded_by"][0]
        raise Failure(
            "recorded",
            f"{name} says {value:g} {unit}, {against} says {reference:g} {unit} ({other.height} of {told.height} files differ).",
            f"Correct the {what}, import what differs in a run of its own{unless}.",
        )
    return reference
