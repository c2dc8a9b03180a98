"""Crops are turned with what lies in them."""

import numpy as np
import torch

from cryoloom.numerics.learn.augment import crop_and_turn, vary


def test_places_follow_the_turns():
    rng = np.random.default_rng(1)
    image = torch.zeros(64, 80)
    image[20, 50] = 1.0
    for _ in range(40):
        crop, ground, places = crop_and_turn(image, image > 0, torch.tensor([[50.0, 20.0, 24.0]]), 48, rng)
        x, y, diameter = places[0].tolist()
        assert crop.shape == ground.shape == (48, 48) and diameter == 24.0
        inside = 0 <= x < 48 and 0 <= y < 48
        assert bool(crop.any()) == inside
        if inside:
            assert crop[int(y), int(x)] == 1.0 and ground[int(y), int(x)]


def test_variations_differ_and_stay_finite():
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 64, 64)).astype(np.float32))
    varied = vary(images, np.random.default_rng(2))
    assert varied.shape == images.shape and torch.isfinite(varied).all()
    assert sum(not torch.allclose(one, two, atol=1e-4) for one, two in zip(images, varied, strict=True)) >= 4
