"""Particles are told from noise and contaminants without a threshold."""

import numpy as np
import pytest
from blobby_micrographs import Scenery, draw, matched

from cryoloom.numerics.picking.blob import find_blobs
from cryoloom.numerics.picking.mixture import Normal
from cryoloom.numerics.picking.scene import reduce_micrograph
from cryoloom.numerics.picking.selection import best_apart, particle_probability


def pick(sceneries, seed=0, diameter=None):
    """Return the recall, the precision and the number of picks of each micrograph of a set."""
    drawn = [draw(scenery, seed + number) for number, scenery in enumerate(sceneries)]
    assumed = diameter or sceneries[0].diameter
    lists = [find_blobs(reduce_micrograph(image, sceneries[0].pixel_size, assumed)) for image, _ in drawn]
    owner = np.repeat(np.arange(len(lists)), [len(blobs.x) for blobs in lists])
    probability = particle_probability(
        np.concatenate([blobs.features for blobs in lists]), owner, np.concatenate([blobs.decoys for blobs in lists])
    )
    hits, picks, truth = 0, [], 0
    for number, (blobs, (_, true)) in enumerate(zip(lists, drawn, strict=True)):
        size = sceneries[0].pixel_size
        best = best_apart(blobs.x, blobs.y, probability[owner == number], blobs.strength, least=0.5, distance=0.6 * assumed / size)
        hits += len(matched(np.stack([blobs.x, blobs.y], axis=1)[best], true, 0.2 * sceneries[0].diameter / size))
        picks.append(len(best))
        truth += len(true)
    return hits / max(truth, 1), hits / max(sum(picks), 1), picks


def dirty(**changes):
    return [
        Scenery(defocus=defocus, ice=ice, gold=gold, carbon=carbon, **changes)
        for defocus, ice, gold, carbon in ((9000, 3, 0, False), (14000, 0, 5, False), (18000, 2, 0, True), (24000, 1, 3, False))
    ]


@pytest.mark.parametrize(
    "changes",
    [{}, {"diameter": 140.0, "pixel_size": 1.7}, {"pixel_size": 3.0, "diameter": 300.0, "count": 25, "shape": (500, 720)}],
    ids=["typical", "small", "large"],
)
def test_contaminated_sets(changes):
    recall, precision, _ = pick(dirty(**changes))
    # Picks on particles that contaminants cover count as wrong here.
    assert recall >= 0.85 and precision >= 0.85


def test_clean_sets():
    recall, precision, _ = pick([Scenery(), Scenery(defocus=20000.0)])
    assert recall >= 0.97 and precision >= 0.97


def test_one_micrograph_is_enough():
    recall, precision, _ = pick([Scenery(ice=2)], seed=4)
    assert recall >= 0.85 and precision >= 0.85


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_wrong_diameter_does_little_harm(factor):
    recall, precision, _ = pick(dirty(), diameter=factor * 200.0)
    assert recall >= 0.75 and precision >= 0.8


def test_few_particles_in_many_micrographs():
    recall, precision, _ = pick([Scenery(count=4, ice=number % 2) for number in range(6)])
    assert recall >= 0.85 and precision >= 0.85


def test_empty_micrographs_give_few_picks():
    assert sum(pick([Scenery(count=0), Scenery(count=0)])[2]) <= 4
    _, _, picks = pick([Scenery(), Scenery(count=0), Scenery()], seed=11)
    assert picks[1] <= 2 and picks[0] > 30 and picks[2] > 30


@pytest.mark.parametrize(("factor", "least"), [(0.9, 0.8), (1.0, 0.85), (1.1, 0.8)])
@pytest.mark.parametrize(
    "changes",
    [
        {"shape_of_particle": "ring", "diameter": 170.0, "pixel_size": 2.2},
        {"shape_of_particle": "rod", "diameter": 260.0, "pixel_size": 3.0, "shape": (700, 640)},
    ],
    ids=["ring", "rod"],
)
def test_hollow_and_long_particles(changes, factor, least):
    recall, precision, _ = pick(dirty(**changes), seed=20, diameter=factor * changes["diameter"])
    assert recall >= least and precision >= least


def test_faint_particles():
    recall, precision, _ = pick([Scenery(diameter=110.0, pixel_size=1.4, dose=12.0, defocus=defocus) for defocus in (12000.0, 18000.0)])
    assert recall >= 0.85 and precision >= 0.8


def test_few_particles_among_many_contaminants():
    recall, precision, _ = pick([Scenery(count=5, ice=2, gold=2, shape_of_particle="ring") for _ in range(5)], seed=30)
    assert recall >= 0.8 and precision >= 0.8


def test_contaminants_alone_give_few_picks():
    _, _, picks = pick([Scenery(count=0, ice=3, gold=2, carbon=carbon) for carbon in (False, True, False)])
    assert sum(picks) <= 15  # as many as there are contaminants


def family(rng):
    """Return features of 300 particles and 200 candidates that are noise, and of 200 decoys."""
    noise = lambda: rng.normal(0, [0.14, 0.08], (200, 2)) + [-2.28, -0.17]  # noqa: E731
    return np.concatenate([rng.normal(0, [0.15, 0.06], (300, 2)) + [-1.4, -0.5], noise()]), noise()


def test_order_of_the_candidates_does_not_matter_and_bits_repeat():
    rng = np.random.default_rng(0)
    features, decoys = family(rng)
    owner = rng.integers(0, 5, 500)
    first = particle_probability(features, owner, decoys)
    assert np.array_equal(first, particle_probability(features, owner, decoys))
    shuffled = rng.permutation(500)
    assert np.allclose(particle_probability(features[shuffled], 4 - owner[shuffled], decoys), first[shuffled], atol=1e-6)
    assert (first[:300] > 0.5).mean() > 0.97 and (first[300:] > 0.5).mean() < 0.03


def test_what_is_stronger_or_broader_than_the_family_is_no_particle():
    features, decoys = family(np.random.default_rng(1))
    odd = np.array([[-0.5, -0.5], [0.5, -0.4], [-1.0, 0.0], [-3.2, -0.5]])
    probability = particle_probability(np.concatenate([features, odd]), np.zeros(504, np.int64), decoys)
    assert (probability[-4:] < 0.1).all() and (probability[:300] > 0.5).mean() > 0.95


def test_halos_do_not_pass_for_noise():
    """Three quarters of these decoys are as strong as the particles."""
    features, decoys = family(np.random.default_rng(2))
    halos = np.random.default_rng(3).normal(0, 0.3, (140, 2)) + [-1.2, -0.3]
    probability = particle_probability(features[:320], np.zeros(320, np.int64), np.concatenate([halos, decoys[:60]]))
    assert (probability[:300] > 0.5).mean() > 0.9


def test_without_candidates_nothing_is_picked():
    nothing = np.zeros((0, 2))
    assert particle_probability(nothing, np.zeros(0, np.int64), nothing).size == 0
    assert not particle_probability(np.full((5, 2), -2.2), np.zeros(5, np.int64), nothing).any()


def test_micrographs_may_differ_in_contrast():
    """Thick ice halves the strength of all particles of every other micrograph."""
    features, decoys = family(np.random.default_rng(4))
    owner = np.arange(500) % 2
    features[:300, 0] -= 0.35 * owner[:300]
    probability = particle_probability(features, owner, decoys)
    assert (probability[:300] > 0.5).mean() > 0.93 and (probability[300:] > 0.5).mean() < 0.05


def test_the_density_is_normalised():
    rng = np.random.default_rng(1)
    normal = Normal.fit(rng.normal(size=(500, 2)) * [1.0, 2.0] + [3.0, -1.0], np.ones(500), np.array([0.1, 0.1]))
    grid = np.stack(np.meshgrid(np.linspace(-6, 12, 300), np.linspace(-16, 14, 300)), axis=-1).reshape(-1, 2)
    assert np.exp(normal.log_density(grid)).sum() * (18 / 299) * (30 / 299) == pytest.approx(1.0, abs=1e-3)


def test_the_likelier_of_two_near_picks_stays():
    x = np.array([0.0, 5.0, 50.0, 100.0])
    best = best_apart(x, np.zeros(4), np.array([0.9, 0.99, 0.7, 0.3]), np.array([30.0, 10.0, 5.0, 50.0]), least=0.5, distance=10.0)
    assert best.tolist() == [1, 2]
    assert best_apart(x, np.zeros(4), np.full(4, 0.9999), np.array([1.0, 3.0, 2.0, 4.0]), least=0.5, distance=1.0, most=2).tolist() == [
        3,
        1,
    ]
