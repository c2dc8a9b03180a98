"""Particle images gathered from their stacks, and stacks written."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.data import Classes2D, Particles
from cryoloom.formats.mrc import MrcWriter, open_mrc
from cryoloom.spec import Failure


def read_particles(particles: Particles | Classes2D, rows: slice | NDArray[np.integer[Any]] | None = None) -> NDArray[np.float32]:
    """Gather the images of a set in the order of its rows.

    Parameters
    ----------
    particles
        A set with ``stack_path`` and ``stack_index`` (from 0).
    rows
        Which rows, by position; None for all.

    Returns
    -------
    ndarray
        float32, shape ``(n, box, box)``. Stacks are memory-mapped: beside the result one image at a time is held.

    Raises
    ------
    Failure
        What `open_stack` raises; ``stack-box`` when the boxes differ.
    """
    table = particles.items.select("stack_path", "stack_index")
    if isinstance(rows, slice):
        table = table[rows]
    elif rows is not None:
        table = table[np.asarray(rows)]
    places = table.with_row_index("place").group_by("stack_path", maintain_order=True).agg("place", "stack_index")
    out: NDArray[np.float32] | None = None
    for path, place, index in places.iter_rows():
        images = open_stack(particles.file(path), max(index))
        if out is None:
            out = np.empty((table.height, *images.shape[1:]), dtype=np.float32)
        if images.shape[1:] != out.shape[1:]:
            raise Failure(
                "stack-box",
                f"{path}: images of {images.shape[1:]} px beside others of {out.shape[1:]} px.",
                "Bring them to one box first, or process each optics group by itself.",
            )
        for to, source in sorted(zip(place, index, strict=True), key=lambda pair: pair[1]):
            out[to] = images[source]
    return out if out is not None else np.empty((0, 0, 0), dtype=np.float32)


def open_stack(path: Path, last: int) -> NDArray[Any]:
    """Open a stack ``(n, y, x)``, memory-mapped where its format allows it, of which image `last` (from 0) is wanted.

    Raises
    ------
    Failure
        ``stack-index`` when it has fewer images.
    """
    data = open_mrc(path).data
    images = data if data.ndim == 3 else data[None]
    if last >= len(images):
        raise Failure(
            "stack-index",
            f"{path}: image {last + 1} is asked for, the stack holds {len(images)}.",
            "The table and the stack do not belong together; import or extract again.",
        )
    return images


def write_stack(path: Path | str, array: NDArray[Any], pixel_size: float, *, mode: int = 2) -> None:
    """Write images ``(n, y, x)`` as an MRC stack of `pixel_size` Å (`mode` as in `mrc.write_mrc`).

    Raises
    ------
    ValueError
        If `array` has not three axes.
    """
    array = np.asarray(array)
    if array.ndim != 3:
        raise ValueError(f"a stack has 3 axes; got shape {array.shape}")
    with MrcWriter(path, (array.shape[1], array.shape[2]), pixel_size, mode=mode) as writer:
        writer.append(array)
