"""Particle images as two-dimensional classifications read them: in blocks of one optics group, with their defoci and optics.

Heavy libraries are imported inside the functions; protocols may import this module at their top.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cryoloom.data import Particles
from cryoloom.formats.alignment import optics_of
from cryoloom.formats.common_grid import CommonGrid

if TYPE_CHECKING:
    from cryoloom.numerics.align.optics import Optics

CTF_COLUMNS = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")


def has_ctf(grid: CommonGrid) -> bool:
    """Return whether particles carry all that their transfer functions are made of."""
    return all(name in grid.rows.columns for name in CTF_COLUMNS)


def image_blocks(
    particles: Particles, grid: CommonGrid, transfer: str, *, phases_only: bool, progress: Callable[[float, float, str], None]
) -> Iterator["tuple[NDArray[np.float32], NDArray[np.float64] | None, Optics]"]:
    """Yield images, defoci and optics, block by block in the order of the rows; a block is of one optics group.

    Parameters
    ----------
    transfer
        See `cryoloom.data.alignment.TransferFunction`; defoci are None with "none", and where particles have none.
    phases_only
        Take the CTF as a sign.
    progress
        Is told how far reading has come.
    """
    from cryoloom.numerics.align.class2d_prepare import BLOCK

    rows = grid.rows
    of_row = rows["optics_group"].to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(of_row)) + 1).tolist(), rows.height]
    with_ctf = transfer != "none" and has_ctf(grid)
    for low, high in zip(starts[:-1], starts[1:], strict=True):
        optics = optics_of(particles.groups[of_row[low]], transfer, phases_only=phases_only)
        for start in range(low, high, BLOCK):
            stop = min(start + BLOCK, high)
            progress(stop, rows.height, "reading particles")
            images = grid.read(np.arange(start, stop))
            yield images, rows[start:stop].select(CTF_COLUMNS).to_numpy().astype(np.float64) if with_ctf else None, optics


def groups_from_zero(grid: CommonGrid) -> NDArray[np.int64]:
    """Return the number, from 0, of every row's optics group among those there are, ``(n,)``."""
    numbers = {number: place for place, number in enumerate(sorted(grid.native))}
    return np.array([numbers[group] for group in grid.rows["optics_group"].to_list()], dtype=np.int64)
