import numpy as np
import pytest

from cryoloom.numerics.align.projection_matching import Matches
from cryoloom.numerics.align.significance import Criteria, ranks, weights
from cryoloom.numerics.geometry.coverage import fibonacci_directions
from cryoloom.numerics.geometry.symmetry import C1, point_group

COUNT = 200
ALONE = Criteria(distance=False, fisher=False, neighbourhood=0.0)


@pytest.fixture
def found():
    rng = np.random.default_rng(1)
    correlation = rng.uniform(0.5, 0.9, (6, COUNT)).astype(np.float32)
    correlation[np.arange(6), 30 * np.arange(6)] = 0.95
    nothing = np.zeros((6, COUNT))
    return Matches(correlation, (1.0 - correlation).astype(np.float32), nothing.astype(np.float32), nothing.astype(np.int16))


def test_an_image_counts_at_the_part_of_directions_that_it_is_likest(found):
    share = weights(found, fibonacci_directions(COUNT), 0.1, 1000.0, C1, ALONE)
    assert np.array_equal(np.count_nonzero(share, axis=1), np.full(6, COUNT // 10 + 1))
    for row, like in zip(share, found.correlation, strict=True):
        assert like[row > 0].min() > like[row == 0].max()
    assert np.array_equal(share.argmax(axis=1), 30 * np.arange(6))
    alone = weights(found, fibonacci_directions(COUNT), 0.0, 1000.0, C1, ALONE)
    assert np.array_equal(np.nonzero(alone)[1], 30 * np.arange(6))


def test_fisher_leaves_out_what_is_clearly_less_like(found):
    directions = fibonacci_directions(COUNT)
    strong, weak = (weights(found, directions, 0.1, pixels, C1, Criteria(distance=False, neighbourhood=0.0)) for pixels in (1e6, 10.0))
    assert np.count_nonzero(strong) < np.count_nonzero(weak) == 6 * 21
    assert found.correlation[strong > 0].min() >= 0.9 * 0.95 - 0.01


def test_the_distance_counts_too(found):
    found.distance[0, 0] = 1.0  # as far as can be where it is likest
    with_distance, without = (
        weights(found, fibonacci_directions(COUNT), 0.1, 1000.0, C1, Criteria(distance=on, fisher=False, neighbourhood=0.0))
        for on in (True, False)
    )
    assert without[0].argmax() == 0 and with_distance[0].argmax() != 0


def test_a_strict_direction_finds_the_image_significant_too(found):
    found.correlation[:, 0] = np.linspace(0.96, 0.91, 6)
    loose, strict = (
        weights(found, fibonacci_directions(COUNT), 0.2, 1000.0, C1, Criteria(False, False, on, neighbourhood=0.0)) for on in (False, True)
    )
    assert np.count_nonzero(loose[:, 0]) == 6 and np.flatnonzero(strict[:, 0]).tolist() == [0, 1]


def test_neighbours_and_mates_share_their_images(found):
    found.correlation[:] = 0.5
    found.correlation[0] = 0.6
    poles = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], *fibonacci_directions(COUNT - 2)])
    found.correlation[1, 1] = 0.9
    apart, together = (weights(found, poles, 1.0, 1000.0, point_group(name), Criteria(False, False)) for name in ("C2", "D2"))
    assert apart[0, 0] > 1.4 * together[0, 0]  # in D2 both poles are one direction, at which another image is likelier


def test_ranks():
    assert ranks(np.array([[3.0, 1.0, 2.0, 2.0]])).tolist() == [[1.0, 0.25, 0.5, 0.75]]
