"""How far a pose may be from the truth, learned from poses that are known: a quantile of the error that grows with what looks unsure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RIDGE = 1e-2
"""Of the regression of log errors, beside the variance of the features."""
LEAST = 20
"""Poses from which a quantile is taken: fewer tell chance."""
KNOTS = 24
LEAST_ERROR = 0.1
"""Degrees: smaller errors are not told apart."""


@dataclass(frozen=True)
class Spread:
    """The calibration.

    Attributes
    ----------
    centre, slope, offset
        Features ``(F,)`` are taken from `centre`, multiplied by `slope` and summed; with `offset` that is the expected log error.
    knots, values
        Expected log errors and the quantile in degrees at each, never falling, ``(KNOTS,)``; between them straight lines.
    quantile
        Part of the poses whose error is smaller.
    """

    centre: Array
    slope: Array
    offset: float
    knots: Array
    values: Array
    quantile: float

    @classmethod
    def of(cls, features: Array, errors: Array, quantile: float) -> "Spread":
        """Learn from features ``(n, F)`` of poses and their errors ``(n,)`` in degrees."""
        centre = features.mean(axis=0)
        scale = np.maximum(features.std(axis=0), 1e-9)
        wanted = np.log(np.maximum(errors, LEAST_ERROR))
        whitened = (features - centre) / scale
        covariance = whitened.T @ whitened / len(errors) + RIDGE * np.eye(len(centre))
        slope = np.linalg.solve(covariance, whitened.T @ (wanted - wanted.mean()) / len(errors)) / scale
        offset = float(wanted.mean())
        expected = (features - centre) @ slope + offset
        knots, values = _rising_quantiles(expected, errors, quantile)
        return cls(centre, slope, offset, knots, values, quantile)

    def numbers(self) -> dict[str, Any]:
        """Return the calibration as JSON values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def of_numbers(cls, numbers: dict[str, Any]) -> "Spread":
        """Return what `numbers` gave."""
        return cls(**{name: np.array(value) if isinstance(value, list) else value for name, value in numbers.items()})

    def __call__(self, features: Array) -> Array:
        """Return the quantile of the error in degrees for features ``(n, F)``."""
        return np.interp((features - self.centre) @ self.slope + self.offset, self.knots, self.values)


def _rising_quantiles(expected: Array, errors: Array, quantile: float) -> tuple[Array, Array]:
    """Return places and quantiles of `errors` that never fall as `expected` grows: neighbours are pooled until they do not."""
    order = np.argsort(expected, kind="stable")
    count = int(np.clip(len(errors) // LEAST, 1, KNOTS))
    pools = [(expected[part], errors[part]) for part in np.array_split(order, count)]
    pooled: list[tuple[Array, Array]] = []
    for pool in pools:
        pooled.append(pool)
        while len(pooled) > 1 and np.quantile(pooled[-1][1], quantile) < np.quantile(pooled[-2][1], quantile):
            last, before = pooled.pop(), pooled.pop()
            pooled.append((np.concatenate([before[0], last[0]]), np.concatenate([before[1], last[1]])))
    knots = np.array([np.median(places) for places, _ in pooled])
    values = np.array([np.quantile(wrong, quantile) for _, wrong in pooled])
    return np.pad(knots, (0, KNOTS - len(knots)), mode="edge"), np.pad(values, (0, KNOTS - len(values)), mode="edge")
