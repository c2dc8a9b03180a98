"""What tells signal from noise: an image of noise is as likely as its negative, whatever it is compared with; signal turned negative fits nothing."""

import numpy as np
from numpy.typing import NDArray

SURE = 4.0
"""Standard errors by which images must fit better than their negatives."""


def better_than_negatives(images: NDArray[np.float64], negatives: NDArray[np.float64]) -> bool:
    """Return whether log-likelihood gains of images that had no part in what they are compared with lie above those of their negatives, ``(n,)`` each."""
    more = images - negatives
    return bool(more.mean() > SURE * more.std() / np.sqrt(len(more)))
