"""Masks of simple shapes about the box's centre, with a soft edge outside."""

from typing import Literal

import numpy as np

from cryoloom.numerics.masks.soft import Map, cosine_edge

Shape = Literal["sphere", "cylinder", "box"]


def shape_mask(shape: Shape, box: int, diameter: float, edge: float, *, inner: float = 0.0, height: float | None = None) -> Map:
    """Return a mask ``(box, box, box)`` that is 1 within a shape and falls over `edge` voxels outside it.

    Parameters
    ----------
    shape
        A sphere, a cylinder along z, or a box.
    box
        Voxels.
    diameter
        Voxels, of sphere and cylinder; side of the box across z.
    edge
        Voxels of raised cosine.
    inner
        Diameter of a hole in the middle, of the same shape.
    height
        Voxels along z, of cylinder and box; None: the cylinder goes through, the box is a cube.
    """
    axis = np.abs(np.arange(box, dtype=np.float32) - box // 2)
    z, y, x = axis[:, None, None], axis[None, :, None], axis[None, None, :]
    if shape == "sphere":
        across = np.sqrt(x**2 + y**2 + z**2)
    elif shape == "cylinder":
        across = np.sqrt(x**2 + y**2) + 0.0 * z
    else:
        across = np.maximum(x, y) + 0.0 * z
    distance = np.maximum(across - diameter / 2, inner / 2 - across) if inner > 0 else across - diameter / 2
    length = diameter if shape == "box" and height is None else height
    if shape != "sphere" and length is not None:
        distance = np.maximum(distance, z - length / 2)
    return cosine_edge(distance, edge)
