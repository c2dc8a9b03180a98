"""Micrographs as pictures: whole at some binning, as tiles, as thumbnails.

Row 0 of a picture is row 0 of the file and is drawn at the top; x runs to the right: ``x``, ``y`` of coordinates are places in the picture. A
pixel of a picture binned by n is the mean of n × n pixels, so that its centre lies at ``n · i + (n - 1) / 2`` of the micrograph.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.app.outputs import OutputRef
from cryoloom.formats.mrc import open_mrc, read_mrc_header
from cryoloom.report.raster import grey_between
from cryoloom.server.render.asset import Asset, Rendered, demand_size, encoded, file_stamp
from cryoloom.server.render.blocks import Image, block_mean, stretch
from cryoloom.server.render.cache import rendered
from cryoloom.server.render.sources import behind, file_of, row_of
from cryoloom.spec import WrongUse

BINNINGS = (1, 2, 4, 8)
TILE = 512
"""Side of a tile, px of its level; those at the right and at the bottom are smaller."""
THUMBNAIL = 256
_EDGE = 0.02
"""Width of a low-pass' edge, cycles/px of the binned picture."""


@dataclass(frozen=True)
class Source:
    """The file of a micrograph, its shape ``(h, w)`` and its pixel size in Å."""

    path: Path
    shape: tuple[int, int]
    pixel_size: float

    def pixels(self) -> NDArray[Any]:
        """Return its pixels, on disk where the file allows it."""
        return open_mrc(self.path).data.reshape(self.shape)


def find(output: OutputRef, number: int, *, weighted: bool = False) -> Source:
    """Return the micrograph of an id: of a set of micrographs, or of the nearest one that the output was made from.

    Parameters
    ----------
    weighted
        The dose-weighted sum in place of the plain one.

    Raises
    ------
    WrongUse
        ``unknown-id``, ``no-source``, ``no-image``.
    Failure
        ``file-cleaned``, ``file-missing``, and what is wrong with the file.
    """
    micrographs = behind(output, "micrographs")
    column = "weighted_path" if weighted else "micrograph_path"
    row = row_of(micrographs.dataset, number, (column, "pixel_size"))
    path = file_of(micrographs, row.get(column), "dose-weighted micrograph" if weighted else "micrograph")
    header = read_mrc_header(path)
    if header.shape[0] != 1:
        raise WrongUse(
            "not-an-image", f"{path} holds {header.shape[0]} images, a micrograph is one.", "Correct the motion of movies first."
        )
    return Source(path, (header.shape[1], header.shape[2]), float(row.get("pixel_size") or header.pixel_size))


def demand_binning(binning: int) -> None:
    """Raise ``bad-binning`` for one that there are no pictures at."""
    if binning not in BINNINGS:
        raise WrongUse("bad-binning", f"There are no pictures binned by {binning}.", f"Binnings are {', '.join(map(str, BINNINGS))}.")


def view(source: Source, binning: int, lowpass: float, kind: str) -> Asset:
    """Return the whole micrograph, binned, low-passed at `lowpass` Å (0: not), stretched between the percentiles 0.2 and 99.8 of itself.

    Headers: ``X-Width``, ``X-Height`` (px), ``X-Pixel-Size`` (Å, of the picture), ``X-Low``, ``X-High`` (the values that 0 and 255 stand for).
    """
    demand_binning(binning)
    demand_size(math.prod(math.ceil(side / binning) for side in source.shape), "Ask for a larger binning, or for tiles.")
    level = _level(source, binning, lowpass)
    if kind == "raw":
        return level

    def make() -> Rendered:
        raw = rendered(level)
        return encoded(raw.pixels, kind, raw.headers)

    return Asset((*level.stamp, kind), make)


def tile(source: Source, binning: int, column: int, row: int) -> Asset:
    """Return one tile of `TILE` px of the micrograph binned, as JPEG; all tiles of a level have one grey scale.

    Raises
    ------
    WrongUse
        ``bad-binning``, ``unknown-tile``.
    """
    demand_binning(binning)
    height, width = (math.ceil(side / binning) for side in source.shape)
    columns, rows = math.ceil(width / TILE), math.ceil(height / TILE)
    if not (0 <= column < columns and 0 <= row < rows):
        raise WrongUse("unknown-tile", f"There is no tile {column}, {row}: level {binning} has {columns} × {rows}.", "Count from 0.")
    part = slice(row * TILE, (row + 1) * TILE), slice(column * TILE, (column + 1) * TILE)

    def make() -> Rendered:
        if binning == 1:
            limits = rendered(_limits(source)).headers
            grey = grey_between(source.pixels()[part], float(limits["X-Low"]), float(limits["X-High"]))
        else:
            level = rendered(_level(source, binning, 0.0))
            limits, grey = level.headers, level.pixels[part]
        return encoded(grey, "jpeg", {name: limits[name] for name in ("X-Pixel-Size", "X-Low", "X-High")})

    return Asset((*file_stamp(source.path), "tile", source.pixel_size, binning, column, row), make)


def thumbnail(source: Source) -> Asset:
    """Return the micrograph as a JPEG of `THUMBNAIL` px at the longer side, or less."""

    def make() -> Rendered:
        factor = math.ceil(max(source.shape) / THUMBNAIL)
        return _grey(block_mean(source.pixels(), factor), source.pixel_size * factor, "jpeg")

    return Asset((*file_stamp(source.path), "thumbnail", source.pixel_size), make, kept=True)


def _level(source: Source, binning: int, lowpass: float) -> Asset:
    """Return the whole micrograph as raw grey pixels; kept unless its file has them as they are, but for the stretch."""

    def make() -> Rendered:
        pixel_size = source.pixel_size * binning
        image = block_mean(source.pixels(), binning)
        return _grey(_lowpassed(image, pixel_size, lowpass), pixel_size, "raw")

    return Asset((*file_stamp(source.path), "level", source.pixel_size, binning, lowpass), make, kept=binning > 1 or lowpass > 0)


def _limits(source: Source) -> Asset:
    """Return what is drawn black and white in the micrograph as it is, in headers: its tiles are read from the file itself."""

    def make() -> Rendered:
        return Rendered(b"", "text/plain", _told(source.pixel_size, *stretch(source.pixels())))

    return Asset((*file_stamp(source.path), "limits", source.pixel_size), make, kept=True)


def _lowpassed(image: Image, pixel_size: float, lowpass: float) -> Image:
    from cryoloom.numerics.micrographs.bands import Band, Edge, resized

    if not lowpass or lowpass <= 2 * pixel_size:
        return image
    return resized(np.ascontiguousarray(image), Fraction(1), Band(low=Edge(pixel_size / lowpass, _EDGE)))


def _grey(image: Image, pixel_size: float, kind: str) -> Rendered:
    low, high = stretch(image)
    return encoded(grey_between(image, low, high), kind, _told(pixel_size, low, high))


def _told(pixel_size: float, low: float, high: float) -> dict[str, str]:
    return {"X-Pixel-Size": f"{pixel_size:.6g}", "X-Low": repr(low), "X-High": repr(high)}
