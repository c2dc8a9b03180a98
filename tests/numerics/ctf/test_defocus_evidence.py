import numpy as np
import pytest
import torch

from cryoloom.numerics.ctf.defocus_evidence import Waves
from cryoloom.numerics.ctf.model import ctf

BOX, PIXEL = 64, 1.6


@pytest.fixture
def waves():
    y, x = np.meshgrid(np.arange(-BOX // 2 + 1, BOX // 2), np.arange(BOX // 2), indexing="ij")
    kept = ((x > 0) | (y > 0)) & (np.hypot(x, y) < BOX // 2)
    return Waves(x[kept] / (BOX * PIXEL), y[kept] / (BOX * PIXEL), 300.0, 2.7, 0.1)


def transfer(waves, u, v, angle, plate=0.0):
    x, y = (torch.from_numpy(axis) for axis in (waves.x, waves.y))
    return ctf(x, y, u, v, angle, plate, voltage=300.0, cs=2.7, amplitude_contrast=0.1).numpy()


def terms(waves, transfers, signal=0.05):
    rng = np.random.default_rng(2)
    norm = signal * rng.exponential(size=(len(transfers), len(waves.x)))
    across = norm * transfers + np.sqrt(norm / 2) * rng.normal(size=norm.shape)
    return across.astype(np.float32), norm.astype(np.float32)


def start(u, v, angle):
    twice = 2 * np.deg2rad(angle)
    return np.array([[0.5 * (u + v), 0.5 * (u - v) * np.cos(twice), 0.5 * (u - v) * np.sin(twice)]])


def test_profiles_are_the_likelihood_at_every_offset(waves):
    across, norm = terms(waves, transfer(waves, 15400.0, 15100.0, 25.0, 40.0)[None])
    grid = np.array([-1500.0, -400.0, 0.0, 250.0, 1500.0])
    found = waves.profiles(across, norm, start(15150.0, 14850.0, 25.0), np.deg2rad([40.0]), grid)[0]
    for offset, value in zip(grid, found, strict=True):
        c = transfer(waves, 15150.0 + offset, 14850.0 + offset, 25.0, 40.0)
        # Constants are dropped: half of Σ B.
        wanted = float((2 * across[0] * c - norm[0] * c**2).sum(dtype=np.float64)) + 0.5 * float(norm.sum(dtype=np.float64))
        assert value == pytest.approx(wanted, abs=0.02 * float(norm.sum()))
    fine = 10.0 * np.arange(-100, 101)
    assert fine[waves.profiles(across, norm, start(15150.0, 14850.0, 25.0), np.deg2rad([40.0]), fine)[0].argmax()] == pytest.approx(
        250.0, abs=60.0
    )


def test_astigmatism_of_many_images_is_fitted(waves):
    defoci = np.linspace(9000, 16000, 20)
    across, norm = terms(waves, np.stack([transfer(waves, each + 400.0, each - 400.0, 60.0) for each in defoci]))
    at = np.concatenate([start(each - 80.0 + 250.0, each - 80.0 - 250.0, 40.0) for each in defoci])
    change, covariance = waves.fitted(across, norm, at, np.zeros(20), np.array([True, True, True]))
    wanted = start(400.0, -400.0, 60.0)[0] - start(250.0, -250.0, 40.0)[0] + [80.0, 0.0, 0.0]
    assert (np.abs(change - wanted) < 4.5 * np.sqrt(np.diag(covariance))).all()
    assert np.sqrt(np.diag(covariance)).max() < 60.0
    fixed, _ = waves.fitted(across, norm, at, np.zeros(20), np.array([False, True, True]))
    assert fixed[0] == 0.0
