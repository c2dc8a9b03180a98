"""Masks of what is neither ice nor particle, and scores of picks, against simulated truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from blake3 import blake3

from cryoloom.numerics.learn.segmentation import Segmenter
from cryoloom.numerics.learn.weights import shipped_weights
from cryoloom.numerics.picking.cleaning import ACROSS, CORE, Cover, cleaner, find_cover, level
from cryoloom.numerics.simulate.contaminants import COVERS
from cryoloom.numerics.simulate.field import Recipe, draw_specimen, number_of
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom

PIXEL, DIAMETER = 4.0, 160.0
FILMS = [number_of(kind) for kind in COVERS[:3]]


def simulate(seed, side=800, **changes):
    """Return a specimen and its counts."""
    rng, microscope = np.random.default_rng(seed), Microscope(300.0, 2.7, 0.1)
    settings = {"height": side, "width": side, "pixel_size": PIXEL, "particles": 60, "ice": 0.015, "grain": 0.03, "gradient": 0.03}
    specimen = draw_specimen(Recipe(**(settings | changes)), [random_phantom(11, DIAMETER)], microscope, rng)
    return specimen, micrograph(specimen, microscope, 30.0, rng)


@pytest.fixture(scope="module")
def dirty():
    fields = [
        simulate(1, carbon_fraction=1.0, contaminants=3.0),
        simulate(2, border_fraction=1.0, sheets=2.0, beads=4.0),
        simulate(3, contaminants=4.0, sheets=1.0, beads=4.0),
    ]
    return [(specimen, find_cover(image, PIXEL, DIAMETER, cleaner())) for specimen, image in fields]


def at_full_size(cover, shape):
    rows, columns = (
        np.minimum(np.arange(n) / s, m - 1).astype(int) for n, s, m in zip(shape, cover.scale, cover.probability.shape, strict=True)
    )
    return cover.probability[np.ix_(rows, columns)] > 0.5


def test_what_is_masked_is_what_covers_the_ice(dirty):
    found = [at_full_size(cover, specimen.covers.shape) for specimen, cover in dirty]
    both = sum((mask & specimen.contaminated).sum() for mask, (specimen, _) in zip(found, dirty, strict=True))
    either = sum((mask | specimen.contaminated).sum() for mask, (specimen, _) in zip(found, dirty, strict=True))
    assert both / either >= 0.8
    films = np.concatenate([mask[np.isin(specimen.covers, FILMS)] for mask, (specimen, _) in zip(found, dirty, strict=True)])
    assert films.mean() > 0.9


def test_particles_stay_and_contaminants_go(dirty):
    good, bad = [], []
    for specimen, cover in dirty:
        good += cover.region_scores(*np.array([(p.x, p.y) for p in specimen.particles]).T).tolist()
        rows, columns = np.nonzero(np.isin(specimen.covers, FILMS))
        some = np.random.default_rng(0).permutation(len(rows))[:50]
        bad += cover.region_scores(columns[some].astype(float), rows[some].astype(float)).tolist()
    assert np.mean(np.array(good) < 0.75) <= 0.03
    assert np.mean(np.array(bad) < 0.75) >= 0.9


def test_clean_micrographs_lose_next_to_nothing():
    specimen, image = simulate(4)
    cover = find_cover(image, PIXEL, DIAMETER, cleaner())
    scores = cover.region_scores(*np.array([(p.x, p.y) for p in specimen.particles]).T)
    assert cover.believable and cover.probability.mean() < 0.02 and (scores < 0.75).sum() <= 1


def test_a_turned_micrograph_has_turned_scores(dirty):
    specimen, image = simulate(3, contaminants=4.0, sheets=1.0, beads=4.0)
    turned = find_cover(np.rot90(image).copy(), PIXEL, DIAMETER, cleaner())
    x, y = np.random.default_rng(0).uniform(0, 799, (2, 300))
    off = dirty[2][1].region_scores(x, y) - turned.region_scores(y, 799 - x)
    assert np.sqrt(np.mean(off**2)) < 0.05


def test_inverted_contrast_is_masked_all_the_same(dirty):
    specimen, image = simulate(2, border_fraction=1.0, sheets=2.0, beads=4.0)
    told = find_cover(image.max() - image, PIXEL, DIAMETER, cleaner(), dark=False)
    assert np.corrcoef(told.probability.ravel(), dirty[1][1].probability.ravel())[0, 1] > 0.98
    untold = find_cover(image.max() - image, PIXEL, DIAMETER, cleaner())
    mask = at_full_size(untold, specimen.covers.shape)
    assert mask[np.isin(specimen.covers, FILMS)].mean() > 0.7 and mask[~specimen.contaminated].mean() < 0.1


def test_scores_and_distances_of_a_known_mask():
    probability = np.zeros((60, 80), dtype=np.float32)
    probability[:, 40:] = 1.0
    cover = Cover(probability, probability, (2.0, 2.0), True)
    x, y = np.array([20.0, 79.0, 120.0, 158.0]), np.array([60.0, 60.0, 60.0, 2.0])
    assert cover.region_scores(x, y) == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=0.03)
    assert cover.distances(x, y) == pytest.approx([30 / ACROSS, 0.0, 0.0, 0.0])
    edge = 2.0 * (39.5 - 0.5 * CORE * ACROSS - 1)
    assert cover.region_scores(np.array([edge]), np.array([60.0])) == pytest.approx([1.0])
    clear = Cover(np.zeros_like(probability), np.zeros_like(probability), (2.0, 2.0), True)
    assert (clear.distances(x, y) > 5).all()


def test_a_mask_of_everything_is_not_believed():
    network = Segmenter()
    torch.nn.init.constant_(network.last.bias, 30.0)
    cover = find_cover(simulate(5, side=400, particles=5)[1], PIXEL, DIAMETER, network)
    assert not cover.believable and np.isnan(cover.region_scores(np.array([100.0]), np.array([100.0]))).all()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_micrograph_without_contrast_has_no_scores(value):
    cover = find_cover(np.full((400, 300), value, dtype=np.float32), PIXEL, DIAMETER, cleaner())
    assert not cover.believable and not cover.probability.any()


def test_too_large_a_particle_is_refused():
    with pytest.raises(ValueError, match="above half the short side"):
        find_cover(np.zeros((100, 100), dtype=np.float32), PIXEL, 300.0, cleaner())


def test_the_weights_are_those_of_the_model_card():
    weights = shipped_weights("pick-clean").read_bytes()
    card = (Path(__file__).parents[3] / "docs/models/pick-clean.md").read_text(encoding="utf-8")
    assert blake3(weights).hexdigest() in card and len(weights) < 3e6


def test_levels_do_not_depend_on_scale_and_resist_extremes():
    image = np.random.default_rng(0).normal(100.0, 5.0, (64, 64)).astype(np.float32)
    image[3, 3] = 1e6
    levelled = level(image)
    assert abs(np.median(levelled)) < 1e-6 and 0.8 < levelled.std() < 1.0 and levelled.max() <= 3.0
    assert np.allclose(levelled, level(7.0 * image + 3.0), atol=1e-3)
