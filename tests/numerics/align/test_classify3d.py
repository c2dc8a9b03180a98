from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align import classify3d
from cryoloom.numerics.align.class_accuracy import UNKNOWN, class_accuracy, quality
from cryoloom.numerics.align.classify3d_estep import log_evidence
from cryoloom.numerics.align.classify3d_maps import ClassSums, agreement, references, thinned
from cryoloom.numerics.align.classify3d_rounds import (
    APART,
    JUDGED,
    TOGETHER,
    advance,
    divide,
    judgement_due,
    kinds,
    shared_out,
    shares,
    start,
)
from cryoloom.numerics.align.halves import random_halves
from cryoloom.numerics.align.posterior import Candidates, Posterior
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.symmetry import point_group

BOX, PIXEL, COUNT = 32, 6.0, 400


@pytest.fixture(scope="module")
def two_states(blobs, project, image_set):
    """A cluster, and the same without its smallest lobe, 4 to 1; poses, and a task for them."""
    whole = blobs(BOX, count=80)
    return whole.volume(), *mixture(project, image_set, whole, without(whole, 14), COUNT)


def without(whole, count):
    """Return a particle without the `count` blobs nearest to a place."""
    order = np.argsort(np.linalg.norm(whole.centres - np.array([-0.1, 0.15, 0.1]) * BOX, axis=1))
    return replace(whole, centres=whole.centres[order[count:]])


def mixture(project, image_set, whole, part, count):
    """Return images of two particles, a task for them, and which are of the second, a fifth of all."""
    rare = np.arange(count) >= 0.8 * count
    numbers = ((whole, np.count_nonzero(~rare), 1), (part, np.count_nonzero(rare), 2))
    stacks = [project(one, number, snr=None, pixel_size=PIXEL, seed=seed) for one, number, seed in numbers]
    merged = replace(stacks[0], **{
        name: np.concatenate([getattr(stack, name) for stack in stacks]) for name in ("images", "rotations", "shifts", "defocus")
    })  # fmt: skip
    noise = np.random.default_rng(5).normal(size=merged.images.shape) * np.sqrt(merged.images.var(axis=(1, 2)).mean() / 0.3)
    merged = replace(merged, images=(merged.images + noise).astype(np.float32))
    images = image_set(merged, PIXEL, 0.95 * BOX * PIXEL)
    task = classify3d.Task(
        images, random_halves(np.arange(count), 1), PIXEL, 0.95 * BOX * PIXEL, 40.0, 1, classes=2, search="fixed", iterations=14
    )
    return merged, task, rare


def finish(task, volume, stack):
    state = classify3d.begin(task, [volume], stack.rotations, stack.shifts)
    while not state["finished"]:
        state = classify3d.iterate(task, state)
    return state


def test_states_are_told_apart_at_fixed_poses_and_their_maps_differ_where_they_do(two_states):
    volume, stack, task, rare = two_states
    state = finish(task, volume, stack)
    member = state["member"]
    small = np.bincount(member, minlength=2).argmin()
    assert np.mean((member == small) == rare) > 0.95
    assert state["separation"][0, 1] > 8
    lost = state["maps"][1 - small] - state["maps"][small]
    z, y, x = np.unravel_index(lost.argmax(), lost.shape)
    assert np.linalg.norm(np.array([x, y, z]) - BOX // 2 - np.array([-0.1, 0.15, 0.1]) * BOX) < 4
    assert np.array_equal(state["rotations"], stack.rotations) and np.array_equal(state["shifts"], stack.shifts)


def test_expected_errors_are_those_of_the_poses_found_in_noisy_maps(blobs, project, image_set):
    whole = blobs(BOX, count=80)
    stack = project(whole, 300, snr=1.0, pixel_size=PIXEL, seed=1)
    images = image_set(stack, PIXEL, 0.95 * BOX * PIXEL)
    task = classify3d.Task(images, random_halves(np.arange(300), 1), PIXEL, 0.95 * BOX * PIXEL, 40.0, 1, search="local", iterations=8)
    state = finish(task, whole.volume(), stack)
    agreement = compare_poses(state["rotations"], state["shifts"], stack.rotations, stack.shifts, either_hand=False)
    right = agreement.angles < 15
    turn, shift = np.sqrt(np.mean(np.deg2rad(agreement.angles[right]) ** 2) / 3), np.sqrt(np.mean(agreement.shifts[right] ** 2) / 2)
    expected = state["errors"][right].mean(axis=0)
    # By the curvature of the posterior alone the first would be 1.5.
    assert 0.8 < turn / expected[0] < 1.4 and 0.8 < shift / expected[1] < 1.25


def test_references_thinned_by_one_part_after_the_other_average_to_the_one_used(two_states):
    volume, stack, task, _ = two_states
    state = classify3d.iterate(task, classify3d.begin(task, [volume], stack.rotations, stack.shifts))
    poses = Posterior(
        stack.rotations[:, None], stack.shifts[:, None], np.ones((COUNT, 1)), np.tile(1e-12 * np.eye(5), (COUNT, 1, 1, 1)), np.zeros(COUNT),
        np.zeros(COUNT),
    )  # fmt: skip
    sums = ClassSums.of(task, [poses], np.ones((COUNT, 1)), 10, state["noise"])
    agreed = agreement(task, sums)
    used = references(task, sums, agreed, spark=0.0, apart=False)[0, 0]
    thin = [thinned(task, sums, agreed, without)[0] for without in (1, 2, 3)]
    assert np.std(np.mean(thin, axis=0) - used) < 0.3 * np.std(thin[0] - used)


def test_symmetric_states_are_told_apart_whichever_mate_a_pose_is(blobs, project, image_set):
    group, whole = point_group("D2"), blobs(BOX, count=20)
    copies = [
        replace(one, centres=np.concatenate([one.centres @ operator.T for operator in group.operators]))
        for one in (whole, without(whole, 4))
    ]
    stack, task, rare = mixture(project, image_set, copies[0], copies[1], 150)
    mates = group.mates(stack.rotations)[np.arange(150), np.arange(150) % 4]
    state = finish(replace(task, group=group, iterations=8), copies[0].volume(), replace(stack, rotations=mates))
    member = state["member"]
    assert np.mean((member == np.bincount(member, minlength=2).argmin()) == rare) > 0.95
    assert group.angle(state["rotations"], stack.rotations).max() < 1e-3
    for one in state["maps"]:
        core = one[1:, 1:, 1:]
        assert np.corrcoef(core.ravel(), core[::-1, ::-1].ravel())[0, 1] > 0.999


def test_one_structure_stays_one_whatever_the_number_of_classes(two_states):
    volume, stack, task, rare = two_states
    rows = np.flatnonzero(~rare)
    alone = replace(task, images=task.images.subset(rows), half=task.half[rows])
    state = finish(alone, volume, replace(stack, rotations=stack.rotations[rows], shifts=stack.shifts[rows]))
    assert state["separation"][0, 1] < 8
    assert np.mean(state["members"].max(axis=1)) < 0.8
    assert np.bincount(state["member"], minlength=2).min() > 30


def test_threads_change_nothing(two_states):
    volume, stack, task, _ = two_states
    few = replace(task, search="global", iterations=3)
    states = [finish(replace(few, threads=threads), volume, stack) for threads in (1, 2)]
    for name in ("members", "rotations", "shifts", "maps"):
        assert np.array_equal(states[0][name], states[1][name])


def poses(costs, curvature):
    count = len(costs)
    curvatures = np.tile(curvature, (1, count, 1, 1))
    return Candidates(
        np.tile(np.eye(3), (1, count, 1, 1)), np.zeros((1, count, 2)), np.array([costs], float), curvatures, np.array([count])
    )


def test_evidence_sums_peaks_and_a_flat_class_counts_no_more_than_all_poses_there_are():
    sharp = np.eye(5) * 1e4
    assert log_evidence(poses([-3.0, -3.0], sharp), 1.0)[0] == pytest.approx(3 + np.log(2) - 2.5 * np.log(1e4))
    flat = log_evidence(poses([-3.0], np.eye(5) * 1e-7), 1.0)[0]
    assert flat + 2.5 * np.log(2 * np.pi) == pytest.approx(3 + np.log(8 * np.pi**2 * 2 * np.pi))


def judged(separation, share, splits, tested=(), left=20):
    count = len(share)
    now = {**start(count - 1, random=True), "age": TOGETHER + APART - 1, "splits": splits}
    now["tested"] = [number in tested for number in range(count)]
    return advance(now, np.array(separation, float), np.array(share), left)


def test_a_spare_twin_goes_to_the_largest_class_not_split_yet():
    separation = [[0, 40, 2], [40, 0, 40], [2, 40, 0]]
    after = judged(separation, [0.2, 0.6, 0.2], [[0, 1], [0, 2]])
    assert after["splits"] == [[1, 2]] and after["merges"] == [[0, 2]] and after["age"] == 0
    assert after["tested"] == [True, False, False]


def test_classes_settle_when_all_have_been_split_in_vain_and_the_scout_is_merged():
    separation = [[0, 40, 50], [40, 0, 1], [50, 1, 0]]
    after = judged(separation, [0.4, 0.3, 0.3], [[1, 2]], tested=(0,))
    assert after["settling"] and after["dropped"] == [1, 2]
    assert judged(separation, [0.4, 0.3, 0.3], [[1, 2]], left=4)["settling"]


def test_what_is_to_spare_in_the_end_shares_the_largest_class():
    separation = np.full((4, 4), 2.0)
    separation[0] = separation[:, 0] = 40
    after = judged(separation, [0.7, 0.1, 0.1, 0.1], [[1, 2]], tested=(0,))
    assert after["dropped"] == [1, 2] and after["merges"] == [[1, 2]] and after["splits"] == [[0, 2]] and after["age"] == 0
    assert after["kin"] == [0, 1, 0]
    members = np.tile([0.7, 0.2, 0.1], (50, 1))
    assert shares(after, members).tolist() == pytest.approx([0.4, 0.2, 0.4])


def test_where_all_differ_the_two_most_alike_make_room():
    after = judged([[0, 40, 20], [40, 0, 60], [20, 60, 0]], [0.2, 0.5, 0.3], [[0, 1], [0, 2]])
    assert after["merges"] == [[2, 0]] and after["splits"] == [[1, 0]]


def test_a_class_is_divided_evenly_in_every_part_and_no_image_is_lost():
    members = np.tile([0.7, 0.1, 0.2], (80, 1))
    lane = np.arange(80) % 4
    now = {**start(2, random=True), "splits": [[0, 2]], "merges": [[1, 2]]}
    after = divide(now, members, lane, 1, 6)
    assert np.allclose(after.sum(axis=1), 1) and np.allclose(after[:, 1], 0.3)
    assert [np.count_nonzero(after[lane == part, 2]) for part in range(4)] == [10] * 4


def test_classes_of_which_no_two_differ_are_one_kind_and_what_links_two_kinds_joins_one():
    separation = np.array([[0, 30, 2, 5], [30, 0, 31, 7], [2, 31, 0, 6], [5, 7, 6, 0]], float)
    kind = kinds(separation)
    assert kind[0] == kind[2] != kind[1] and len(np.unique(kind)) == 2
    assert kinds(np.zeros((1, 1))).tolist() == [0]


def test_images_of_equal_classes_are_shared_out_by_chance_and_the_same_way_again():
    members = np.tile([0.2, 0.5, 0.3], (100, 1))
    out = shared_out(members, np.array([0, 1, 0]), 3)
    assert np.allclose(out.sum(axis=1), 1) and np.allclose(out[:, 1], 0.5)
    assert np.count_nonzero(out[:, 0]) == np.count_nonzero(out[:, 2]) == 50
    assert np.array_equal(out, shared_out(members, np.array([0, 1, 0]), 3))


def test_classes_are_judged_when_they_have_settled_for_a_while_and_the_band_stands_or_time_runs_out():
    now = {**start(2, random=True), "settling": True, "settled": JUDGED - 1}
    assert judgement_due(now, 20, steady=True) and not judgement_due(now, 20, steady=False) and judgement_due(now, 2, steady=False)
    assert not judgement_due({**now, "settled": 0}, 20, steady=True) and not judgement_due({**now, "settling": False}, 2, steady=True)


def test_accuracy_is_three_standard_errors_and_quality_halves_at_the_limit():
    errors = np.array([[0.01, 0.1]] * 50 + [[0.015, 0.2]] * 50 + [[0.01, 0.1]])
    rotations, shifts = class_accuracy(errors, np.array([0] * 50 + [1] * 50 + [2]), 3)
    assert rotations[0] == pytest.approx(np.rad2deg(0.03035), rel=1e-3) and shifts[1] == pytest.approx(0.607, rel=1e-3)
    assert rotations[2] == UNKNOWN
    assert quality(rotations, 1.5).tolist() == pytest.approx([1.0, 0.5, 0.0])
