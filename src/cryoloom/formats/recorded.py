"""What the microscope's software wrote beside a movie, or in it: pixel size, voltage, dose."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data.acquisition import settled
from cryoloom.formats.exchange import read_as, suffixes
from cryoloom.spec import Failure

RECORDED = ("recorded_by", "recorded_pixel_size", "recorded_whole", "recorded_voltage", "recorded_dose", "recorded_magnification")
"""Columns of `of_movie`."""
_LOOSE = 0.1
"""Relative difference of doses that calibrations do not notice."""
_HIGHEST = 1e30
_TAILS = re.compile(r"(_fractions|_eer|_movie)$", re.IGNORECASE)


@dataclass(frozen=True)
class Recorded:
    """One exposure; 0 or an empty text where the software does not tell.

    Attributes
    ----------
    source
        File that says it.
    pixel_size
        Å per pixel of an image of `width` columns.
    width
        px; 0: of which image the pixel size is, is not known.
    voltage
        kV.
    total_dose
        e/Å² on the specimen during the exposure.
    magnification
        As shown.
    frames
        Of the movie, as the software counts them.
    gain
        Name of the gain reference.
    """

    source: Path
    pixel_size: float = 0.0
    width: int = 0
    voltage: float = 0.0
    total_dose: float = 0.0
    magnification: float = 0.0
    frames: int = 0
    gain: str = ""

    def pixel_size_at(self, width: int) -> float:
        """Return the pixel size in Å of a movie of the same field with `width` columns."""
        return self.pixel_size * self.width / width if self.width else self.pixel_size


def beside(movie: Path) -> Path | None:
    """Return the file that the microscope's software wrote beside `movie`, None where there is none.

    Looked for: the movie's name with a further ending (SerialEM's ``a.tif.mdoc``), and its stem with another one, also without
    ``_fractions`` or ``_EER`` (EPU's ``a.xml`` beside ``a_fractions.tiff``).
    """
    names = dict.fromkeys((movie.name, movie.stem, _TAILS.sub("", movie.stem)))
    places = (movie.with_name(f"{name}{suffix}") for suffix in suffixes("acquisition") for name in names)
    return next((place for place in places if place.is_file()), None)


def recorded_with(movie: Path) -> Recorded | None:
    """Return what was recorded with `movie`, None where nothing lies beside it.

    Raises
    ------
    Failure
        ``recorded-invalid`` when the file beside it cannot be read.
    """
    place = beside(movie)
    return read_as("acquisition", place) if place is not None else None


def of_movie(recorded: Recorded | None, movie: Any) -> dict[str, Any]:
    """Return what was recorded with a movie for its own frames: pixel size at its width, dose of one frame as it is read.

    ``recorded_whole`` tells whether the pixel size is surely of these frames: otherwise it may be off by a power of 2;
    ``left_out`` counts hardware frames that make no whole fraction.
    """
    of_file = recorded or Recorded(movie.path)
    hardware = getattr(movie.source, "hardware_frames", movie.frames)
    grouping = getattr(movie.source, "grouping", 1)
    dose = of_file.total_dose or getattr(movie.source, "total_dose", 0.0)
    return {
        "recorded_by": of_file.source.name,
        "recorded_pixel_size": float(of_file.pixel_size_at(movie.width)),
        "recorded_whole": of_file.width > 0,
        "recorded_voltage": float(of_file.voltage),
        "recorded_dose": float(dose * grouping / hardware),
        "recorded_magnification": float(of_file.magnification),
        "left_out": hardware % grouping,
    }


def agreed(
    read: pl.DataFrame, pixel_size: float | None, voltage: float, dose: float | None, *, warn: Callable[[str], None]
) -> dict[str, Any]:
    """Return ``pixel_size`` (None: not known), ``voltage``, ``dose_per_frame`` and ``magnification`` of movies.

    Parameters
    ----------
    read
        Rows with the columns of `of_movie`.
    pixel_size, voltage, dose
        As given, Å/px, kV, e/Å² a frame.
    warn
        Told what may be right and is not equal.

    Raises
    ------
    Failure
        ``recorded`` when a file contradicts what was given, or another file.
    """
    whole = read.filter("recorded_whole").select("recorded_by", value="recorded_pixel_size")
    size = settled(whole, pixel_size, "pixel size", "Å/px")
    loose = read.filter(~pl.col("recorded_whole") & (pl.col("recorded_pixel_size") > 0)).select("recorded_by", value="recorded_pixel_size")
    if loose.height:
        reference = size if size is not None else float(loose["value"][0])
        # Frames of super-resolution or binned cameras are 2 or 4 times finer or coarser than the image that the software shows.
        steps = (pl.lit(reference) / pl.col("value")).log(2).round().clip(-2, 2)
        scaled = loose.with_columns(value=pl.col("value") * pl.lit(2.0).pow(steps), told="value")
        size = settled(scaled.select("recorded_by", "value"), reference, "pixel size", "Å/px")
        shown = scaled.row(0, named=True)
        if size is None or abs(shown["told"] / reference - 1) > _LOOSE or pixel_size is None:
            told = f"{shown['recorded_by']} says {shown['told']:g} Å/px of the image it shows; {reference:g} Å/px is used for the frames."
            warn(f"{told} Super-resolution and binned frames differ by 2 or 4.")
    doses = read.filter(pl.col("recorded_dose") > 0).select("recorded_by", "recorded_dose")
    if doses.height:
        # The first one's, and not a mean: movies that come later must not change it.
        dose = round(float(doses["recorded_dose"][0]), 4) if dose is None else dose
        other = doses.filter((pl.col("recorded_dose") / dose - 1).abs() > _LOOSE)
        if other.height:
            name, told = other.row(0)
            warn(f"{name} says {told:g} e/Å² a frame ({other.height} of {doses.height} files differ); {dose:g} e/Å² is used.")
    magnification = read.filter(pl.col("recorded_magnification") > 0)["recorded_magnification"]
    return {
        "pixel_size": size,
        "voltage": settled(read.select("recorded_by", value="recorded_voltage"), voltage, "voltage", "kV"),
        "dose_per_frame": dose,
        "magnification": float(magnification[0]) if len(magnification) else None,
    }


def number(text: str) -> float:
    """Return a positive number, 0 for anything else."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < _HIGHEST else 0.0


def invalid(path: Path, why: object) -> Failure:
    """Return the failure of a file that cannot be read as what it should be."""
    return Failure("recorded-invalid", f"{path.name}: {why}.", "Move it away from the movies.")
