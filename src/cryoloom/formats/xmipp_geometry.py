"""Poses in Xmipp's labels and ours.

Two geometries share the labels ``anglePsi``, ``shiftX``, ``shiftY`` (px) and ``flip``:

- with ``angleRot`` and ``angleTilt``, of a projection: angles and shifts as RELION's; a mirrored image is one seen from behind;
- without, of a 2D alignment: ``x_reference = F R(anglePsi) x + shift`` with ``R(a) = [[cos a, sin a], [-sin a, cos a]]``, and ``F``, where
  ``flip`` is set, the mirror of x.

In our poses an image is mirrored first, then shifted, then rotated.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.formats.particle_table import wrapped

POSE = ("angleRot", "angleTilt", "anglePsi", "shiftX", "shiftY", "flip")


def from_xmipp(rows: pl.DataFrame) -> list[pl.Series]:
    """Return ``rot``, ``tilt``, ``psi``, ``flip`` and ``origin_x_px``, ``origin_y_px`` in our convention, as far as the labels tell them."""
    from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler

    def column(label: str) -> Any:
        return rows[label].cast(pl.Float64).to_numpy() if label in rows.columns else np.zeros(rows.height)

    if not {"anglePsi", "shiftX"} & set(rows.columns):
        return []
    mirrored = column("flip") > 0
    shift = np.stack([column("shiftX"), column("shiftY")], axis=1)
    if {"angleRot", "angleTilt"} <= set(rows.columns):
        matrices = euler_to_matrix(column("angleRot"), column("angleTilt"), column("anglePsi"))
        # A mirrored projection is one from behind: its first row and, to stay a rotation, its third are negated.
        matrices[mirrored] *= np.array([-1.0, 1.0, -1.0])[:, None]
        shift[mirrored, 0] *= -1
        turned = dict(zip(("rot", "tilt", "psi"), matrix_to_euler(matrices), strict=True))
        angles = {ours: np.where(mirrored, turned[ours], column(theirs)) for ours, theirs in zip(turned, POSE, strict=False)}
    else:
        psi = wrapped(np.where(mirrored, column("anglePsi"), -column("anglePsi")))
        shift = _rotated(shift, psi)
        angles = {"psi": psi, **({"flip": mirrored} if mirrored.any() else {})}
    columns = {**angles, "origin_x_px": shift[:, 0], "origin_y_px": shift[:, 1]}
    return [pl.Series(name, value) for name, value in columns.items()]


def to_xmipp(items: pl.DataFrame, pixel_size: Any) -> dict[str, Any]:
    """Return the labels of a pose of ours, shifts in px of `pixel_size` Å (one a row); nothing where there is none."""
    if not {"psi", "origin_x"} & set(items.columns):
        return {}
    given = {
        name: items[name].fill_null(0.0).to_numpy() if name in items.columns else np.zeros(items.height)
        for name in ("psi", "origin_x", "origin_y")
    }
    shift = np.stack([given["origin_x"], given["origin_y"]], axis=1) / np.asarray(pixel_size)[:, None]
    if {"rot", "tilt"} <= set(items.columns):
        angles = {"angleRot": items["rot"].fill_null(0.0), "angleTilt": items["tilt"].fill_null(0.0), "anglePsi": given["psi"]}
        return {**angles, "shiftX": shift[:, 0], "shiftY": shift[:, 1]}
    mirrored = items["flip"].fill_null(False).to_numpy() if "flip" in items.columns else np.zeros(items.height, dtype=bool)
    shift = _rotated(shift, -given["psi"])
    angle = np.where(mirrored, given["psi"], -given["psi"])
    return {"anglePsi": angle, "shiftX": shift[:, 0], "shiftY": shift[:, 1], "flip": mirrored}


def _rotated(vectors: NDArray[np.float64], degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors ``(n, 2)`` multiplied by ``[[cos, sin], [-sin, cos]]`` of each angle."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1)
