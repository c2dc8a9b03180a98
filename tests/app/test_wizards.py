"""The band wizard on a micrograph of known rings."""

import numpy as np
import polars as pl
import pytest

from cryoloom.app.wizards import psd_band
from cryoloom.data import Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.spec import WrongUse

PIXEL_SIZE, SIDE, DEFOCUS = 1.5, 768, 16000.0


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    rng = np.random.default_rng(1)
    kx, ky = frequencies(SIDE, SIDE, PIXEL_SIZE)
    rings = Microscope(300.0, 2.7, 0.1).transfer(Defocus(DEFOCUS, DEFOCUS, 0.0), kx, ky)
    ice = forward(rng.standard_normal((SIDE, SIDE), dtype=np.float32)) * rings.astype(np.float32)
    write_mrc(root / "m.mrc", backward(ice, (SIDE, SIDE)) + rng.standard_normal((SIDE, SIDE), dtype=np.float32), PIXEL_SIZE)
    row = {"id": 7, "micrograph_name": "m", "micrograph_path": "m.mrc", "width": SIDE, "height": SIDE, "optics_group": 1}
    optics = {"optics_group": 1, "pixel_size": PIXEL_SIZE, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
    return Micrographs(pl.DataFrame([row | {"enabled": True, "fail_reason": ""}]), root, optics=[optics])


@pytest.mark.parametrize("bin_factor", [1.0, 1.5])
def test_the_band_is_advised_from_inside_the_first_zero_to_the_last_ring(micrographs, bin_factor):
    found = psd_band(micrographs, 7, bin_factor=bin_factor)
    first_zero = np.sqrt(0.0196875 * DEFOCUS / (1 - np.arctan2(0.1, np.sqrt(0.99)) / np.pi))
    assert found.doubt == ""
    assert found.low_res == pytest.approx(first_zero / 0.9, rel=0.03)
    assert found.high_res == pytest.approx(found.nyquist, rel=0.1)
    assert found.nyquist == pytest.approx(2 * PIXEL_SIZE * bin_factor, rel=0.02)
    size = len(found.picture)
    assert found.picture.shape == (size, size)
    y, x = np.indices(found.picture.shape) - size // 2
    radius = np.hypot(y, x) / (size * found.picture_pixel) * first_zero
    dark, bright = (found.picture[np.abs(radius - at) < 0.02].mean() for at in (1.0, np.sqrt(1.5)))
    assert bright > dark + 0.2
    assert len(found.frequency) == len(found.profile) > 50


def test_an_unknown_micrograph_is_refused(micrographs):
    with pytest.raises(WrongUse, match="no micrograph 8"):
        psd_band(micrographs, 8)
