"""Motion of whole frames against analytic truth."""

import numpy as np
import pytest
import torch

from cryoloom.numerics.motion import correct, rigid
from cryoloom.numerics.motion.search import Found


@pytest.mark.parametrize(
    ("shape", "frames", "length"),
    [((320, 320), 12, 6.0), ((256, 420), 12, 6.0), ((320, 256), 5, 8.0), ((300, 300), 24, 40.0), ((320, 320), 2, 3.0)],
    ids=["square", "wide", "five-frames", "far", "two-frames"],
)
def test_a_path_is_found_with_the_sign_of_the_content(kit, shape, frames, length):
    path = kit.drift(frames, length, seed=frames)
    specimen = kit.specimen(shape, contrast=0.12)
    motion = kit.aligned(kit.counted([specimen.moved(*place) for place in path], 3.0))
    assert motion.sure and not motion.refused and float(motion.field.motion[0].abs().max()) == 0.0
    error = kit.off(motion.field.motion, path)
    assert error.max() < 0.12
    assert 0.3 * motion.error < error.max() < 3.5 * motion.error


def test_a_jump_is_followed(kit):
    path = kit.drift(16, 3.0)
    path[7:] += (11.0, -6.0)
    specimen = kit.specimen((320, 320), contrast=0.12)
    motion = kit.aligned(kit.counted([specimen.moved(*place) for place in path], 3.0))
    assert kit.off(motion.field.motion, path).max() < 0.15


def test_a_smooth_path_is_found_where_single_frames_show_nothing(kit):
    """A peak of a frame's correlation stands out of noise by about 2 standard deviations, less than the highest of noise in 40 px."""
    path = kit.drift(36, 8.0, seed=2)
    specimen = kit.specimen((384, 384), contrast=0.035)
    for seed in range(2):
        motion = kit.aligned(kit.counted([specimen.moved(*place) for place in path], 1.0, seed=seed), reach=40.0)
        assert motion.sure
        assert kit.off(motion.field.motion, path).max() < 0.6


@pytest.mark.parametrize("frames", [3, 12, 30])
def test_noise_claims_no_motion(kit, frames):
    for seed in range(3):
        motion = kit.aligned(kit.counted(np.zeros((frames, 256, 320)), 2.0, seed=seed))
        assert not motion.sure and float(motion.field.motion.abs().max()) == 0.0


@pytest.mark.parametrize(("frames", "length", "falloff", "seed"), [(10, 4.0, 0.04, 25), (20, 1.0, 0.12, 16)])
def test_almost_no_signal_that_leads_astray_is_refused(kit, frames, length, falloff, seed):
    """A contrast of 2 % on 160 × 192 px: enough for a path that is not noise's, of which what follows makes one worse than none."""
    path = kit.drift(frames, length, seed=seed)
    specimen = kit.specimen((160, 192), contrast=0.02, falloff=falloff, seed=seed)
    motion = kit.aligned(kit.counted([specimen.moved(*place) for place in path], 3.0, seed=seed))
    assert motion.refused and motion.confidence > rigid.SURE and not motion.sure
    assert float(motion.field.motion.abs().max()) == 0.0 and motion.field.local is None and np.isnan(motion.error)


@pytest.mark.parametrize("wrong", ["jagged", "backwards", "still", "right"])
def test_frames_are_never_left_worse_than_recorded_wherever_the_search_ended(kit, monkeypatch, wrong):
    path = kit.drift(12, 8.0)
    ends = {"jagged": np.random.default_rng(3).uniform(-9, 9, path.shape), "backwards": -path, "still": 0 * path, "right": path}
    specimen = kit.specimen((256, 256), contrast=0.1)
    counts = kit.counted([specimen.moved(*place) for place in path], 3.0)
    end = torch.from_numpy(ends[wrong] - ends[wrong].mean(0)).to(torch.float32)
    monkeypatch.setattr(rigid, "search", lambda *_: Found(end, 50.0))
    motion = kit.aligned(counts)
    off = kit.off(motion.field.motion, path).max()
    assert motion.refused == (not motion.sure)
    if wrong == "right":
        assert motion.sure and off < 0.15
    else:
        assert off <= kit.off(0 * path, path).max()


@pytest.mark.parametrize("length", [1.5, 8.0])
def test_a_static_pattern_does_not_hold_the_specimen(kit, length):
    path = kit.drift(12, length)
    specimen = kit.specimen((384, 384), contrast=0.12)
    rng = np.random.default_rng(5)
    pattern = 1 + 0.05 * rng.normal(size=(384, 384)) + 0.05 * np.repeat(rng.normal(size=48), 8)[None, :]
    motion = kit.aligned(kit.counted([specimen.moved(*place) for place in path], 3.0, pattern=pattern))
    assert kit.off(motion.field.motion, path).max() < 0.15


def test_hot_pixels_are_found_filled_and_do_not_hold_the_specimen(kit):
    path = kit.drift(10, 6.0)
    specimen = kit.specimen((320, 320), contrast=0.12)
    counts = kit.counted([specimen.moved(*place) for place in path], 3.0)
    spots = np.random.default_rng(1).choice(320 * 320, 200, replace=False)
    rows, columns = spots // 320, spots % 320
    counts[:, rows, columns] = 40.0
    frames = kit.prepared(counts)
    assert 200 <= frames.found_bad <= 205
    filled = frames.get(3).numpy()
    assert filled[rows, columns].mean() == pytest.approx(3.0, abs=0.5) and filled[rows, columns].std() > 1.0
    assert kit.off(kit.aligned(counts).field.motion, path).max() < 0.12


def test_the_gain_reference_levels_frames_and_marks_dead_pixels(kit):
    specimen = kit.specimen((256, 256), contrast=0.1)
    rng = np.random.default_rng(4)
    gain = (1 + 0.2 * np.clip(rng.normal(size=(256, 256)), -2, 2)).astype(np.float32)
    counts = kit.counted([specimen.moved(x, 0) for x in range(6)], 4.0, pattern=1 / gain)
    gain[10:12, 20:30] = 0
    frames = kit.prepared(counts, gain)
    assert frames.bad_pixels - frames.found_bad == 20
    assert frames.get(0)[10:12, 20:30].min() >= 0 and float(frames.get(0)[10:12, 20:30].mean()) == pytest.approx(4.0, abs=1.5)
    assert kit.off(kit.aligned(counts, gain=gain).field.motion, np.array([[x, 0.0] for x in range(6)])).max() < 0.12


def test_threads_do_not_change_a_bit(kit):
    path = kit.drift(6, 4.0)
    specimen = kit.specimen((400, 420), contrast=0.12)
    counts = kit.counted([specimen.moved(*place) for place in path], 3.0)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(kit.aligned(counts, grid=(3, 3)).field)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].motion, found[1].motion)


def test_many_frames_share_a_bounded_stack_and_are_still_aligned(kit, monkeypatch):
    path = kit.drift(24, 8.0)
    specimen = kit.specimen((320, 320), contrast=0.12)
    frames = kit.prepared(kit.counted([specimen.moved(*place) for place in path], 3.0))
    exposure = correct.Exposure(1.5, 300.0, 1.0)
    whole = correct.frame_spectra(frames, exposure).values.numel()
    monkeypatch.setattr(correct, "LARGEST_STACK", 500_000)
    assert 2 * correct.frame_spectra(frames, exposure).values.numel() < 1.1 * 500_000 < 1.5 * whole
    motion = correct.estimate_motion(frames, exposure, reach=40.0, grid=(1, 1))
    assert kit.off(motion.field.motion, path).max() < 0.15


def test_groups_of_frames_give_every_frame_a_place(kit):
    path = kit.drift(14, 6.0)
    specimen = kit.specimen((320, 320), contrast=0.12)
    frames = kit.prepared(kit.counted([specimen.moved(*place) for place in path], 2.0))
    motion = correct.estimate_motion(frames, correct.Exposure(1.5, 300.0, 1.0), reach=40.0, grid=(1, 1), group=3)
    assert len(motion.field.motion) == 14 and float(motion.field.motion[0].abs().max()) == 0.0
    assert kit.off(motion.field.motion, path).max() < 0.3
