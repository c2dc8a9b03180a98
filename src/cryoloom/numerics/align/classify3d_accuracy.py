"""How much the noise of class maps adds to the error of poses.

A reference is the mean of all parts of the images but one, to the first order also in what it does to poses. Left out two in turn, the parts show their
spread as in a jackknife: what two references of n - 1 parts each find differently is (n - 1)² / 2 n times as variable in the reference of n.
It is an underestimate: noise that all parts have come to share through earlier references, to which they were aligned together, is not in it.
"""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.classify3d_maps import Agreement, ClassSums, thinned
from cryoloom.numerics.align.posterior import Posterior
from cryoloom.numerics.align.reference_noise import pose_differences, sampled
from cryoloom.numerics.align.refine import Task
from cryoloom.numerics.reconstruct.grids import reference_grid

Array = NDArray[np.float64]


def reference_variances(
    task: Task, sums: ClassSums, agreed: Agreement, found: Posterior, member: NDArray[np.int64], noise: Array, band: int, prior: float
) -> Array:
    """Return the variances of an axis of rotation (radians²) and of shift (px²) that come from the noise of each class's references, ``(K, 2)``.

    Parameters
    ----------
    task
        With two folds or more.
    sums, agreed
        What all parts say.
    found, member
        The best poses of all images, and their classes, ``(n,)``.
    noise, band, prior
        With which poses were found: noise spectra, last shell, and precision (1/px²) of the shifts.
    """
    classes, used = len(sums.each), sums.each.shape[1] - 1
    pair = [thinned(task, sums, agreed, without) for without in (1, 2)]
    plane, first = task.images.plane.within(band), task.rows(0, 0)
    variances = np.empty((classes, 2))
    for number in range(classes):
        rows = sampled(first[member[first] == number])
        grids = (reference_grid(maps[number], plane.radius, task.box) for maps in pair)
        variances[number] = pose_differences(
            task.images, rows, plane, noise, prior, grids, found.rotations[rows, 0], found.shifts[rows, 0]
        )  # fmt: skip
    return (used - 1) ** 2 / (2 * used) * variances
