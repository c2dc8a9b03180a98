"""The network that tells regions: turns and company do not matter to it, and its training goes on where it stopped."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.geometry.sphere import disc_lattice
from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.region_fit import loss
from cryoloom.numerics.learn.region_net import RegionNet
from cryoloom.numerics.learn.rings import Rings

BOX, REGIONS = 32, 5


@pytest.fixture
def rings():
    return Rings(HalfPlane.of(BOX, 6), 12.0, disc_lattice(2.0, 2.0))


def blobs(count, turn=0.0):
    """Return images of three blobs each, turned by degrees about the middle."""
    rng = np.random.default_rng(4)
    y, x = np.indices((BOX, BOX)) - BOX // 2
    cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    images = np.zeros((count, BOX, BOX), np.float32)
    for image in images:
        for px, py in rng.uniform(-7, 7, (3, 2)):
            image += np.exp(-0.5 * ((x - cosine * px + sine * py) ** 2 + (y - sine * px - cosine * py) ** 2) / 2.5**2)
    return images


def network_of(rings, seed=1):
    views = rings.read(rings.plane.of_images(blobs(12)))
    belonging = np.random.default_rng(seed).dirichlet(np.full(REGIONS, 0.2), 12).astype(np.float32)
    return RegionNet.of_views(rings, views, belonging, 2.0, seed)


def test_a_turn_of_the_particle_changes_nothing(rings):
    network = network_of(rings)
    upright, turned = (network.logits(rings.seen(rings.plane.of_images(blobs(20, turn)))) for turn in (0.0, 77.0))
    other = network.logits(rings.seen(rings.plane.of_images(blobs(21)[1:])))
    # Places on the rings are few, so that what lies between two of them is read a little differently.
    assert np.abs(upright - turned).max() < 0.15 * np.abs(upright - other).max()


def test_an_image_is_answered_alike_in_any_company(rings):
    network, seen = network_of(rings), rings.seen(rings.plane.of_images(blobs(20)))
    assert np.array_equal(network.logits(seen)[7:9], network.logits(seen[7:9]))


def test_images_are_levelled(rings):
    plane = rings.plane
    assert torch.allclose(rings.seen(plane.of_images(blobs(3))), rings.seen(plane.of_images(7 * blobs(3) + 3)), atol=1e-4)


def test_training_goes_on_where_it_stopped(rings):
    seen = rings.seen(rings.plane.of_images(blobs(16)))
    wanted = torch.softmax(torch.from_numpy(np.random.default_rng(2).normal(size=(16, REGIONS))), dim=1).float()

    def fit():
        return Fit(network_of(rings), loss, steps=6, rate=1e-2, memory=0.5)

    whole = fit()
    losses = [whole.step(seen, wanted) for _ in range(6)]
    stopped = fit()
    for _ in range(3):
        stopped.step(seen, wanted)
    resumed = fit()
    resumed.restore(stopped.state())
    assert [resumed.step(seen, wanted) for _ in range(3)] == losses[3:] and losses[-1] < losses[0]
    for name, values in resumed.mean.state_dict().items():
        assert torch.equal(values, whole.mean.state_dict()[name])
