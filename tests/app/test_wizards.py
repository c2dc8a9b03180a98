"""The band wizard on a micrograph of known rings; box and background of particles of a known diameter."""

import numpy as np
import polars as pl
import pytest

from cryoloom.app.wizards import background_circle, box_size, psd_band
from cryoloom.data import Coordinates, Micrographs
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


@pytest.fixture
def picked(tmp_path):
    """Return a micrograph of dark discs of 60 Å in noise, and where they are."""
    rng = np.random.default_rng(2)
    image, (y, x) = rng.normal(50, 2, (500, 500)).astype(np.float32), np.indices((500, 500))
    places = [(cx, cy) for cx in range(60, 460, 90) for cy in range(60, 460, 90)]
    for cx, cy in places:
        image[(x - cx) ** 2 + (y - cy) ** 2 < 15**2] -= 6
    write_mrc(tmp_path / "m.mrc", image, 2.0)
    row = {"id": 7, "micrograph_name": "m", "micrograph_path": "m.mrc", "width": 500, "height": 500, "optics_group": 1}
    optics = [{"optics_group": 1, "pixel_size": 2.0}]
    micrographs = Micrographs(pl.DataFrame([row | {"enabled": True, "fail_reason": ""}]), tmp_path, optics=optics)
    points = pl.DataFrame({"id": range(len(places)), "x": [float(a) for a, _ in places], "y": [float(b) for _, b in places]})
    points = points.with_columns(micrograph_id=pl.lit(7), micrograph_name=pl.lit("m"), score=pl.lit(1.0), optics_group=pl.lit(1))
    return Coordinates(points, tmp_path, optics=optics, meta={"diameter": 60.0}), micrographs


def test_the_box_holds_the_particle_and_its_background_begins_behind_it(picked):
    advice = box_size(*picked, bin=1.5)
    assert advice.box.extent >= 1.5 * 60 and advice.box.size in advice.choices and str(advice.box) == "32 px of 3 Å = 48 px of 2 Å = 96.0 Å"
    circle = background_circle(*picked, box=box_size(*picked).box)
    axis = np.arange(len(circle.average)) - len(circle.average) // 2
    radius = np.hypot(axis[:, None], axis)
    assert circle.radius == pytest.approx(15, abs=2)
    inner, outer = (circle.average[where].mean() for where in (radius < 13, radius > circle.radius + 2))
    assert inner - outer == pytest.approx(6, abs=0.5)


def test_no_diameter_no_advice(picked):
    coordinates, micrographs = picked
    with pytest.raises(WrongUse, match="diameter"):
        box_size(Coordinates(coordinates.items, coordinates.root, optics=coordinates.optics), micrographs)
