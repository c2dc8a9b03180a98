"""Classes that show nothing, and how many of them are enough."""

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.class_quality import weighted_quantile

_HOLLOW = 0.2  # of the signal in the class of the median image: a class with less shows nothing


def hollow(counts: NDArray[np.floating], signal: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which classes show nothing, ``(K,)``; parameters as of `spared`."""
    return signal < _HOLLOW * weighted_quantile(signal, counts, 0.5)


def spared(counts: NDArray[np.floating], signal: NDArray[np.floating]) -> list[int]:
    """Return the smallest of the classes that show nothing, so many that those left hold twice as many images each as classes do in the mean.

    Noise lies next to nothing: its images spread over any number of such classes, which particles then lack. An eighth of all classes is
    given away at most, and two are left, since noise that finds none of them goes to the particles.

    Parameters
    ----------
    counts, signal
        Images and mean square of the average of each class, ``(K,)``.
    """
    empty = np.flatnonzero(hollow(counts, signal))
    wanted = max(2, round(0.5 * counts[empty].sum() / counts.mean()))
    excess = min(len(empty) - wanted, len(counts) // 8)
    return empty[np.argsort(counts[empty], kind="stable")][: max(0, excess)].tolist()
