import numpy as np

from cryoloom.numerics.reconstruct.kernels import empty_grid
from cryoloom.numerics.reconstruct.sums import divided_transform
from cryoloom.numerics.reconstruct.together import drawn_together, eliminate


def random_sums(classes, radius=4.0, seed=0):
    rng = np.random.default_rng(seed)
    sums = np.stack([empty_grid(radius, 4)] * classes)
    sums[..., :2] = rng.normal(size=(*sums.shape[:-1], 2))
    sums[..., 2] = rng.uniform(1, 5, sums.shape[:-1])
    return sums


def test_elimination_solves_what_numpy_solves():
    rng = np.random.default_rng(1)
    matrix, right = rng.normal(size=(6, 6)), rng.normal(size=(6, 2))
    matrix[0, 0] = 0.0
    expected = np.linalg.solve(matrix, right)
    eliminate(matrix, right)
    assert np.allclose(right, expected)


def test_a_single_map_without_a_common_one_is_wieners():
    sums = random_sums(1)
    sums[..., 2] = 2.0
    signal = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    together = drawn_together(sums, np.zeros(sums.shape[1:4], np.complex64), signal[:, None, None])
    assert np.allclose(together[0], divided_transform(sums[0], 4, ssnr=2.0 * signal), atol=1e-5)


def test_maps_that_differ_alike_from_the_rest_stay_alike_and_those_that_do_not_differ_are_the_common_one():
    sums = random_sums(3, seed=2)
    common = random_sums(1, seed=3)[0, ..., 0].astype(np.complex64)
    alike = np.outer([1.0, 1.0, -1.0], [1.0, 1.0, -1.0]) * np.ones((5, 1, 1))
    first, second, third = drawn_together(sums, common, alike) - common
    assert np.allclose(first, second, atol=1e-5) and np.allclose(first, -third, atol=1e-5) and np.abs(first).max() > 0.1
    assert np.allclose(drawn_together(sums, common, 0.0 * alike), common)
