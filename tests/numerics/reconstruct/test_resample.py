import numpy as np
import pytest

from cryoloom.numerics.reconstruct.resample import centred_box, matched


def test_the_centre_stays_the_centre():
    for old, new in ((9, 12), (8, 13), (12, 7), (13, 8)):
        volume = np.zeros((old, old, old), np.float32)
        volume[old // 2, old // 2, old // 2] = 1
        assert centred_box(volume, new)[new // 2, new // 2, new // 2] == 1


@pytest.mark.parametrize(("box", "size", "new_box", "new_size"), [(48, 2.0, 40, 2.7), (40, 3.1, 64, 1.9), (32, 2.0, 48, 2.0)])
def test_a_gaussian_keeps_place_width_and_height(box, size, new_box, new_size):
    def gaussian(n, apix):
        axis = (np.arange(n) - n // 2) * apix
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        return np.exp(-((x - 4) ** 2 + (y + 6) ** 2 + z**2) / (2 * 7.0**2)).astype(np.float32)

    found = matched(gaussian(box, size), size, new_box, new_size)
    assert np.abs(found - gaussian(new_box, new_size)).max() < 0.01
