import numpy as np
import polars as pl
import pytest

from cryoloom.data import Particles
from cryoloom.formats.alignment import alignable
from cryoloom.formats.stack import write_stack


@pytest.fixture
def particles(tmp_path):
    images = np.random.default_rng(1).standard_normal((20, 64, 64), dtype=np.float32)
    write_stack(tmp_path / "stack.mrcs", images, 3.0)
    items = pl.DataFrame(
        {
            "id": np.arange(20), "micrograph_id": [1] * 20, "stack_path": ["stack.mrcs"] * 20, "stack_index": np.arange(20),
            "optics_group": [1] * 20, "defocus_u": [18000.0] * 20, "defocus_v": [17000.0] * 20, "defocus_angle": [20.0] * 20,
        }
    )  # fmt: skip
    optics = [{"optics_group": 1, "pixel_size": 3.0, "box_size": 64, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
    return Particles(items, tmp_path, optics=optics)


def test_the_transfer_function_is_taken_whole_from_its_first_peak_or_not_at_all(particles):
    found = {}
    for transfer in ("full", "from-first-peak", "none"):
        loaded = alignable(particles, 120.0, transfer=transfer)
        plane = loaded.images.plane
        found[transfer] = loaded.images.transfers.take(np.array([3]), len(plane.kx))[0]
        assert not loaded.warnings
    assert (found["none"] == 1).all()
    peak = plane.shell[found["full"] > 0.99].min()
    inner = plane.shell < peak
    assert (found["from-first-peak"][inner] == 1).all() and found["full"][inner].min() < 0.5
    assert np.array_equal(found["from-first-peak"][plane.shell > peak + 2], found["full"][plane.shell > peak + 2])
