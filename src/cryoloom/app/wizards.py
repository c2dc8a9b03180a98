"""What a form's wizards show: the data by which a person sets a parameter with the eye."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Coordinates, Micrographs, Particles, thon_rings
from cryoloom.data.identity import coordinate_scales
from cryoloom.data.places import on_micrographs
from cryoloom.numerics.fourier.ratios import exact_ratio
from cryoloom.numerics.particles.boxes import FAST_BOXES, ROOM, BoxSampling, fast_box
from cryoloom.spec import WrongUse

INSIDE = 0.9
"""Part of the radius of the first zero at which the inner circle is advised."""
CUT = 200
"""Particles of the average that a circle is laid on."""
SIDE_ROOM = 1.1
"""Radii of the particle at which its background is advised to begin."""


@dataclass(frozen=True)
class PsdBand:
    """The spectrum of a micrograph, and where its Thon rings may be fitted (wizard ``psd-band``).

    Attributes
    ----------
    picture
        ``(n, n)`` from 0 to 1, the origin at ``n // 2``; a circle of the resolution d Å has the radius ``n · picture_pixel / d`` px.
    picture_pixel
        Å/px that the picture's Nyquist stands for.
    frequency, profile
        Mean over circles, rings at full height, by 1/Å.
    low_res, high_res
        Advice in Å: just inside the first zero, and the last ring that is followed.
    nyquist
        Å: no circle may be finer, for this downsampling.
    doubt
        Why the advice is not to be trusted; empty where it is.
    """

    picture: Any
    picture_pixel: float
    frequency: list[float]
    profile: list[float]
    low_res: float
    high_res: float
    nyquist: float
    doubt: str


def psd_band(micrographs: Micrographs, micrograph_id: int | None = None, *, bin_factor: float = 1.0, window: int = 512) -> PsdBand:
    """Return the spectrum of one micrograph of a set, the first by default, at a downsampling.

    Raises
    ------
    WrongUse
        ``unknown-micrograph`` for an id that the set has not.
    """
    import numpy as np

    from cryoloom.formats.mrc import read_mrc
    from cryoloom.numerics.ctf.enhance import radius_of_phase
    from cryoloom.numerics.ctf.estimate import Settings, estimate_ctf
    from cryoloom.numerics.ctf.picture import plain_picture

    rows = micrographs.to_polars() if micrograph_id is None else micrographs.to_polars().filter(pl.col("id") == micrograph_id)
    if rows.is_empty():
        raise WrongUse("unknown-micrograph", f"The set has no micrograph {micrograph_id}.", "Choose one of its ids.")
    row = rows.row(0, named=True)
    pixel_size, optics = row["pixel_size"], thon_rings.optics_of(row)
    settings = Settings(window=window, spectral_pixel=max(pixel_size * bin_factor, thon_rings.RESAMPLED), low_res=50.0)
    found = estimate_ctf(np.squeeze(read_mrc(micrographs.file(row["micrograph_path"])).data), pixel_size, optics, settings)
    nyquist = 2 * found.spectrum.pixel_size
    picture = plain_picture(found.spectrum, nyquist)
    zero = float(np.median(radius_of_phase(found.ctf, optics, 2)))
    return PsdBand(
        picture=picture,
        picture_pixel=1 / (found.spectrum.step * len(picture)),
        frequency=found.curves.frequency.tolist(),
        profile=found.curves.rotational.tolist(),
        low_res=min(1 / (INSIDE * zero), 50.0),
        high_res=max(found.resolution, nyquist),
        nyquist=nyquist,
        doubt="; ".join(found.doubts),
    )


@dataclass(frozen=True)
class BoxAdvice:
    """Which box holds a particle (wizard ``box-size``).

    Attributes
    ----------
    box
        The smallest fast even box that holds 1.5 diameters; ``str(box)`` tells it in px, px of the micrographs and Å.
    choices
        All fast even boxes from the particle's diameter to four of them, output px.
    diameter
        Å, that was picked with.
    """

    box: BoxSampling
    choices: tuple[int, ...]
    diameter: float


def box_size(coordinates: Coordinates | Particles, micrographs: Micrographs, *, bin: float = 1.0) -> BoxAdvice:
    """Return the box for particles of the diameter that they were picked with, on micrographs binned by a factor.

    Raises
    ------
    WrongUse
        ``no-diameter``.
    """
    diameter = float(coordinates.meta.get("diameter") or 0.0)
    if not diameter:
        raise WrongUse("no-diameter", "These coordinates do not tell the diameter they were picked with.", "Give the box yourself.")
    size = float(micrographs.optics[0]["pixel_size"])
    ratio = exact_ratio(bin)
    across = diameter / (size * float(ratio))
    choices = tuple(box for box in FAST_BOXES if across <= box <= 4 * across)
    return BoxAdvice(BoxSampling(fast_box(ROOM * across), ratio, size), choices, diameter)


@dataclass(frozen=True)
class BackgroundCircle:
    """The average of boxes as they are cut, and the circle outside of which background begins (wizard ``background-circle``).

    Attributes
    ----------
    average
        ``(box, box)``, bright where the particle is, centred on ``box // 2``; neighbours brighten its corners.
    radius
        Advice in px of the box: a tenth beyond the picked radius, half the box at the most; half the box where no diameter is known.
    """

    average: Any
    radius: int


def background_circle(coordinates: Coordinates | Particles, micrographs: Micrographs, *, box: BoxSampling) -> BackgroundCircle:
    """Return the average of up to 200 boxes of the micrographs that have most coordinates.

    Raises
    ------
    WrongUse
        ``no-boxes``: none lies inside a micrograph.
    """
    import numpy as np

    from cryoloom.formats.mrc import read_mrc
    from cryoloom.numerics.particles.extract import bin_image, cut_boxes, inside

    places = on_micrographs(coordinates.enabled(), coordinate_scales(coordinates), micrographs)
    factor = float(box.ratio)
    total, count = np.zeros((box.size, box.size)), 0
    for number in places.group_by("micrograph_id").len().sort("len", "micrograph_id", descending=[True, False])["micrograph_id"]:
        row = micrographs.items.row(by_predicate=pl.col("id") == number, named=True)
        image = np.ascontiguousarray(np.squeeze(read_mrc(micrographs.file(row["micrograph_path"])).data), dtype=np.float32)
        exact = places.filter(micrograph_id=number).select("x", "y").to_numpy()
        exact = exact[inside(exact, box.size * factor, (image.shape[0], image.shape[1]))][: CUT - count]
        boxes = cut_boxes(bin_image(image, box.ratio), np.rint(exact / factor).astype(np.int64), box.size)
        sign = 1 if any(group.get("contrast") == "bright" for group in micrographs.optics) else -1
        total, count = total + sign * boxes.sum(axis=0, dtype=np.float64), count + len(boxes)
        if count >= CUT:
            break
    if not count:
        raise WrongUse("no-boxes", f"No box of {box.size} px lies inside a micrograph.", "Choose a smaller one.")
    diameter = float(coordinates.meta.get("diameter") or 0.0)
    radius = SIDE_ROOM * diameter / 2 / box.output_pixel_size if diameter else box.size / 2
    return BackgroundCircle((total / count).astype(np.float32), int(min(radius, box.size / 2)))
