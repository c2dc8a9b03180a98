"""Frames ready for alignment: gain applied, bad pixels found and filled."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.float32]

HOT = 6.0
"""Robust standard deviations of the frame sum beyond which a pixel is bad."""

KEPT_BYTES = 1 << 29
"""Movies up to this size are prepared once and kept; larger ones are read again for each pass."""


class Frames:
    """Prepared frames, float32 ``(h, w)``. Memory: `KEPT_BYTES` at most, beside two frames.

    Parameters
    ----------
    read
        Returns the raw frame of a number from 0.
    count
        Of frames.
    gain
        What frames are multiplied by; None: nothing. Zero marks dead pixels.
    defects
        True where pixels are bad; None: none known.
    seed
        Of the values that bad pixels are filled with.

    Raises
    ------
    ValueError
        For a frame that is constant or holds values that are not numbers.
    """

    def __init__(
        self, read: Callable[[int], Image], count: int, *, gain: Image | None, defects: NDArray[np.bool_] | None, seed: int
    ) -> None:
        self._read, self._gain, self._seed = read, gain, seed
        self._kept: dict[int, Tensor] = {}
        self._kept_bytes = 0
        self._bad: NDArray[np.bool_] = np.zeros((0, 0), dtype=bool)
        self.count = count
        total: Image | None = None
        means = []
        for number in range(count):
            frame = self._gained(number)
            if not np.isfinite(frame).all():
                raise ValueError(f"frame {number + 1}: {np.count_nonzero(~np.isfinite(frame))} pixels are not numbers")
            if float(frame.max()) == float(frame.min()):
                raise ValueError(f"frame {number + 1} is constant, {float(frame.max()):g} everywhere")
            means.append(float(frame.mean(dtype=np.float64)))
            total = frame.copy() if total is None else total + frame
        if total is None:
            raise ValueError("a movie without frames")
        self.means = torch.tensor(means, dtype=torch.float64)
        known = np.zeros(total.shape, dtype=bool)
        known |= False if defects is None else defects
        known |= False if gain is None else gain <= 0
        self._bad = known | outliers(total, known)
        self.bad_pixels = int(np.count_nonzero(self._bad))
        self.found_bad = self.bad_pixels - int(np.count_nonzero(known))
        self._neighbours = _Neighbours(self._bad)

    @property
    def shape(self) -> tuple[int, int]:
        """Return ``(h, w)``."""
        return self._bad.shape[0], self._bad.shape[1]

    def get(self, number: int) -> Tensor:
        """Return a frame from 0."""
        if number in self._kept:
            return self._kept[number]
        frame = self._neighbours.fill(self._gained(number), np.random.default_rng([self._seed, number]))
        tensor = torch.from_numpy(np.ascontiguousarray(frame, dtype=np.float32))
        if self._kept_bytes + frame.nbytes <= KEPT_BYTES:
            self._kept[number] = tensor
            self._kept_bytes += frame.nbytes
        return tensor

    def _gained(self, number: int) -> Image:
        frame = np.asarray(self._read(number), dtype=np.float32)
        return frame.copy() if self._gain is None else frame * self._gain


class Part:
    """Some of the frames of a movie, as if these were all."""

    def __init__(self, frames: "Frames | Part", numbers: Sequence[int]) -> None:
        self._frames, self._numbers = frames, numbers
        self.count, self.shape = len(numbers), frames.shape

    def get(self, number: int) -> Tensor:
        """Return a frame from 0, of the chosen ones."""
        return self._frames.get(self._numbers[number])


def outliers(total: Image, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a frame sum that lie beyond `HOT` robust standard deviations of the median, `known` bad ones aside."""
    good = total[~known]
    middle = float(np.median(good))
    spread = 1.4826 * float(np.median(np.abs(good - middle)))
    return (np.abs(total - middle) > HOT * max(spread, 1e-12)) & ~known


class _Neighbours:
    """For each bad pixel the good ones in the 5 × 5 around it (11 × 11 where there are fewer than six)."""

    def __init__(self, bad: NDArray[np.bool_]) -> None:
        self._rows, self._columns = np.nonzero(bad)
        self._height, self._width = bad.shape
        self._choices: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        everywhere: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        for row, column in zip(self._rows, self._columns, strict=True):
            for reach in (2, 5, 12):
                top, left = max(row - reach, 0), max(column - reach, 0)
                rows, columns = np.nonzero(~bad[top : row + reach + 1, left : column + reach + 1])
                if len(rows) >= 6:
                    self._choices.append((rows + top, columns + left))
                    break
            else:
                everywhere = everywhere or np.nonzero(~bad)
                self._choices.append(everywhere)

    def fill(self, frame: Image, rng: np.random.Generator) -> Image:
        """Replace bad pixels by good ones drawn from around them: never by a constant, to which correlations would lock."""
        for place, (rows, columns) in enumerate(self._choices):
            chosen = rng.integers(len(rows))
            frame[self._rows[place], self._columns[place]] = frame[rows[chosen], columns[chosen]]
        return frame
