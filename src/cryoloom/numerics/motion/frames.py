"""Frames ready for alignment: gain applied, bad pixels found and filled."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.float32]

HOT = 6.0
"""Robust standard deviations of the frame sum beyond which a pixel is bad."""

KEPT_BYTES = 1 << 29
"""Of raw frames that are dear to read and therefore kept; those beyond are read again for each pass."""

ROWS = 64
"""Made ready at once."""

MULTIPLIED = tuple(np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "f4"))
"""Types of raw frames that compiled code reads."""

SAMPLED = 512
"""Rows and columns, at least, that tell the spread of a frame sum."""


class Frames:
    """Prepared frames, float32 ``(h, w)``.

    A raw frame is read, and made ready again, for each pass. Memory: raw frames as they lie in the file up to `KEPT_BYTES` (so that a
    compressed movie is unpacked once), the sum of all, and two frames, however many there are.

    Parameters
    ----------
    read
        Returns the raw frame of a number from 0, of any real type.
    count
        Of frames.
    gain
        What frames are multiplied by; None: nothing. Zero, or what is not a number, marks dead pixels.
    defects
        True where pixels are bad; None: none known.
    seed
        Of the values that bad pixels are filled with.
    keep
        Whether reading is dear, so that raw frames are kept.

    Raises
    ------
    ValueError
        For a frame that is constant or holds values that are not numbers.
    """

    def __init__(
        self,
        read: Callable[[int], NDArray[Any]],
        count: int,
        *,
        gain: Image | None,
        defects: NDArray[np.bool_] | None,
        seed: int,
        keep: bool = True,
    ) -> None:
        self._read, self._seed = read, seed
        self._kept: dict[int, NDArray[Any]] = {}
        self._room = KEPT_BYTES if keep else 0
        self.count = count
        if not count:
            raise ValueError("a movie without frames")
        dead = None if gain is None else ~(np.isfinite(gain) & (gain > 0))
        self._gain = None if gain is None or dead is None else np.where(dead, np.float32(0), gain).astype(np.float32, copy=False)
        raw = self._raw(0)
        total, frame = torch.zeros(raw.shape), torch.empty(raw.shape)
        self.means = torch.tensor([self._checked(number, frame, total) for number in range(count)], dtype=torch.float64)
        known = np.zeros(total.shape, dtype=bool)
        known |= False if defects is None else defects
        known |= False if dead is None else dead
        bad = known | outliers(total.numpy(), known)
        self.bad_pixels = int(np.count_nonzero(bad))
        self.found_bad = self.bad_pixels - int(np.count_nonzero(known))
        if bad.all():
            raise ValueError("every pixel is bad")
        self._neighbours = _Neighbours(bad)
        self._total = total

    @property
    def shape(self) -> tuple[int, int]:
        """Return ``(h, w)``."""
        return self._total.shape[0], self._total.shape[1]

    def get(self, number: int, out: Tensor | None = None) -> Tensor:
        """Return a frame from 0; in `out` if that is given."""
        frame = torch.empty(self.shape) if out is None else out
        for _ in self._gained(number, frame):
            pass
        self._neighbours.fill(frame.numpy(), np.random.default_rng([self._seed, number]))
        return frame

    def mean(self) -> Tensor:
        """Return the mean of all frames where they were recorded."""
        image = self._total / self.count
        self._neighbours.fill(image.numpy(), np.random.default_rng([self._seed, self.count]))
        return image

    def _checked(self, number: int, frame: Tensor, total: Tensor) -> float:
        """Add a frame to `total` and return its mean."""
        low, high, mean = math.inf, -math.inf, 0.0
        for rows in self._gained(number, frame):
            piece = frame[rows]
            least, most = (float(value) for value in torch.aminmax(piece))
            low, high = (least, most) if math.isnan(least) else (min(low, least), max(high, most))
            mean += float(piece.sum()) / frame.numel()
            total[rows] += piece
        if not math.isfinite(mean + high - low):
            raise ValueError(f"frame {number + 1}: {int((~torch.isfinite(frame)).sum())} pixels are not numbers")
        if low == high:
            raise ValueError(f"frame {number + 1} is constant, {low:g} everywhere")
        return mean

    def _raw(self, number: int) -> NDArray[Any]:
        raw = self._kept.get(number)
        if raw is None:
            raw = self._read(number)
            if raw.nbytes <= self._room:
                self._kept[number] = raw
                self._room -= raw.nbytes
        return raw

    def _gained(self, number: int, frame: Tensor) -> Iterator[slice]:
        """Fill `frame`, and yield the rows that have just been: they are still in the cache."""
        raw, image = self._raw(number), frame.numpy()
        for top in range(0, len(image), ROWS):
            rows = slice(top, top + ROWS)
            if self._gain is None:
                np.copyto(image[rows], raw[rows], casting="unsafe")
            elif raw.dtype in MULTIPLIED:
                _multiply(np.ascontiguousarray(raw[rows]), self._gain[rows], image[rows])
            else:
                np.multiply(raw[rows], self._gain[rows], out=image[rows], dtype=np.float32, casting="unsafe")
            yield rows


class Part:
    """Some of the frames of a movie, as if these were all."""

    def __init__(self, frames: "Frames | Part", numbers: Sequence[int]) -> None:
        self._frames, self._numbers = frames, numbers
        self.count, self.shape = len(numbers), frames.shape

    def get(self, number: int, out: Tensor | None = None) -> Tensor:
        """Return a frame from 0, of the chosen ones; in `out` if that is given."""
        return self._frames.get(self._numbers[number], out)

    def mean(self) -> Tensor:
        """Return the mean of the chosen frames where they were recorded."""
        if list(self._numbers) == list(range(self._frames.count)):
            return self._frames.mean()
        total, frame = self.get(0), torch.empty(self.shape)
        for number in range(1, self.count):
            total += self.get(number, frame)
        return total / self.count


def outliers(total: Image, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a frame sum that lie beyond `HOT` robust standard deviations of the median, `known` bad ones aside."""
    sampled = tuple(slice(None, None, 1 + side // SAMPLED) for side in total.shape)
    good = total[sampled][~known[sampled]]
    if not len(good):
        return np.zeros_like(known)
    middle = float(np.median(good))
    spread = 1.4826 * float(np.median(np.abs(good - middle)))
    far = HOT * max(spread, 1e-12)
    return ((total > np.float32(middle + far)) | (total < np.float32(middle - far))) & ~known


@numba.njit(cache=True, nogil=True)
def _multiply(raw, gain, out):  # pragma: no cover (compiled)
    for y in range(len(out)):
        for x in range(out.shape[1]):
            out[y, x] = np.float32(raw[y, x]) * gain[y, x]


class _Neighbours:
    """For each bad pixel the good ones in the 5 × 5 around it (11 × 11, then 25 × 25, where there are fewer than six)."""

    def __init__(self, bad: NDArray[np.bool_]) -> None:
        height, width = bad.shape
        self._places = np.flatnonzero(bad)
        choices: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        lonely = []
        for place, (row, column) in enumerate(zip(*np.divmod(self._places, width), strict=True)):
            for reach in (2, 5, 12):
                top, left = max(row - reach, 0), max(column - reach, 0)
                rows, columns = np.nonzero(~bad[top : row + reach + 1, left : column + reach + 1])
                if len(rows) >= 6:
                    choices.append((rows + top) * width + columns + left)
                    break
            else:
                lonely.append(place)
                choices.append(choices[0])
        everywhere = np.flatnonzero(~bad) if lonely else choices[0]
        self._counts = np.array([len(one) for one in choices[1:]], dtype=np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._starts[lonely], self._counts[lonely] = self._counts.sum(), len(everywhere)
        self._choices = np.concatenate([*choices, everywhere])

    def fill(self, frame: Image, rng: np.random.Generator) -> None:
        """Replace bad pixels by good ones drawn from around them: never by a constant, to which correlations would lock."""
        flat = frame.reshape(-1)
        flat[self._places] = flat[self._choices[self._starts + rng.integers(self._counts)]]
