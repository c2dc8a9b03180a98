"""Local motion against a known smooth field, and the polynomial that carries it to RELION."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.motion.field import Field, from_relion_polynomial, relion_polynomial
from cryoloom.numerics.motion.warp import warped

SHAPE, FRAMES = (480, 560), 8


def known_field(kit):
    """A path, and a field without a mean over the frame that grows to 1.5 px in a corner."""
    time = torch.linspace(0, 1, FRAMES, dtype=torch.float64)[:, None, None]
    shape = torch.tensor([[0.0, 0.0], [2.0, -0.8], [-0.6, 1.2], [1.0, -1.6], [0.0, 0.4], [0.0, -0.8]], dtype=torch.float64)
    shape[0] = -(shape[3] + shape[5]) / 12
    return Field(torch.from_numpy(kit.drift(FRAMES, 5.0)), (1 - (1 - time) ** 2) * shape)


@pytest.fixture(scope="module", params=[(0.12, 1.0), (0.06, 3.0)], ids=["faint", "all-in-the-lowest-rings"])
def movie(kit, request):
    field = known_field(kit)
    falloff, electrons = request.param
    specimen = kit.specimen(SHAPE, contrast=0.15, falloff=falloff)
    down, across = np.indices(SHAPE)
    x, y = torch.from_numpy(across / SHAPE[1] - 0.5), torch.from_numpy(down / SHAPE[0] - 0.5)
    moved = [field.at(f, x, y).numpy() for f in range(FRAMES)]
    return field, kit.counted([specimen.warped(place[..., 0], place[..., 1]) for place in moved], electrons)


def test_a_smooth_field_is_found(kit, movie):
    field, counts = movie
    motion = kit.aligned(counts, grid=None)
    assert motion.field.local is not None and motion.evidence > 50
    side = torch.linspace(-0.4, 0.4, 5, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    error = torch.stack([motion.field.at(f, x, y) - field.at(f, x, y) for f in range(FRAMES)])
    error = error - error.mean(0)
    assert float(error.square().mean().sqrt()) < 0.1
    whole = torch.stack([motion.field.motion[f] - field.at(f, x, y) for f in range(FRAMES)])
    assert float((whole - whole.mean(0)).square().mean().sqrt()) > 0.15


def test_no_field_is_claimed_where_frames_move_as_a_whole(kit):
    path = kit.drift(8, 5.0)
    specimen = kit.specimen(SHAPE, contrast=0.1)
    motion = kit.aligned(kit.counted([specimen.moved(*place) for place in path], 3.0), grid=None)
    side = torch.linspace(-0.5, 0.5, 9, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    added = torch.stack([motion.field.added(f, x, y) for f in range(8)])
    assert float((added - added.mean(0)).abs().max()) < 0.1


def test_a_warped_frame_lies_where_the_first_lay(kit):
    field = known_field(kit)
    specimen = kit.specimen(SHAPE, contrast=0.15, falloff=0.05)
    down, across = np.indices(SHAPE)
    x, y = torch.from_numpy(across / SHAPE[1] - 0.5), torch.from_numpy(down / SHAPE[0] - 0.5)
    place = field.at(FRAMES - 1, x, y).numpy()
    # Content of the first frame at r is now at r + d(r); the recorded place is solved for.
    arrived_x, arrived_y = place[..., 0], place[..., 1]
    for _ in range(6):
        there = field.at(
            FRAMES - 1, torch.from_numpy((across - arrived_x) / SHAPE[1] - 0.5), torch.from_numpy((down - arrived_y) / SHAPE[0] - 0.5)
        ).numpy()
        arrived_x, arrived_y = there[..., 0], there[..., 1]
    frame = torch.from_numpy(specimen.warped(arrived_x, arrived_y).astype(np.float32))
    inside = (slice(20, -20), slice(20, -20))
    back, first = warped(frame, field, FRAMES - 1).numpy()[inside], specimen.moved(0, 0)[inside]
    assert np.sqrt(np.mean((back - first) ** 2)) < 0.01 * first.std()


def test_relions_polynomial_carries_a_field_there_and_back():
    rng = np.random.default_rng(2)
    coefficients = torch.from_numpy(rng.normal(size=36) * np.tile([1.0, 0.1, 0.01], 12))
    shifts = torch.from_numpy(rng.normal(size=(10, 2)))
    field = from_relion_polynomial(coefficients, shifts)
    torch.testing.assert_close(relion_polynomial(field), coefficients)
    torch.testing.assert_close(field.motion, -shifts)
    # The eighth frame (z = 7): the term in y of the shift of x is the fourth of six, of powers 1 to 3.
    z = torch.tensor([7.0, 49.0, 343.0], dtype=torch.float64)
    one = torch.zeros(36, dtype=torch.float64)
    one[9:12] = coefficients[9:12]
    moved = from_relion_polynomial(one, shifts).added(
        7, torch.tensor([0.3], dtype=torch.float64), torch.tensor([-0.2], dtype=torch.float64)
    )
    torch.testing.assert_close(moved, torch.stack([0.2 * (z @ coefficients[9:12]), torch.tensor(0.0, dtype=torch.float64)])[None])
