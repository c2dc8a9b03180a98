"""What a form's wizards show: the data by which a person sets a parameter with the eye."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from cryoloom.data import Micrographs, thon_rings
from cryoloom.spec import WrongUse

INSIDE = 0.9
"""Part of the radius of the first zero at which the inner circle is advised."""


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
        high_res=max(found.curves.resolution, nyquist),
        nyquist=nyquist,
        doubt="; ".join(found.doubts),
    )
