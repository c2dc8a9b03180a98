"""Aligned particles centred on something else than what they were aligned to: their class average's centre of mass, or a point of the map."""

import numpy as np
import polars as pl

from cryoloom.data import Classes2D
from cryoloom.formats.stack import read_particles
from cryoloom.numerics.particles.recentre import centre_of_mass, recentred

ANGLES = ("rot", "tilt", "psi")


def centred_on(rows: pl.DataFrame, *, classes: Classes2D | None = None, point: tuple[float, float, float] | None = None) -> pl.DataFrame:
    """Return rows of particles with the origins ``origin_x``, ``origin_y`` (Å) that centre what is asked for.

    Parameters
    ----------
    rows
        With poses; ``class_id`` where `classes` are given. Particles of no class of theirs stay as they are.
    classes
        Averages whose centres of mass become the centres.
    point
        Å from the centre of the map.
    """
    rows = rows.with_columns(pl.lit(0.0).alias(name) for name in ("origin_x", "origin_y", *ANGLES) if name not in rows.columns)
    points = np.tile(np.asarray(point or (0.0, 0.0, 0.0)), (rows.height, 1))
    if classes is not None:
        centres = class_centres(classes).with_columns(pl.col("class_id").cast(rows.schema["class_id"]))
        own = rows.select("class_id").join(centres, on="class_id", how="left", maintain_order="left")
        points[:, :2] += own.select(pl.col("x", "y").fill_null(0.0)).to_numpy()
    origins, angles = (rows.select(pl.col(names).fill_null(0.0)).to_numpy() for names in (("origin_x", "origin_y"), ANGLES))
    moved = recentred(origins, angles, points)
    return rows.with_columns(origin_x=pl.Series(moved[:, 0]), origin_y=pl.Series(moved[:, 1]))


def class_centres(classes: Classes2D) -> pl.DataFrame:
    """Return ``class_id`` and the centre of mass ``x``, ``y`` of each average, Å from its middle."""
    size = float(classes.meta.get("pixel_size") or classes.optics[0]["pixel_size"])
    found = np.array([centre_of_mass(average) for average in read_particles(classes)]).reshape(-1, 2) * size
    return classes.items.select("class_id").with_columns(x=pl.Series(found[:, 0]), y=pl.Series(found[:, 1]))
