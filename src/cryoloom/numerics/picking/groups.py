"""Where several pickers found the same particle: positions of all pickers on one micrograph, gathered into groups of one pick a picker.

The result does not depend on the order of the pickers: pairs of picks are joined from the nearest on, as long as the group then has no two of one
picker and the centres of the two parts are within the radius. Voting of pickers: Sanchez-Garcia et al., IUCrJ 5:854 (2018), doi:10.1107/S2052252518014392.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """Groups of picks, each taken for one particle, sorted by y, then x.

    Attributes
    ----------
    x, y
        ``(n,)`` mean position of the group's picks, px.
    members
        ``(n, pickers)`` index of the group's pick in each picker's list, -1 where it has none.
    """

    x: Array
    y: Array
    members: NDArray[np.int64]

    @property
    def votes(self) -> NDArray[np.int64]:
        """Return how many pickers found each, ``(n,)``."""
        return (self.members >= 0).sum(axis=1)


def group_picks(pickers: Sequence[Array], radius: float) -> Groups:
    """Gather the picks of one micrograph.

    Parameters
    ----------
    pickers
        ``(n, 2)`` x, y in px, one array a picker; arrays may be empty.
    radius
        Largest distance of two picks that are taken for one particle, px.
    """
    picker = np.repeat(np.arange(len(pickers)), [len(each) for each in pickers])
    index = np.concatenate([np.arange(len(each)) for each in pickers]).astype(np.int64)
    places = np.concatenate([np.asarray(each, dtype=np.float64).reshape(-1, 2) for each in pickers])
    group = _joined(places, picker, radius)
    labels, group = np.unique(group, return_inverse=True)
    members = np.full((len(labels), len(pickers)), -1, dtype=np.int64)
    members[group, picker] = index
    count = np.bincount(group, minlength=len(labels))
    x, y = (_means(places[:, axis], group, len(labels)) / np.maximum(count, 1) for axis in (0, 1))
    order = np.lexsort((x, y))
    return Groups(x[order], y[order], members[order])


def _joined(places: Array, picker: NDArray[np.int64], radius: float) -> NDArray[np.int64]:
    """Return a label ``(n,)`` of each pick's group."""
    group = np.arange(len(places))
    if len(places) < 2:
        return group
    pairs = cKDTree(places).query_pairs(radius, output_type="ndarray")
    pairs = pairs[picker[pairs[:, 0]] != picker[pairs[:, 1]]]
    distance = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    # Equal distances are put in the order of the places, which no renumbering of the pickers changes.
    middle = places[pairs].mean(axis=1)
    sets = [{int(number)} for number in picker]
    contents = [[number] for number in range(len(places))]
    for number in np.lexsort((middle[:, 0], middle[:, 1], distance)):
        one, two = sorted(group[pairs[number]])
        apart = places[contents[one]].mean(axis=0) - places[contents[two]].mean(axis=0)
        if one == two or sets[one] & sets[two] or np.hypot(*apart) > radius:
            continue
        sets[one] |= sets[two]
        group[contents[two]] = one
        contents[one] += contents[two]
    return group


def _means(values: Array, group: NDArray[np.int64], count: int) -> Array:
    """Return the sums of `values` over groups, added in the order of their size, so that they do not depend on who comes first."""
    order = np.lexsort((values, group))
    return np.bincount(group[order], values[order], minlength=count)
