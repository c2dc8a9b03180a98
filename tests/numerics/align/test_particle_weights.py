import numpy as np

from cryoloom.numerics.align.particle_weights import Weighing, defocus_groups, jumped, particle_weights, percentiles


def weights(weighing, cost, *, signal=None, change=None, group=None):
    count = len(cost)
    ones = np.ones(count)
    return particle_weights(
        weighing, cost, ones if signal is None else signal, ones if change is None else change, ones,
        np.zeros(count, np.int64) if group is None else group,
    )  # fmt: skip


def test_ranks_count_within_groups_of_like_defocus():
    defocus = np.repeat([8000.0, 20000.0], 40)
    group = defocus_groups(defocus, 80)
    assert len(np.unique(group)) == 4 and all(np.ptp(defocus[group == one]) == 0 for one in range(4))
    cost = np.linspace(0.1, 0.2, 80)
    cost[:40] += 1.0  # nearer focus, more correlation
    found = weights(Weighing(0.1), cost, group=(defocus > 1e4).astype(np.int64))
    assert np.allclose(found[:40], found[40:]) and found.min() == 0.1 and found.max() == 1.0
    assert np.array_equal(percentiles(np.array([3.0, 1.0, 2.0]), np.zeros(3, np.int64)), [1.0, 0.0, 0.5])


def test_images_that_do_not_correlate_have_no_weight():
    assert np.array_equal(weights(Weighing(None), np.array([-0.1, 0.2])), [0.0, 1.0])


def test_weights_multiply():
    rng = np.random.default_rng(1)
    cost, signal, change = (rng.uniform(0.1, 1.0, 60) for _ in range(3))
    alone = [
        weights(Weighing(0.2), cost),
        weights(Weighing(None, ssnr=True), cost, signal=signal),
        weights(Weighing(None, continuous=True), cost),
        weights(Weighing(None, jumper=True), cost, change=change),
    ]
    every = weights(Weighing(0.2, ssnr=True, continuous=True, jumper=True), cost, signal=signal, change=change)
    # the jumper's part for shifts that are all alike is in each of the last two
    assert np.allclose(every, np.prod(alone, axis=0))


def test_poses_that_jump_count_less():
    found = jumped(np.array([0.1, 1.0, 1.0, 1.0, 9.0]))
    assert found[0] > found[1] > 0.5 and found[-1] < 1e-6
