"""Which half an image belongs to: at random, but pictures of one particle together."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def random_halves(groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return 0 or 1 for every image, members of a group alike, the halves equal to within the size of a group.

    Parameters
    ----------
    groups
        Group of every image, ``(n,)``; one image each where nothing is known.
    seed
        The same seed gives the same halves.
    """
    members = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(members))
    order = order[np.argsort(-members[order], kind="stable")]
    side, filled = np.zeros(len(members), np.int64), [0, 0]
    for group in order:
        side[group] = int(filled[1] < filled[0])
        filled[side[group]] += int(members[group])
    return side[groups]


def duplicate_groups(micrograph: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Return a group number for every image: those of one micrograph closer than `distance` (in the unit of x and y) share it."""
    _, member = np.unique(micrograph, return_inverse=True)
    apart = (max(float(np.ptp(x)), 0.0) + 2 * distance + 1.0) * member.ravel()
    pairs = cKDTree(np.stack([x + apart, y], axis=1)).query_pairs(distance, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(x), len(x)))
    return connected_components(graph, directed=False)[1].astype(np.int64)
