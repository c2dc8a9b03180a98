"""Grey scales of groups of images: thicker ice or another exposure makes all images of a micrograph fainter than their noise says."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SPREAD = 0.3
"""Standard deviation of scales about one, before anything is known: what images too few or too faint to tell are drawn to."""
LEAST, MOST = 0.2, 5.0
SURE = 5.0
"""Standard deviations by which all images together must show the reference."""
TELLING = 0.75
"""Shell correlation of the halves down to which shells tell scales."""


def group_scales(grey: Array, group: NDArray[np.int64]) -> Array:
    """Return the scale of every group, ``(groups,)``, one in the mean over images.

    Parameters
    ----------
    grey
        ``Re Σ X* M / E|N|²`` and ``Σ |M|² / E|N|²`` of every image, ``(n, 2)``; both are sums over half planes of complex noise, so that
        twice the second is the inverse variance of an image's own estimate.
    group
        Of every image, ``(n,)`` from 0.
    """
    cross, norm = (np.bincount(group, column, minlength=group.max() + 1) for column in grey.T)
    if not cross.sum() > SURE * np.sqrt(norm.sum() / 2.0):
        return np.ones(len(cross))
    whole = float(cross.sum() / norm.sum())
    # The reference's own scale is no group's fault: it is taken out before groups are drawn to one.
    trust = 1.0 / SPREAD**2
    scales = np.clip((2.0 * whole * cross + trust) / (2.0 * whole**2 * norm + trust), LEAST, MOST)
    return scales / scales[group].mean()
