"""The simulator's transforms: SciPy's own layout and scale, with the types that its stubs leave out."""

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Array = NDArray[np.float64]


def forward(image: NDArray[Any]) -> NDArray[Any]:
    """Return the half transform of real `image` over all its axes; float32 gives complex64."""
    return np.asarray(scipy.fft.rfftn(image))


def backward(transform: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the real image of `shape` that `transform` is the half transform of."""
    return np.asarray(scipy.fft.irfftn(transform, s=shape))


def frequencies(height: int, width: int, pixel_size: float) -> tuple[Array, Array]:
    """Return kx ``(1, width // 2 + 1)`` and ky ``(height, 1)`` in 1/Å of a half transform."""
    kx = np.fft.rfftfreq(width, pixel_size).astype(np.float64)
    ky = np.fft.fftfreq(height, pixel_size).astype(np.float64)
    return kx[None, :], ky[:, None]


def even_size(half: float) -> int:
    """Return an even size that transforms fast and is at least twice `half`."""
    return 2 * int(scipy.fft.next_fast_len(int(np.ceil(half))) or 1)
