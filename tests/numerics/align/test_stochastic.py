from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoloom.numerics.align import stochastic
from cryoloom.numerics.align.coarse import norm_terms, shift_factors, shifted_rows
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid

BOX = 32


@pytest.fixture(scope="module")
def scene(blobs, project, image_set):
    phantom = blobs(BOX)
    stack = project(phantom, 300, snr=0.5, pixel_size=6.0, shift=0.8)
    return phantom, stack, image_set(stack, 6.0, 170.0)


def plan_of(scene, **settings):
    return stochastic.Plan(scene[2], 170.0 / 6 / 2, settings.pop("classes", 1), settings.pop("seed", 1), **settings)


def test_weights_are_the_softmax_and_averages_follow_them(scene):
    """Against the same sums written out for one block of images."""
    plan = plan_of(scene)
    plane = plan.images.plane.within(6)
    state = stochastic.begin(plan)
    maps, _ = stochastic.maps_of(plan, state["sums"], 6)
    gallery = stochastic._gallery(plan, maps, plane, rotation_grid(1, 12))
    noise = stochastic.noise_of(state)
    rows = np.arange(stochastic.BLOCK)
    batch = stochastic.expect(plan, rows, gallery, noise, np.ones(1))
    data, weight = plan.images.prepare(rows, plane, noise)
    step = 0.375 * BOX / 6
    shifts = disc_lattice(2 * step, step)
    shifted = shifted_rows(data, shift_factors(plane, shifts))
    scores = (2 * (shifted @ gallery.slices)).reshape(len(rows), len(shifts), -1).double()
    scores -= norm_terms(gallery, weight)[:, None, :]
    scores -= torch.from_numpy(0.5 * (shifts**2).sum(axis=1) / (stochastic.SHIFT_SPREAD * BOX) ** 2)[:, None]
    weights = torch.softmax(scores.reshape(len(rows), -1), dim=1).reshape(scores.shape).float()
    merged = torch.einsum("btr,btk->rk", weights, shifted.reshape(len(rows), len(shifts), -1)).numpy()
    found = np.concatenate([batch.data[0, 0, ..., 0], batch.data[0, 0, ..., 1]], axis=1)
    assert np.abs(found - merged).max() < 2e-3 * np.abs(merged).max()
    masses = torch.einsum("btr,bk->rk", weights, torch.from_numpy(weight)).numpy()
    assert np.abs(batch.weight[0, 0] - masses).max() < 2e-3 * masses.max()
    assert np.allclose(batch.members, 1.0, atol=1e-4)


def searched(plan, batches):
    state = stochastic.begin(plan)
    for _ in range(batches):
        state = stochastic.iterate(plan, state)
    return state


def test_threads_change_nothing(scene):
    one, two = (searched(plan_of(scene, threads=threads), 3) for threads in (1, 2))
    assert np.array_equal(one["sums"], two["sums"]) and one["history"] == two["history"]


@pytest.mark.slow
def test_a_map_is_found_from_nothing(scene):
    plan = plan_of(scene, batches=30, last_batch=120)
    state = searched(plan, 30)
    found = stochastic.maps_of(plan, state["sums"], plan.last_shell)[0][0]
    truth = resample_volume(torch.from_numpy(scene[0].volume()), found.shape[0]).numpy()
    assert state["history"][-1]["gain"] > 2 * state["history"][1]["gain"]
    assert state["history"][-1]["max_probability"] > 0.3

    def moments(volume):
        axis = np.arange(len(volume)) - len(volume) // 2
        mass = np.maximum(volume, 0.05 * volume.max()) - 0.05 * volume.max()
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        centre = (mass.ravel()[:, None] * grid).sum(axis=0) / mass.sum()
        spread = ((grid - centre) * mass.ravel()[:, None]).T @ (grid - centre) / mass.sum()
        return np.sqrt(np.linalg.eigvalsh(spread))

    # The principal radii do not depend on the frame or the hand.
    assert np.allclose(moments(found), moments(truth), rtol=0.12)


def test_classes_start_apart_and_none_starves(scene):
    plan = plan_of(scene, classes=2, batches=20)
    state = stochastic.begin(plan)
    assert not np.allclose(state["sums"][0], state["sums"][1])
    for _ in range(4):
        state = stochastic.iterate(plan, state)
    assert state["occupancy"].sum() == pytest.approx(1) and state["occupancy"].min() > 0.1
    members = stochastic.memberships(plan, state)
    assert members.shape == (300, 2) and np.allclose(members.sum(axis=1), 1.0, atol=1e-4)
    assert state["history"][-1]["share"] == pytest.approx(state["occupancy"].tolist())


def test_centring_moves_the_mass_to_the_centre():
    volume = np.zeros((20, 20, 20), np.float32)
    volume[4:7, 11:14, 13:16] = 1
    moved = stochastic.centred_map(volume)
    assert moved[10, 10, 10] == 1 and np.argwhere(moved).mean(axis=0).tolist() == [10, 10, 10]


def test_what_the_form_sets_changes_maps_and_batches(scene):
    plain = searched(plan_of(scene, batches=20, first_batch=40, last_batch=60), 2)
    assert [each["images"] for each in plain["history"]] == [40, 40]
    maps = {
        name: stochastic.maps_of(plan_of(scene, **settings), plain["sums"], 5)[0][0]
        for name, settings in {"plain": {}, "signed": {"positive": False}, "meek": {"positive": False, "regularisation": 1e-3}}.items()
    }
    assert maps["plain"].min() == 0 > maps["signed"].min() and np.array_equal(maps["plain"], np.maximum(maps["signed"], 0))
    assert np.square(maps["meek"]).sum() < 0.9 * np.square(maps["signed"]).sum()


def test_particles_are_sought_as_far_from_the_centre_as_asked_for(blobs, project, image_set):
    small = replace(blobs(BOX), centres=0.45 * blobs(BOX).centres)
    stack = project(small, 24, snr=1.0, pixel_size=6.0, shift=0.0)
    moved = replace(stack, images=np.roll(stack.images, 7, axis=2))
    images = image_set(moved, 6.0, 185.0)
    gains = {}
    for reach in (None, 9.0):
        plan = stochastic.Plan(images, 185.0 / 12, 1, 1, reach=reach)
        gallery = stochastic._gallery(plan, small.volume()[None], plan.plane, stack.rotations[:, None])
        gains[reach] = stochastic.expect(plan, np.arange(24), gallery, images.total_power(), np.ones(1)).gain
    assert gains[9.0] > gains[None] + 1.0, gains
