"""Blobs are found where particles are, at any pixel size and shape of micrograph."""

import numpy as np
import pytest
import torch
from blobby_micrographs import Scenery, draw, matched

from cryoloom.numerics.picking.blob import FEATURES, find_blobs
from cryoloom.numerics.picking.detail import Detail
from cryoloom.numerics.picking.scene import GRAIN, reduce_micrograph


@pytest.mark.parametrize(
    "scenery",
    [
        Scenery(),
        Scenery(pixel_size=1.1, shape=(1100, 900), diameter=130.0, count=25),
        Scenery(pixel_size=3.0, shape=(511, 733), diameter=300.0, count=25, hot=40),
        Scenery(diameter=150.0, defocus=8000.0, dose=25.0),
        Scenery(defocus=25000.0, dose=10.0),
        Scenery(shape_of_particle="ring", count=30),
        Scenery(shape_of_particle="rod", diameter=260.0, pixel_size=3.0, count=30),
    ],
    ids=["typical", "fine", "coarse, odd, hot pixels", "low defocus", "low dose", "ring", "rod"],
)
def test_all_particles_are_among_the_blobs_and_centred(scenery):
    image, true = draw(scenery, 3)
    blobs = find_blobs(reduce_micrograph(image, scenery.pixel_size, scenery.diameter))
    diameter = scenery.diameter / scenery.pixel_size
    errors = matched(np.stack([blobs.x, blobs.y], axis=1), true, 0.2 * diameter)
    assert len(errors) == len(true) >= 20
    assert np.sqrt(np.mean(errors**2)) < 0.06 * diameter
    assert blobs.features.shape == (len(blobs.x), len(FEATURES)) and np.isfinite(blobs.features).all() and np.isfinite(blobs.decoys).all()
    # Particles stand out of chance; the strongest come first.
    strongest = matched(np.stack([blobs.x, blobs.y], axis=1)[: len(true)], true, 0.2 * diameter)
    assert len(strongest) > 0.95 * len(true) and (np.diff(blobs.strength) <= 0).all()


def test_strength_is_the_mean_detail_in_units_of_the_noise():
    """White noise of any height has the rectified mean that its normal density says; strengths do not depend on the unit of grey values."""
    noise = np.random.default_rng(0).standard_normal((500, 500))
    expected = np.mean(np.clip(np.random.default_rng(1).standard_normal(1_000_000) - 1.0, 0.0, 3.0))
    for height in (1.0, 250.0):
        strengths, _ = Detail(torch.from_numpy((height * noise).astype(np.float32)), 4.0, 40.0).sums(1.0)
        assert float(strengths.mean()) == pytest.approx(expected, rel=0.12)
    image, _ = draw(Scenery(), 3)
    once, scaled = (find_blobs(reduce_micrograph(frame, 2.4, 200.0)) for frame in (image, 1000.0 + 0.01 * image))
    assert np.allclose(once.strength[:40], scaled.strength[:40], rtol=1e-3)


def test_around_a_bright_droplet_there_are_no_blobs():
    y, x = np.indices((500, 500))
    rng = np.random.default_rng(5)
    image = rng.standard_normal((500, 500)) + 8.0 * (np.hypot(x - 250, y - 250) < 40)
    blobs = find_blobs(reduce_micrograph(image, 1.0, 60.0))
    assert (np.hypot(blobs.x - 250, blobs.y - 250) > 30).all() and len(blobs.decoys) > 0


def test_reduction_keeps_to_the_grain_and_never_enlarges():
    image = np.random.default_rng(0).normal(size=(1000, 1403)).astype(np.float32)
    scene = reduce_micrograph(image, 1.5, 240.0)
    assert scene.diameter == pytest.approx(GRAIN, rel=0.03)
    assert scene.pixels.shape[0] * scene.scale[0] == pytest.approx(1000) and scene.pixels.shape[1] * scene.scale[1] == pytest.approx(1403)
    assert reduce_micrograph(image, 8.0, 100.0).pixels.shape == image.shape


def test_what_is_not_a_number_or_constant_is_harmless():
    image, true = draw(Scenery(), 3)
    image = image.copy()
    image[100:110, 100:110] = np.nan
    blobs = find_blobs(reduce_micrograph(image, 2.4, 200.0))
    assert len(matched(np.stack([blobs.x, blobs.y], axis=1), true, 0.2 * 200 / 2.4)) >= len(true) - 1
    assert find_blobs(reduce_micrograph(np.full((300, 300), 7.0), 2.4, 200.0)).x.size == 0


def test_bright_particles_and_dark_ones_are_the_same():
    image, _ = draw(Scenery(), 3)
    dark, bright = find_blobs(reduce_micrograph(image, 2.4, 200.0)), find_blobs(reduce_micrograph(-image, 2.4, 200.0, dark=False))
    assert np.array_equal(dark.x, bright.x)


def test_a_turned_micrograph_has_the_same_blobs_turned():
    image, _ = draw(Scenery(), 3)
    upright, turned = (find_blobs(reduce_micrograph(np.ascontiguousarray(frame), 2.4, 200.0)) for frame in (image, np.rot90(image)))
    places = np.stack([upright.y, image.shape[1] - 1 - upright.x], axis=1)[:40]
    apart = np.linalg.norm(places[:, None] - np.stack([turned.x, turned.y], axis=1)[None], axis=2).min(axis=1)
    # Reduction keeps the place of pixel (0, 0): at most a working pixel between the two.
    assert np.mean(apart < 3.5) >= 0.97


def test_a_diameter_above_half_the_micrograph_is_refused():
    with pytest.raises(ValueError, match="half the short side"):
        reduce_micrograph(np.zeros((200, 400), np.float32), 1.0, 101.0)
