"""Two classifications of the same items: how many each pair of classes has in common, and how many it would by chance.

Cells of independent classifications are hypergeometric. Agreement of the whole is the Rand index adjusted for chance (Hubert & Arabie 1985,
doi:10.1007/BF01908075), 1 for equal classifications and 0 for independent ones, whatever the classes are called and however many there are.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

AGREE, LITTLE = 0.5, 0.05
"""Adjusted Rand index above which classifications agree, and below which they do not."""

SIGNIFICANT = 0.01
"""Probability by chance below which the table as a whole is none of independent classifications."""


@dataclass(frozen=True)
class Contingency:
    """`counts`, ``(A, B)``: items in class a of the first and class b of the second classification."""

    counts: Integers

    @classmethod
    def of(cls, first: Integers, second: Integers) -> "Contingency":
        """Return the table of two classifications, each ``(n,)`` classes from 0."""
        shape = int(first.max(initial=-1)) + 1, int(second.max(initial=-1)) + 1
        return cls(np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape))

    @property
    def total(self) -> int:
        """Return the number of items."""
        return int(self.counts.sum())

    @property
    def expected(self) -> Array:
        """Return how many items each pair of classes has in common by chance, ``(A, B)``."""
        return np.outer(self.counts.sum(axis=1), self.counts.sum(axis=0)) / max(self.total, 1)

    @property
    def deviations(self) -> Array:
        """Return by how many standard deviations of chance each pair has more in common, ``(A, B)``; 0 where chance has no choice."""
        whole = float(self.total)
        rows, columns = self.counts.sum(axis=1, dtype=np.float64), self.counts.sum(axis=0, dtype=np.float64)
        variance = np.outer(rows * (whole - rows), columns * (whole - columns)) / max(whole * whole * (whole - 1.0), 1.0)
        return np.divide(self.counts - self.expected, np.sqrt(variance), out=np.zeros(self.counts.shape), where=variance > 0)

    def by_chance(self, row: int, column: int) -> float:
        """Return the probability that independent classifications have as much in common in this pair of classes, or more."""
        from scipy.stats import hypergeom

        cell, of_row, of_column = self.counts[row, column], self.counts[row].sum(), self.counts[:, column].sum()
        return float(hypergeom.sf(cell - 1, self.total, of_row, of_column))

    @property
    def significance(self) -> float:
        """Return the probability of a table as far from that of independent classifications, by chi-square; empty classes do not count."""
        from scipy.special import chdtrc

        rows, columns = self.counts.sum(axis=1) > 0, self.counts.sum(axis=0) > 0
        freedom = (int(rows.sum()) - 1) * (int(columns.sum()) - 1)
        if freedom < 1:
            return 1.0
        expected = self.expected[np.ix_(rows, columns)]
        return float(chdtrc(freedom, ((self.counts[np.ix_(rows, columns)] - expected) ** 2 / expected).sum()))

    @property
    def adjusted_rand(self) -> float:
        """Return the adjusted Rand index; 0 where either has one class only, which tells nothing."""
        pairs, rows, columns = (_pairs(each) for each in (self.counts, self.counts.sum(axis=1), self.counts.sum(axis=0)))
        chance = rows * columns / max(_pairs(np.array([self.total])), 1.0)
        most = 0.5 * (rows + columns)
        return float((pairs - chance) / (most - chance)) if most > chance else 0.0

    @property
    def mutual_information(self) -> float:
        """Return the mutual information over the mean of both entropies, 0 to 1."""
        share = self.counts / max(self.total, 1)
        rows, columns = share.sum(axis=1), share.sum(axis=0)
        shared = _entropy(rows) + _entropy(columns) - _entropy(share.ravel())
        mean = 0.5 * (_entropy(rows) + _entropy(columns))
        return float(np.clip(shared / mean, 0.0, 1.0)) if mean > 0 else 0.0

    @property
    def verdict(self) -> Literal["agree", "partly agree", "no more than by chance"]:
        """Return in words how far the classifications agree."""
        if self.significance > SIGNIFICANT or self.adjusted_rand < LITTLE:
            return "no more than by chance"
        return "agree" if self.adjusted_rand > AGREE else "partly agree"


def _pairs(counts: Integers) -> float:
    wide = counts.astype(np.float64)
    return float((wide * (wide - 1.0)).sum() / 2.0)


def _entropy(share: Array) -> float:
    some = share[share > 0]
    return float(-(some * np.log(some)).sum())
