"""Plain and dose-weighted sums of frames, without a transform of every frame.

The weights of n frames at a frequency depend smoothly on their dose, so that to `EXACT` they are products of five to eight functions of the
frame and as many of the frequency. Frames are added up by the former, and only those few sums are transformed.
"""

import math

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.motion.dose import weights

Image = NDArray[np.float32]

EXACT = 1e-5
"""Largest error of a weight, of weights whose mean square over the frames is one."""

FURTHEST = math.hypot(0.5, 0.5)
"""Highest frequency of an image, cycles/px."""

STEPS = 4096
"""Of the table of weights, from zero to the highest frequency; linear in between."""

TOGETHER = 4
"""Frames added at once."""


class FrameSums:
    """Sums of images, or of their transforms. Memory: as many images as weights have factors (one without a dose), and `TOGETHER`.

    Parameters
    ----------
    shape
        Of the frames ``(h, w)``.
    count
        Of frames.
    doses
        Cumulated dose after each frame, e/Å², ``(n,)``; None: no weighted sum.
    pixel_size, voltage
        Å, kV.
    fourier
        Whether what is added are half-plane transforms, complex64 ``(h, w // 2 + 1)``, and not images ``(h, w)``.
    parts
        Frames are dealt out to so many parts, whose plain sums can be had alone; each takes the memory of the whole.
    """

    def __init__(
        self, shape: tuple[int, int], count: int, *, doses: Tensor | None, pixel_size: float, voltage: float, fourier: bool, parts: int = 1
    ) -> None:
        self.shape, self._fourier = shape, fourier
        self._members = torch.stack([torch.arange(count) % parts == part for part in range(parts)])
        self._basis = torch.full((count, 1), count**-0.5, dtype=torch.float64)
        self._tables: Tensor | None = None
        if doses is not None:
            frequency = torch.linspace(0, FURTHEST, STEPS + 1, dtype=torch.float64) / pixel_size
            table = weights(frequency, doses, voltage)
            coarse = table[:, ::8]
            further = _factors(coarse - self._basis @ (self._basis.T @ coarse), EXACT / count)
            self._basis = torch.cat([self._basis, further], dim=1)
            self._tables = (self._basis.T @ table).to(torch.float32)
        size = 2 * shape[0] * (shape[1] // 2 + 1) if fourier else shape[0] * shape[1]
        self._sums = torch.zeros(parts, self._basis.shape[1], size)
        self._waiting = torch.zeros(min(TOGETHER, count), size)
        self._numbers: list[int] = []

    def place(self, number: int) -> Tensor:
        """Return where to write the frame of that number, counted from 0, or its transform, before anything else is asked."""
        if len(self._numbers) == len(self._waiting):
            self._settle()
        self._numbers.append(number)
        flat = self._shaped(self._waiting[len(self._numbers) - 1])
        return torch.view_as_complex(flat) if self._fourier else flat

    def plain(self, part: int | None = None) -> Image:
        """Return the mean of all frames, or of those of a part."""
        self._settle()
        members = self._members if part is None else self._members[part : part + 1]
        sums = self._sums if part is None else self._sums[part : part + 1]
        image = self._shaped(sums[:, 0].sum(0) * (members.shape[1] ** 0.5 / int(members.sum())))
        return self._image(torch.view_as_complex(image)) if self._fourier else image.numpy()

    def weighted(self) -> Image:
        """Return the dose-weighted mean of all frames."""
        if self._tables is None:
            raise ValueError("sums without doses are not weighted")
        self._settle()
        height, width = self.shape
        total = np.zeros((height, width // 2 + 1), np.complex64)
        for number, table in enumerate(self._tables.numpy()):
            for part in self._sums:
                one = self._shaped(part[number])
                transform = torch.view_as_complex(one) if self._fourier else torch.fft.rfft2(one)
                _add_filtered(transform.numpy(), table, width, total)
        return self._image(torch.from_numpy(total))

    def _settle(self) -> None:
        if self._numbers:
            factors = self._basis[self._numbers].T.to(torch.float32)
            for part, member in zip(self._sums, self._members, strict=True):
                part.addmm_(factors * member[self._numbers], self._waiting[: len(self._numbers)])
            self._numbers.clear()

    def _shaped(self, flat: Tensor) -> Tensor:
        return flat.reshape(self.shape[0], -1, 2) if self._fourier else flat.reshape(self.shape)

    def _image(self, transform: Tensor) -> Image:
        return torch.fft.irfft2(transform, s=self.shape).numpy()


def _factors(table: Tensor, exact: float) -> Tensor:
    """Return orthonormal columns ``(n, r)`` that span the columns of `table` (n, k) to `exact`; the fewest that do."""
    vectors, values, others = torch.linalg.svd(table, full_matrices=False)
    for rank in range(len(values)):
        rest = (vectors[:, rank:] * values[rank:]) @ others[rank:]
        if float(rest.abs().max()) <= exact:
            return vectors[:, :rank]
    return vectors


@numba.njit(cache=True, nogil=True)
def _add_filtered(transform, table, width, total):  # pragma: no cover (compiled)
    """Add the half-plane `transform` (h, w // 2 + 1) times the isotropic filter `table` to `total`."""
    height, columns = transform.shape
    scale = np.float32(STEPS / FURTHEST)
    for y in range(height):
        ky = np.float32((y if y < (height + 1) // 2 else y - height) / height)
        for x in range(columns):
            kx = np.float32(x / width)
            place = np.sqrt(ky * ky + kx * kx) * scale
            step = min(int(place), STEPS - 1)
            total[y, x] += transform[y, x] * (table[step] + (place - np.float32(step)) * (table[step + 1] - table[step]))
