"""Two alignments compared: distances of displacements, and what they do to sums."""

import math

import numpy as np
import pytest
import torch

from cryoloom.numerics.motion.agreement import difference, dimmed_by, likeness
from cryoloom.numerics.motion.correct import Exposure, sum_frames
from cryoloom.numerics.motion.field import Field


def test_differences_of_paths_and_of_places_are_told_apart():
    rng = np.random.default_rng(0)
    path, local = torch.from_numpy(rng.normal(size=(9, 1, 1, 2))), torch.from_numpy(rng.normal(size=(9, 5, 5, 2)))
    path, local = path - path.mean(0), local - local.mean(0)
    local = local - local.mean((1, 2), keepdim=True)
    still = torch.zeros(9, 5, 5, 2, dtype=torch.float64)
    found = difference(path + local + torch.tensor([3.0, -1.0]), still)
    assert found.whole == pytest.approx(float(path.square().sum(-1).mean().sqrt()))
    assert found.local == pytest.approx(float(local.square().sum(-1).mean().sqrt()))
    assert found.both == pytest.approx(math.hypot(found.whole, found.local))
    torch.testing.assert_close(found.mean, torch.tensor([3.0, -1.0], dtype=torch.float64))


def test_random_displacements_halve_the_amplitude_where_told():
    rng, distance = np.random.default_rng(1), 1.3
    moves = rng.normal(scale=distance / np.sqrt(2), size=200_000)
    assert abs(np.exp(2j * np.pi * moves / dimmed_by(distance)).mean()) == pytest.approx(0.5, abs=0.01)


def test_sums_agree_but_for_a_constant_and_the_better_aligned_has_more_signal(kit):
    path = torch.from_numpy(kit.drift(10, 6.0))
    specimen = kit.specimen((384, 400), contrast=0.2)
    frames = kit.prepared(kit.counted([specimen.moved(*place) for place in path.numpy()], 3.0))
    off = path + torch.tensor([2.3, -1.4])
    jittered = path + torch.from_numpy(np.random.default_rng(2).normal(scale=1.2, size=(10, 2)))
    right, moved, poor = (sum_frames(frames, Field(each), Exposure(1.5, 300.0)).plain for each in (path, off, jittered))
    same = likeness(moved, right, torch.tensor([2.3, -1.4]))
    assert same.resolved() > 0.49 and float(same.correlation.min()) > 0.9
    assert likeness(moved, right, torch.tensor([-2.3, 1.4])).resolved() < 0.2
    apart = (jittered - path).mean(0)
    worse = likeness(right, poor, apart)
    assert worse.resolved() < 0.35
    assert worse.stronger > 0.01 and likeness(poor, right, -apart).stronger == pytest.approx(-worse.stronger)
