import numpy as np
import pytest
import torch

from cryoloom.numerics.ctf.model import ctf

MICROSCOPE = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}


@pytest.mark.parametrize(("u", "v"), [(20000.0, 15000.0), (-12000.0, -12000.0), (5000.0, 5000.0)])
def test_up_to_its_first_peak_the_function_is_one_and_what_it_was_beyond(u, v):
    s = torch.linspace(0.0, 0.5, 2001, dtype=torch.float64)
    for angle in (0.0, 90.0):
        x, y = s * np.cos(np.deg2rad(angle)), s * np.sin(np.deg2rad(angle))
        whole = ctf(x, y, u, v, 0.0, **MICROSCOPE).numpy()
        begun = ctf(x, y, u, v, 0.0, from_first_peak=True, **MICROSCOPE).numpy()
        size = np.abs(whole)
        peak = int(np.argmax((size[1:-1] > 0.999) & (size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:]))) + 1
        assert size[peak] > 0.99
        rising = np.flatnonzero(np.sign(whole[:peak]) == np.sign(whole[peak]))
        assert np.abs(begun[: peak - 1][rising[rising < peak - 1]]) == pytest.approx(1.0)
        assert np.array_equal(begun[peak + 1 :], whole[peak + 1 :])
