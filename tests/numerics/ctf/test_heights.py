import numpy as np
import pytest

from cryoloom.numerics.ctf.heights import THIN, heights

GRID = THIN * np.arange(-150, 151)


@pytest.fixture
def tilted():
    """Return evidence, places, micrographs and true offsets of a tilted set: each particle tells its own to `error` Å, one in eight a wave aside."""

    def make(error, spread, *, each=25, micrographs=12, slope=(0.25, -0.1), wrong=0.125):
        rng = np.random.default_rng(3)
        micrograph = np.repeat(np.arange(micrographs), each)
        places = rng.uniform(0, 3000, (len(micrograph), 2))
        true = rng.normal(0, 50, micrographs)[micrograph] + (places - 1500) @ slope + rng.normal(0, spread, len(micrograph))
        told = true + rng.normal(0, error, len(true))
        curves = -0.5 * ((GRID - told[:, None]) / error) ** 2
        # As likely a wave of the CTF further on, or likelier.
        aside = told + rng.choice([-600, 600], len(told))
        more = np.where(rng.random(len(told)) < wrong, 1.0, -3.0)
        curves = np.logaddexp(curves, more[:, None] - 0.5 * ((GRID - aside[:, None]) / error) ** 2)
        return curves.astype(np.float32), places, micrograph, true

    return make


def test_the_plane_helps_where_particles_say_little(tilted):
    evidence, places, micrograph, true = tilted(150.0, 60.0)
    found = heights(evidence, GRID, places, micrograph)
    alone = GRID[evidence.argmax(axis=1)]
    wrong, before = np.sqrt(np.mean((found.offset - true) ** 2)), np.sqrt(np.mean((alone - true) ** 2))
    assert wrong < 75 and before > 200
    assert wrong == pytest.approx(np.sqrt(np.mean(found.error**2)), rel=0.3)
    assert np.median(found.planes[:, 1:], axis=0) == pytest.approx([0.25, -0.1], abs=0.02)
    assert found.spread == pytest.approx(60.0, rel=0.4)


def test_a_level_specimen_is_left_level(tilted):
    evidence, places, micrograph, true = tilted(40.0, 0.0, slope=(0.0, 0.0), wrong=0.0)
    found = heights(evidence, GRID, places, micrograph)
    assert np.sqrt(np.mean((found.offset - true) ** 2)) < 15
    assert found.spread <= 20


def test_without_places_micrographs_are_level(tilted):
    evidence, _, micrograph, true = tilted(60.0, 40.0, slope=(0.0, 0.0))
    found = heights(evidence, GRID, None, micrograph)
    assert np.sqrt(np.mean((found.offset - true) ** 2)) < 45
    assert not found.planes[:, 1:].any()
