"""Particles of two sizes are found in one run."""

import numpy as np
import pytest

from cryoloom.numerics.picking.blob import find_blobs
from cryoloom.numerics.picking.matching import match_points
from cryoloom.numerics.picking.scene import reduce_micrograph
from cryoloom.numerics.picking.selection import best_apart
from cryoloom.numerics.picking.sizes import STEP, Sized, diameters_between, family_probability
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom

PIXEL, SMALL, LARGE = 2.5, 120.0, 250.0


def drawn(phantoms, seed):
    rng, microscope = np.random.default_rng(seed), Microscope(300.0, 2.0, 0.1)
    specimen = draw_specimen(Recipe(820, 820, PIXEL, 40, defocus_min=1e4, defocus_max=3e4), phantoms, microscope, rng)
    centres = [[(one.x, one.y) for one in specimen.particles if one.phantom == number] for number in range(len(phantoms))]
    return micrograph(specimen, microscope, 30.0, rng), [np.array(each) for each in centres]


def picked(images, smallest, largest):
    """Return the picks ``(n, 2)`` of each micrograph."""
    diameters = diameters_between(smallest, largest)
    lists = [[find_blobs(reduce_micrograph(image, PIXEL, diameter)) for diameter in diameters] for image in images]
    flat = [(m, s, blobs) for m, sizes in enumerate(lists) for s, blobs in enumerate(sizes)]
    owner, size = (np.concatenate([np.full(len(blobs.x), key[k]) for *key, blobs in flat]) for k in (0, 1))
    x, y, strength = (np.concatenate([getattr(blobs, name) for *_, blobs in flat]) for name in ("x", "y", "strength"))
    features = np.concatenate([blobs.features for *_, blobs in flat])
    decoys = [np.concatenate([sizes[s].decoys for sizes in lists]) for s in range(len(diameters))]
    data = Sized(x, y, features, owner, size, diameters[size] / PIXEL, decoys)
    score = family_probability(data, 0.5)
    out = []
    for number in range(len(images)):
        mine = np.flatnonzero(owner == number)
        best = best_apart(x[mine], y[mine], score[mine], strength[mine], least=0.5, distance=0.6 * data.diameter[mine])
        out.append(np.stack([x, y], axis=1)[mine[best]])
    return out


def test_diameters_step_evenly():
    assert diameters_between(100.0, 100.0).tolist() == [100.0]
    steps = diameters_between(100.0, 300.0)
    assert steps[0] == 100.0 and steps[-1] == pytest.approx(300.0)
    assert (steps[1:] / steps[:-1]).max() <= STEP + 1e-9 and np.ptp(steps[1:] / steps[:-1]) < 1e-9


def test_both_sizes_are_found():
    phantoms = [random_phantom(7, SMALL), random_phantom(8, LARGE)]
    images, truths = zip(*(drawn(phantoms, seed) for seed in (10, 11, 12)), strict=True)
    picks = picked(images, SMALL, LARGE)
    for kind, diameter in enumerate((SMALL, LARGE)):
        hits = sum(len(match_points(mine, truth[kind], 0.2 * diameter / PIXEL)[0]) for mine, truth in zip(picks, truths, strict=True))
        assert hits >= 0.9 * sum(len(truth[kind]) for truth in truths)
    assert sum(map(len, picks)) <= 1.1 * sum(len(each) for truth in truths for each in truth)


def test_one_size_is_not_taken_for_two():
    images, truths = zip(*(drawn([random_phantom(8, LARGE)], seed) for seed in (20, 21)), strict=True)
    picks = picked(images, SMALL, LARGE)
    hits = sum(len(match_points(mine, truth[0], 0.2 * LARGE / PIXEL)[0]) for mine, truth in zip(picks, truths, strict=True))
    assert hits >= 0.95 * sum(len(truth[0]) for truth in truths) and hits >= 0.95 * sum(map(len, picks))
