"""The frames of a movie of a set, ready for alignment: those asked for, dark and gain references applied, bad pixels filled."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoloom.formats.movie import movie_of
from cryoloom.formats.mrc import read_mrc
from cryoloom.spec import Failure, Item

if TYPE_CHECKING:
    from cryoloom.numerics.motion.frames import Frames

FILLING = 7
"""Seed of the values that fill bad pixels: of every movie, so that one gives the same sums in whatever format it lies."""

Region = tuple[int, int, int, int]
"""First column and row, columns and rows of a part of the frames, px."""


def prepared_frames(item: Item, meta: Mapping[str, Any], first: int, last: int, region: Region | None = None) -> "Frames":
    """Return the frames `first` to `last` (from 1; 0: the last there is) of the movie of `item`.

    Parameters
    ----------
    meta
        Of the set of movies: its ``gain_path``, ``dark_path`` and ``defects_path`` are used.
    region
        The part of the frames that is wanted; None: all.

    Raises
    ------
    Failure
        ``frame-range``, ``detector-shape``, ``region`` or ``movie-frame``.
    """
    from cryoloom.numerics.motion.frames import Frames

    movie, name = movie_of(item), item["movie_name"]
    start, stop = first - 1, last or movie.frames
    if start >= movie.frames or stop > movie.frames:
        asked = f"{first} to {last or 'the last'}"
        raise Failure("frame-range", f"{name} has {movie.frames} frames; {asked} were asked for.", "Change first_frame or last_frame.")
    gain = read_mrc(item.root / meta["gain_path"]).data.astype(np.float32) if meta.get("gain_path") else None
    dark = read_mrc(item.root / meta["dark_path"]).data.astype(np.float32) if meta.get("dark_path") else None
    defects = read_mrc(item.root / meta["defects_path"]).data != 0 if meta.get("defects_path") else None
    shape = (movie.height, movie.width)
    for what, image in (("gain", gain), ("dark", dark), ("defects", defects)):
        if image is not None and image.shape != shape:
            raise Failure("detector-shape", f"{name} is {shape[1]} × {shape[0]} px, the {what} {image.shape[1]} × {image.shape[0]}.")
    x, y, width, height = region or (0, 0, movie.width, movie.height)
    if x + width > movie.width or y + height > movie.height:
        raise Failure(
            "region", f"{name} is {shape[1]} × {shape[0]} px; columns {x} to {x + width} and rows {y} to {y + height} were asked for.",
            "Choose a region inside the frames.",
        )  # fmt: skip
    inside = (slice(y, y + height), slice(x, x + width))

    def read(number: int) -> Any:
        raw = movie.raw(start + number, start + number + 1)[0][inside]
        return raw if dark is None else raw.astype(np.float32) - dark[inside]

    try:
        return Frames(
            read, stop - start, gain=None if gain is None else gain[inside], defects=None if defects is None else defects[inside],
            seed=FILLING, keep=not movie.plain_mrc,
        )  # fmt: skip
    except ValueError as error:
        raise Failure("movie-frame", f"{name}: {error}.", "Copy the movie again, or leave it out.") from error
