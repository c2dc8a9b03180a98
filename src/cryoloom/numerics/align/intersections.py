"""What several classifications of the same items put together: every tuple of classes, one of each, and how many items it would hold by chance.

Of two independent classifications a cell is hypergeometric; of more, the number of items that lie in one given class of each has a mean and a variance
in closed form, and a binomial distribution of these stands for it.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.align.contingency import Contingency

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

BAND = (0.05, 0.95)
"""Quantiles between which the size of a cell is one of chance."""
MOST_OF_A_CLASS = 0.5
"""Part of the smaller class from which a cell stands, be it by chance: most of that class is there."""


@dataclass(frozen=True)
class Intersections:
    """Cells in the order A1∩B1, A1∩B2, A2∩B1, A2∩B2 and so on.

    Attributes
    ----------
    classes
        ``(G, m)``: class of each of m classifications, from 0.
    counts
        ``(G,)`` items.
    member
        ``(n,)`` cell of each item.
    sizes
        Items in the classes of each classification.
    """

    classes: Integers
    counts: Integers
    member: Integers
    sizes: tuple[Integers, ...]

    @classmethod
    def of(cls, members: list[Integers]) -> "Intersections":
        """Return the cells of classifications, each ``(n,)`` classes from 0; every tuple of classes is one, be it empty."""
        sizes = tuple(np.bincount(each).astype(np.int64) for each in members)
        shape = tuple(len(each) for each in sizes)
        member = np.ravel_multi_index(members, shape).astype(np.int64)
        classes = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1).astype(np.int64)
        return cls(classes, np.bincount(member, minlength=len(classes)).astype(np.int64), member, sizes)

    @property
    def total(self) -> int:
        """Return the number of items."""
        return len(self.member)

    @cached_property
    def parents(self) -> Integers:
        """Return the sizes of the classes that each cell is of, ``(G, m)``."""
        return np.stack([sizes[self.classes[:, number]] for number, sizes in enumerate(self.sizes)], axis=1)

    @cached_property
    def expected(self) -> Array:
        """Return the items of each cell if the classifications were independent, ``(G,)``."""
        return self.total * np.prod(self.parents / max(self.total, 1), axis=1)

    @cached_property
    def variance(self) -> Array:
        """Return the variance of the size of each cell by chance, ``(G,)``."""
        n, sizes = float(self.total), self.parents.astype(np.float64)
        pairs = n * (n - 1.0) * np.prod(sizes * (sizes - 1.0) / max(n * (n - 1.0), 1.0), axis=1)
        return np.maximum(pairs + self.expected - self.expected**2, 0.0)

    @property
    def deviations(self) -> Array:
        """Return by how many standard deviations of chance each cell is larger, ``(G,)``; 0 where chance has no choice."""
        known = self.variance > 1e-9 * max(self.total, 1)
        return np.divide(self.counts - self.expected, np.sqrt(self.variance), out=np.zeros(len(self.counts)), where=known)

    @cached_property
    def band(self) -> Integers:
        """Return between which sizes nine of ten cells of chance lie, ``(G, 2)``."""
        from scipy.stats import binom, hypergeom

        if self.parents.shape[1] == 2:
            first, second = self.parents.T
            ends = [hypergeom.ppf(level, self.total, first, second) for level in BAND]
        else:
            share = np.clip(
                1.0 - np.divide(self.variance, self.expected, out=np.ones(len(self.counts)), where=self.expected > 0), 1e-9, 1.0
            )
            trials = np.maximum(np.rint(self.expected / share), 1.0)
            ends = [binom.ppf(level, trials, np.clip(self.expected / trials, 0.0, 1.0)) for level in BAND]
        return np.stack(ends, axis=1).astype(np.int64)

    @property
    def normalised(self) -> Array:
        """Return the part that each cell is of the smallest of its classes, ``(G,)``."""
        return self.counts / np.maximum(self.parents.min(axis=1), 1)

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Return which cells are more than what goes astray: larger than those of chance, or most of one of their classes."""
        return (self.counts > 0) & ((self.counts > self.band[:, 1]) | (self.normalised >= MOST_OF_A_CLASS))

    @cached_property
    def similarity(self) -> Array:
        """Return the Jaccard index of each cell and every class of every classification, ``(G, classes of all)``."""
        parts = [
            np.where(self.classes[:, number, None] == np.arange(len(sizes)), self.counts[:, None] / np.maximum(sizes, 1), 0.0)
            for number, sizes in enumerate(self.sizes)
        ]
        return np.concatenate(parts, axis=1)

    def pair(self, one: int, two: int) -> Contingency:
        """Return the table of two of the classifications."""
        counts = np.zeros((len(self.sizes[one]), len(self.sizes[two])), np.int64)
        np.add.at(counts, (self.classes[:, one], self.classes[:, two]), self.counts)
        return Contingency(counts)

    @property
    def pairs(self) -> list[tuple[int, int, Contingency]]:
        """Return the tables of all pairs."""
        return [(one, two, self.pair(one, two)) for one, two in combinations(range(len(self.sizes)), 2)]

    def agreement(self, cells: Integers, groups: Integers) -> float:
        """Return the mean adjusted Rand index of groups of some cells with the classifications, over the items of these cells.

        `groups` are numbers from 0, one a cell of `cells`.
        """
        found = []
        for number, sizes in enumerate(self.sizes):
            counts = np.zeros((int(groups.max()) + 1, len(sizes)), np.int64)
            np.add.at(counts, (groups, self.classes[cells, number]), self.counts[cells])
            found.append(Contingency(counts).adjusted_rand)
        return float(np.mean(found))
