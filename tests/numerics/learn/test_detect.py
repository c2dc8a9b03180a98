"""The shipped detector on micrographs that share nothing with its training: all shapes, all pixel sizes, in bands or whole."""

import imagecodecs
import numpy as np
import pytest
import torch
from blobby_micrographs import Scenery, draw

from cryoloom.formats.coordinates import read_coordinates
from cryoloom.numerics.learn import detect as detecting
from cryoloom.numerics.learn.detect import detect, in_company
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.weights import read_weights, shipped_weights
from cryoloom.numerics.picking.matching import agreement
from cryoloom.numerics.picking.scene import reduce_micrograph


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    network = Detector()
    read_weights(network, shipped_weights("pick-deep"))
    return network.eval()


def found_and_true(scenery, network, least=0.3):
    image, true = draw(scenery, 3)
    scene = reduce_micrograph(image, scenery.pixel_size, scenery.diameter, grain=GRAIN)
    picks = detect(scene, network, least=least)
    return agreement([(np.stack([picks.x, picks.y], axis=1), picks.confidence)], [true], scenery.diameter / scenery.pixel_size), picks


@pytest.mark.parametrize(
    ("scenery", "recall", "precision"),
    [
        (Scenery(), 0.9, 0.9),
        (Scenery(pixel_size=1.1, shape=(1100, 900), diameter=130.0, count=25), 0.9, 0.9),
        (Scenery(pixel_size=3.0, shape=(511, 733), diameter=300.0, count=25, hot=40), 0.9, 0.9),
        (Scenery(pixel_size=6.0, shape=(400, 400), diameter=120.0, defocus=20000.0, count=60), 0.8, 0.8),
        (Scenery(shape_of_particle="ring", count=30), 0.9, 0.9),
        (Scenery(shape_of_particle="rod", diameter=260.0, pixel_size=3.0, count=30), 0.8, 0.8),
        (Scenery(carbon=True, ice=2, count=30), 0.9, 0.6),  # particles beside contaminants are not in the truth
    ],
    ids=["typical", "fine", "coarse, odd, hot pixels", "enlarged", "ring", "rod", "contaminants"],
)
def test_particles_are_found(scenery, recall, precision, network):
    figures, _ = found_and_true(scenery, network)
    assert figures.recall >= recall and figures.precision >= precision
    assert figures.centring < 0.08


def test_bands_and_whole_are_one(network, monkeypatch):
    image, _ = draw(Scenery(shape=(900, 500), pixel_size=2.4, diameter=60.0, count=10), 3)
    scene = reduce_micrograph(image, 2.4, 60.0, grain=GRAIN)
    whole = detect(scene, network, least=0.02)
    monkeypatch.setattr(detecting, "BAND", 256)
    bands = detect(scene, network, least=0.02)
    assert len(whole.x) == len(bands.x) > 0
    assert np.allclose(np.sort(whole.confidence), np.sort(bands.confidence), atol=1e-5)


def test_a_turned_micrograph_has_about_the_same_picks_turned(network):
    image, _ = draw(Scenery(), 3)
    scenes = [reduce_micrograph(np.ascontiguousarray(each), 2.4, 200.0, grain=GRAIN) for each in (image, np.rot90(image, 2))]
    one, two = (detect(scene, network, least=0.3) for scene in scenes)
    turned = np.stack([image.shape[1] - 1 - two.x, image.shape[0] - 1 - two.y], axis=1)
    figures = agreement([(turned, two.confidence)], [np.stack([one.x, one.y], axis=1)], 200.0 / 2.4)
    assert figures.f1 > 0.95


def test_a_real_micrograph_needs_the_diameter_only(network, test_data):
    """β-galactosidase, EMPIAR-10017, denoised by its publishers, beside curated picks; nothing was trained or tuned on it."""
    folder = test_data / "micrograph-10017"
    image = imagecodecs.jpeg_decode((folder / "Falcon_2012_06_12-14_33_35_0.jpg").read_bytes()).astype(np.float32)
    true = read_coordinates(folder / "cryosegnet_14_33_35_picks.star").select("x", "y").to_numpy().astype(np.float64)
    picks = detect(reduce_micrograph(image, 1.77, 180.0, grain=GRAIN), network, least=0.3, border=0.3)
    figures = agreement([(np.stack([picks.x, picks.y], axis=1), picks.confidence)], [true], 180.0 / 1.77)
    assert len(true) == 629
    assert figures.recall >= 0.8 and figures.precision >= 0.6


def test_doubtful_picks_count_for_more_in_company():
    doubt, sure = np.full(1, 0.4), np.full(20, 0.98)
    together = in_company(np.concatenate([doubt, sure]), 113.0)
    assert together[0] > 0.3 > 0.1 > in_company(doubt, 113.0)[0]
    assert (together[1:] > 0.97).all()
    assert in_company(np.array([0.98]), 113.0)[0] > 0.5
    assert len(in_company(np.zeros(0), 113.0)) == 0
