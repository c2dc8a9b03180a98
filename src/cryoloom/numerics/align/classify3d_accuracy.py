"""How exactly poses are known in class maps that are noisy themselves.

A reference is the mean of all parts of the images but one, to the first order also in what it does to poses. Left out two in turn, the parts show their
spread as in a jackknife: what two references of n - 1 parts each find differently is (n - 1)² / 2 n times as variable in the reference of n.
It is an underestimate: noise that all parts have come to share through earlier references, to which they were aligned together, is not in it.
"""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.class_accuracy import pose_errors, with_reference
from cryoloom.numerics.align.classify3d_maps import Agreement, ClassSums, halves_of, thinned
from cryoloom.numerics.align.posterior import Posterior
from cryoloom.numerics.align.priors import PosePrior
from cryoloom.numerics.align.reference_noise import Sample
from cryoloom.numerics.align.refine_task import Task
from cryoloom.numerics.reconstruct.grids import reference_grid

Array = NDArray[np.float64]


def expected_errors(
    task: Task, sums: ClassSums, agreed: Agreement, found: Posterior, member: NDArray[np.int64], noise: Array, band: int, prior: PosePrior
) -> Array:
    """Return the standard error of an axis of rotation (radians) and of shift (px) of every image's best pose, ``(n, 2)``.

    Parameters
    ----------
    task
        With two folds or more.
    sums, agreed
        What all parts say.
    found, member
        The best poses of all images, and their classes, ``(n,)``.
    noise, band, prior
        With which poses were found: noise spectra, last shell, and prior.
    """
    classes, used = len(sums.each), sums.each.shape[1] - 1
    pair = [thinned(task, sums, agreed, without) for without in (1, 2)]
    plane, first = task.images.plane.within(band), task.rows(0, 0)
    inflation, added = np.ones((classes, 2)), np.zeros((classes, 2))
    for number in range(classes):
        rows = first[member[first] == number]
        if not rows.size:
            continue
        sample = Sample.of(task.images, rows, plane, noise, prior, found)
        inflation[number] = sample.inflation(halves_of(task, sums, number), task.box)
        differences = sample.differences(reference_grid(maps[number], plane.radius, task.box) for maps in pair)
        added[number] = (used - 1) ** 2 / (2 * used) * differences
    return with_reference(pose_errors(found, task.group), inflation[member], added[member])
