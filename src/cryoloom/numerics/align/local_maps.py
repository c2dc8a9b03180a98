"""References of a local refinement: the average of a half, weighed by how far the halves agree on the particle itself, and what is done to it after.

The halves' correlation is taken under the mask that the references get, corrected for what the mask lends it: under a sphere the noise of the solvent,
which the mask takes away, would count against the particle's detail.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.align import refine, schedule
from cryoloom.numerics.align.fold_sums import FoldSums
from cryoloom.numerics.align.local_schedule import Sampling
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.fsc.masked import masked_fsc
from cryoloom.numerics.fsc.shells import crossing_shell, fourier_shell_correlation, resolution_at
from cryoloom.numerics.reconstruct.grids import Map
from cryoloom.numerics.reconstruct.sums import Sums, divided, join_low_shells, joined_ssnr

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Finish:
    """What is done to a reference once it is averaged.

    Attributes
    ----------
    spherical, positive
        Cut what lies outside the particle's sphere, and what is darker than the solvent.
    criterion, offset
        Low-pass at the resolution of this correlation of the halves plus so many Å; no low-pass when the criterion is None.
    """

    spherical: bool = True
    positive: bool = True
    criterion: float | None = None
    offset: float = 0.0


@dataclass(frozen=True)
class References:
    """The references of an iteration.

    Attributes
    ----------
    pairs
        Returns an iterator over the references of both halves for fold 0, 1, …; they are made one fold at a time.
    fsc, processed
        Correlation of the halves out to the last shell, under the sphere, and of the halves after all that was done to them.
    mean
        Of both halves' references.
    """

    pairs: Callable[[], Iterator[list[Map]]]
    fsc: Array
    processed: Array
    mean: Map


def weighted_references(base: refine.Task, finish: Finish, sums: FoldSums, sampling: Sampling, last: int) -> References:
    """Return the references that the sums of both halves make, in the working box."""
    box = sampling.box
    halves = [divided(one, last, box, base.box, group=base.group) for one in sums.total()]
    sphere = base.sphere(box)
    fsc = fourier_shell_correlation(halves[0] * sphere, halves[1] * sphere)[: last + 1]
    crossing = crossing_shell(fsc, schedule.THRESHOLD)
    mask = _mask(base, finish, halves, base.box * base.pixel_size / max(crossing, 1))
    ssnr = base.regularisation * joined_ssnr(masked_fsc(*halves, mask).corrected[: last + 1])
    coarse = None
    if finish.criterion is not None:
        coarse = resolution_at(fsc, finish.criterion, base.box, base.pixel_size) + finish.offset

    def finished(one: Sums) -> Map:
        reference = divided(one, last, box, base.box, ssnr=ssnr, group=base.group)
        return _finished(reference, finish, sampling, mask, coarse)

    joined = min(base.shell(base.join), max(crossing, 1))

    def pairs() -> Iterator[list[Map]]:
        for pair in sums.others():
            join_low_shells(pair[0], pair[1], joined)
            yield [finished(one) for one in pair]

    whole = [finished(one) for one in sums.total()]
    processed = fourier_shell_correlation(*whole)[: last + 1]
    return References(pairs, fsc, processed, 0.5 * (whole[0] + whole[1]))


def given_references(base: refine.Task, finish: Finish, maps: list[Map], sampling: Sampling, last: int) -> References:
    """Return the references that given maps of the working box make, the same for every fold."""
    pair = [_finished(one, finish, sampling, base.solvent(sampling.box), None) for one in maps]
    fsc = fourier_shell_correlation(*maps)[: last + 1]
    return References(
        lambda: (pair for _ in range(base.folds)), fsc, fourier_shell_correlation(*pair)[: last + 1], 0.5 * (pair[0] + pair[1])
    )


def _finished(reference: Map, finish: Finish, sampling: Sampling, mask: Map, coarse: float | None) -> Map:
    if coarse is not None and coarse > 2 * sampling.pixel_size:
        reference = lowpass(reference, sampling.pixel_size, coarse)
    if finish.positive:
        reference = np.maximum(reference, 0.0)
    return reference * mask


def _mask(base: refine.Task, finish: Finish, halves: list[Map], resolution: float) -> Map:
    """Return the mask of references: the one given, around the surface once that is known, or the sphere."""
    box = halves[0].shape[0]
    mask = base.sphere(box) if finish.spherical else np.ones((box,) * 3, np.float32)
    if base.mask is not None:
        return mask * np.clip(resample_volume(torch.from_numpy(base.mask.astype(np.float32)), box).numpy(), 0.0, 1.0)
    if base.follow_surface and refine.SURFACE_FROM * resolution < base.mask_diameter:
        mask = mask * refine.surface(base, 0.5 * (halves[0] + halves[1]), resolution)
    return mask
