"""How a gain reference lies on the movies, found from the movies themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.gain import Flip, Gain, Rotation, fitted, oriented, read_reference
from cryoloom.spec import Failure

ORIENTATIONS: tuple[tuple[Rotation, Flip], ...] = (
    (0, "none"), (90, "none"), (180, "none"), (270, "none"), (0, "left-right"), (0, "upside-down"), (90, "left-right"), (90, "upside-down"),
)  # fmt: skip
"""All that differ: turned further, a mirrored reference is one of these again."""

APART = 5.0
"""Standard deviations by which the best one must exceed the next."""

MOVIES = 20
"""From so many movies frames are taken, if there are: the more, the less of a specimen is in their average."""


@dataclass(frozen=True)
class Averages:
    """Means of the frames of every other movie, and of the rest.

    Attributes
    ----------
    halves
        Float32 ``(h, w)`` each; the second is None with one movie.
    frames
        How many they are of.
    """

    halves: tuple[NDArray[np.float32], NDArray[np.float32] | None]
    frames: int

    @property
    def all(self) -> NDArray[np.float32]:
        """Return the mean of both."""
        first, second = self.halves
        return first if second is None else 0.5 * (first + second)

    def less(self, dark: NDArray[np.float32]) -> "Averages":
        """Return them without the dark current."""
        first, second = self.halves
        return Averages((first - dark, None if second is None else second - dark), self.frames)


def average_frames(movies: Sequence[Any], frames: int) -> Averages | None:
    """Return averages of about so many frames, the first ones of up to `MOVIES` opened movies; None when no frame can be read."""
    chosen = movies[:MOVIES]
    each = -(-frames // max(1, len(chosen)))
    sums: list[NDArray[np.float32] | None] = [None, None]
    counts = [0, 0]
    for number, movie in enumerate(chosen):
        for frame in _frames(movie, min(each, movie.frames)):
            known = sums[number % 2]
            sums[number % 2] = frame if known is None else known + frame
            counts[number % 2] += 1
    means = [None if total is None else total / np.float32(count) for total, count in zip(sums, counts, strict=True)]
    first, second = means if means[0] is not None else means[::-1]
    return None if first is None else Averages((first, second), sum(counts))


def _frames(movie: Any, count: int) -> Iterator[NDArray[np.float32]]:
    for number in range(count):
        try:
            yield movie.read(number, number + 1)[0]
        except Failure:
            return  # the run that aligns it tells


@dataclass(frozen=True)
class Orientation:
    """The best orientation of a reference, and how far it is ahead.

    Attributes
    ----------
    rotation, flip
        As `gain.oriented` takes them.
    reciprocal
        Whether counts are to be divided by the reference.
    correlation
        Of the movies' pattern with the one that the reference predicts.
    ahead
        Standard deviations between it and the next best of all orientations and both senses.
    frames
        That told it.
    """

    rotation: Rotation
    flip: Flip
    reciprocal: bool
    correlation: float = 0.0
    ahead: float = 0.0
    frames: int = 0

    @property
    def decided(self) -> bool:
        """Return whether it may be believed."""
        return self.ahead > APART

    def same_as(self, rotation: int, flip: str, reciprocal: bool) -> bool:
        """Return whether these words mean this orientation."""
        return reciprocal == self.reciprocal and _canonical(rotation, flip) == _canonical(self.rotation, self.flip)

    def __str__(self) -> str:
        turned = f"turned by {self.rotation}°" + ("" if self.flip == "none" else f" and flipped {self.flip}")
        return f"{turned}, as a divisor," if self.reciprocal else turned


def _canonical(rotation: int, flip: str) -> tuple[int, bool]:
    """Upside-down is left-right after half a turn."""
    return (rotation + (180 if flip == "upside-down" else 0)) % 360, flip != "none"


def find_orientation(averages: Averages, path: str) -> Orientation:
    """Return how the reference of a file lies on movies of which `averages` are.

    Raises
    ------
    Failure
        As `gain.read_gain` does; ``gain-shape`` when no orientation has the movies' shape.
    """
    from cryoloom.numerics.detector.pattern import deviations, factors, match

    average, reference = averages.all, factors(read_reference(path))
    candidates: list[tuple[Rotation, Flip, NDArray[np.float32]]] = []
    refused: Failure | None = None
    for rotation, flip in ORIENTATIONS:
        try:
            image, _ = fitted(oriented(reference, rotation, flip), average.shape, path, reference.shape, rotation)
        except Failure as error:
            refused = error
            continue
        candidates.append((rotation, flip, image))
    if not candidates:
        assert refused is not None
        raise refused
    found = match(deviations(average), [image for _, _, image in candidates])
    both = [(sign * value, number, sign < 0) for number, value in enumerate(found.correlations) for sign in (1, -1)]
    (best, number, reciprocal), (second, _, _) = sorted(both, reverse=True)[:2]
    rotation, flip, _ = candidates[number]
    return Orientation(rotation, flip, reciprocal, best, (best - second) / (sqrt(2) * found.sigma), averages.frames)


def residual_gain(averages: Averages, gain: Gain) -> float:
    """Return the relative deviation of the pattern that a reference leaves in the movies; 0 when it is not seen above the noise of counting."""
    from cryoloom.numerics.detector.pattern import residual

    first, second = averages.halves
    if second is None:
        return 0.0
    left, least = residual(first * gain.factors, second * gain.factors)
    return left if left > least else 0.0
