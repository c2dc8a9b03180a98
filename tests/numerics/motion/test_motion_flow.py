"""Local motion by optical flow against known fields: quadratic ones, finer ones, and none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryoloom.numerics.motion.correct import Exposure, frame_spectra
from cryoloom.numerics.motion.field import Field
from cryoloom.numerics.motion.flow import Settings, _Flow, estimate_flow
from cryoloom.numerics.motion.rigid import still

SHAPE, FRAMES = (480, 560), 8
DOWN, ACROSS = np.indices(SHAPE)
X, Y = torch.from_numpy(ACROSS / SHAPE[1] - 0.5), torch.from_numpy(DOWN / SHAPE[0] - 0.5)


def smooth_field(kit):
    """A path, and a field without a mean over the frame that grows to 1.5 px in a corner."""
    time = torch.linspace(0, 1, FRAMES, dtype=torch.float64)[:, None, None]
    shape = torch.tensor([[0.0, 0.0], [2.0, -0.8], [-0.6, 1.2], [1.0, -1.6], [0.0, 0.4], [0.0, -0.8]], dtype=torch.float64)
    shape[0] = -(shape[3] + shape[5]) / 12
    return Field(torch.from_numpy(kit.drift(FRAMES, 5.0)), (1 - (1 - time) ** 2) * shape)


def recorded(kit, displacement, *, electrons=2.0, contrast=0.15):
    """Counts of a specimen that has moved by ``displacement(frame)``, (h, w, 2)."""
    specimen = kit.specimen(SHAPE, contrast=contrast)
    moved = [np.asarray(displacement(f)) for f in range(FRAMES)]
    return kit.counted([specimen.warped(place[..., 0], place[..., 1]) for place in moved], electrons)


def found(kit, counts, settings=None, **more):
    return estimate_flow(kit.prepared(counts), Exposure(1.5, 300.0, 1.0), settings or Settings(), reach=60.0, **more)


def local_error(field, displacement):
    """RMSE px per axis over places 32 px apart, means over frames removed: of the field, and of whole frames alone."""
    places = (slice(32, -32, 32), slice(32, -32, 32))
    x, y = X[places], Y[places]
    true = torch.stack([torch.as_tensor(np.asarray(displacement(f)))[places] for f in range(FRAMES)])

    def off(one):
        error = torch.stack([one.at(f, x, y) for f in range(FRAMES)]) - true
        return float((error - error.mean(0)).square().mean().sqrt())

    return off(field), off(Field(field.motion))


@pytest.fixture(scope="module")
def quadratic(kit):
    field = smooth_field(kit)
    return (lambda f: field.at(f, X, Y)), recorded(kit, lambda f: field.at(f, X, Y))


def test_a_smooth_field_is_found_as_well_as_by_patches(kit, quadratic):
    true, counts = quadratic
    motion = found(kit, counts)
    flow, whole = local_error(motion.field, true)
    patches, _ = local_error(kit.aligned(counts, grid=None).field, true)
    assert motion.evidence > 50 and motion.field.detail is None
    assert whole > 0.15 and flow < 0.1
    assert flow < 1.2 * patches + 0.01


def test_detail_that_no_quadratic_has_is_found(kit):
    """Two waves over the frame; a quadratic can follow little of them."""
    path = kit.drift(FRAMES, 4.0)

    def true(f):
        bend = 2.0 * f / (FRAMES - 1)
        wave = np.cos(2 * np.pi * (ACROSS / SHAPE[1])) * np.cos(np.pi * (DOWN / SHAPE[0]))
        return np.stack([path[f, 0] + bend * wave, path[f, 1] - 0.7 * bend * wave], axis=-1)

    counts = recorded(kit, true)
    motion = found(kit, counts, Settings(window=70.0))
    flow, whole = local_error(motion.field, true)
    smooth, _ = local_error(replace(motion.field, detail=None), true)
    assert motion.field.detail is not None
    assert flow < 0.12 and flow < 0.5 * smooth and smooth < whole


def test_groups_of_frames_give_the_same_field(kit, quadratic):
    true, counts = quadratic
    motion = found(kit, counts, Settings(group=2))
    assert len(motion.field.motion) == FRAMES and float(motion.field.at(0, X, Y).abs().max()) < 1e-9
    flow, whole = local_error(motion.field, true)
    assert flow < 0.6 * whole


def test_no_field_is_claimed_where_frames_move_as_a_whole(kit):
    path = kit.drift(FRAMES, 5.0)
    motion = found(kit, recorded(kit, lambda f: np.broadcast_to(path[f], (*SHAPE, 2))))
    assert kit.off(motion.field.motion, path).max() < 0.1
    assert motion.field.local_rms() < 0.1


@pytest.mark.parametrize("electrons", [2.0, 0.3])
def test_noise_claims_no_motion(kit, electrons):
    motion = found(kit, kit.counted(np.zeros((FRAMES, *SHAPE)), electrons))
    assert not motion.sure and motion.field.local is None and float(motion.field.motion.abs().max()) == 0.0


def test_interpolation_does_not_pass_for_agreement(kit):
    """Frames moved by a constant through the field have no more in common than those moved by phase ramps, and hardly less."""
    path = kit.drift(FRAMES, 3.0)
    counts = recorded(kit, lambda f: np.broadcast_to(path[f], (*SHAPE, 2)), contrast=0.3)
    wrong = torch.from_numpy(0.3 * np.random.default_rng(2).normal(size=(FRAMES, 2)))
    shared = []
    for ramps in (True, False):
        spectra = frame_spectra(kit.prepared(counts), Exposure(1.5, 300.0, 1.0))
        rigid = replace(still(spectra, 10.0), motion=torch.from_numpy(path) + (wrong if ramps else 0.0))
        flow = _Flow(spectra, rigid, Settings())
        found = flow.still.found.clone()
        if not ramps:
            found[:, 0] = wrong / flow.modes.values[0, 0]
        view = flow.view(replace(flow.still, found=found))
        shared.append(float(flow.law(view).weight @ view.common))
    assert 0.998 * shared[0] < shared[1] < 1.0003 * shared[0]


def test_hot_pixels_and_a_static_pattern_do_not_hold_the_specimen(kit, quadratic):
    true, counts = quadratic
    rng = np.random.default_rng(5)
    spoilt = counts * (1 + 0.02 * rng.normal(size=SHAPE)).astype(np.float32)
    spoilt[3, 200, 300] = 1e5
    flow, _ = local_error(found(kit, spoilt).field, true)
    clean, _ = local_error(found(kit, counts).field, true)
    assert flow < clean + 0.05


def test_an_earlier_alignment_is_tried_and_a_wrong_one_is_not_believed(kit, quadratic):
    true, counts = quadratic
    wrong = torch.from_numpy(np.random.default_rng(1).uniform(-20, 20, (FRAMES, 2)))
    flow, _ = local_error(found(kit, counts, start=wrong).field, true)
    assert flow < 0.1


def test_a_blur_and_few_iterations_cost_accuracy_and_nothing_else(kit, quadratic):
    true, counts = quadratic
    flow, whole = local_error(found(kit, counts, Settings(blur=2.0, iterations=1)).field, true)
    assert flow < 0.8 * whole


def test_one_frame_and_small_frames_are_left_whole(kit):
    counts = kit.counted(np.zeros((1, 256, 256)), 2.0)
    assert found(kit, counts).field.local is None
    path = kit.drift(6, 4.0)
    specimen = kit.specimen((320, 320), contrast=0.15)
    small = found(kit, kit.counted([specimen.moved(*place) for place in path], 3.0))
    assert small.sure and small.field.local is None and kit.off(small.field.motion, path).max() < 0.12


def test_threads_do_not_change_a_bit(kit, quadratic):
    _, counts = quadratic
    before, fields = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fields.append(found(kit, counts, Settings(iterations=1)).field)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(fields[0].motion, fields[1].motion) and torch.equal(fields[0].local, fields[1].local)
