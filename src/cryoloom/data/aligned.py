"""Micrographs made of movies: the rows of the movies, with what aligning each of them gave."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cryoloom.data.kinds import Micrographs, Movies

_OF_THE_MOVIE = ("id", "movie_name", "movie_path", "frames", "optics_group", "enabled", "fail_reason")


def micrographs_of(
    movies: Movies,
    rows: pl.DataFrame,
    failed: Mapping[int, str],
    *,
    root: Path,
    first_frame: int,
    ratio: float,
    start: tuple[int, int] = (0, 0),
) -> Micrographs:
    """Return one micrograph a movie; those of movies that failed are disabled, with the reason.

    Parameters
    ----------
    rows
        Columns of the aligned movies, by ``id``.
    ratio
        Pixels of a movie in one of its micrograph.
    start
        First column and row of the movies that are in the micrographs.
    """
    items = movies.items.select([name for name in _OF_THE_MOVIE if name in movies.items.columns])
    items = items.rename({"movie_name": "micrograph_name"}).join(rows, on="id", how="left", maintain_order="left")
    items = items.with_columns(pl.col("width").fill_null(0), pl.col("height").fill_null(0), pl.col("micrograph_path").fill_null(""))
    optics = [
        {**group, "movie_pixel_size": group["pixel_size"], "pixel_size": group["pixel_size"] * ratio}
        | ({f"offset_{axis}": first * group["pixel_size"] for axis, first in zip("xy", start, strict=True)} if any(start) else {})
        for group in movies.optics
    ]
    gain = {name: value for name, value in movies.meta.items() if name.startswith(("gain", "dark", "defects"))}
    micrographs = Micrographs(items, root, optics=optics, meta={**gain, "first_frame": first_frame, "binning": ratio})
    return micrographs.disable(dict(failed)) if failed else micrographs
