"""Hierarchical classification: poses that are exact without noise, what is usual, cores by what stayed together, kernels and mirrors."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import hierarchical_outcome as outcome
from cryoloom.numerics.align import hierarchical_schedule as schedule
from cryoloom.numerics.align.hierarchical_assign import Usual, assigned
from cryoloom.numerics.align.hierarchical_core import normal_deviations, stable
from cryoloom.numerics.align.hierarchical_correntropy import Kernel, correntropies, limited
from cryoloom.numerics.align.hierarchical_search import Candidates, PlaceGrid, Search
from cryoloom.numerics.align.hierarchical_task import Poses, Settings, Task, mirrored
from cryoloom.numerics.align.hierarchical_update import updated
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.fourier.transforms import shift_images
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density

BOX, PIXEL, MASK = 32, 5.0, 110.0


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Torch takes one thread, as in runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def views(count, seed=3):
    """Projections of so many different particles, of unit variance."""
    maps = [density(random_phantom(100 * seed + number, 0.5 * BOX * PIXEL), BOX, PIXEL).sum(axis=0) for number in range(count)]
    return np.stack([view / view.std() for view in maps]).astype(np.float32)


def posed(view, psi, flip, shift):
    """Turn from +x towards +y by `psi` degrees, mirror along x, then move by `shift` px."""
    angle, centre = np.deg2rad(psi), np.full(2, BOX // 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])  # of (y, x), back
    image = affine_transform(view, turn, offset=centre - turn @ centre, order=3)
    if flip:
        image = np.roll(image[:, ::-1], 1, axis=1)
    return shift_images(torch.from_numpy(image.copy()), torch.from_numpy(np.asarray(shift, dtype=np.float32))).numpy()


def simulated(clean, count, snr, seed=5):
    """Noisy images of views in turn; return them with view, flip, psi and shift of each. `snr` is one number, or one an image."""
    rng = np.random.default_rng(seed)
    view, flip, psi = np.arange(count) % len(clean), rng.random(count) < 0.5, rng.uniform(0, 360, count)
    shift = np.clip(rng.normal(0, 1.0, (count, 2)), -2.0, 2.0)
    signal = np.stack([posed(clean[v], p, f, s) for v, p, f, s in zip(view, psi, flip, shift, strict=True)])
    scale = np.sqrt(np.broadcast_to(snr, count))[:, None, None]
    return (scale * signal + rng.normal(size=signal.shape)).astype(np.float32), view, flip, psi, shift


def task_of(images, **settings):
    shape = prepare.geometry(BOX, PIXEL, MASK, 2.05 * PIXEL, reach=0.12)
    blocks = ((images[start : start + 64], None, Optics(300.0, 2.7, 0.1)) for start in range(0, len(images), 64))
    wanted = Settings(**{"start_band": shape.start_band, "reach": shape.reach, **settings})
    observed = prepare.observations(blocks, shape, PIXEL, MASK)
    return Task(observed, torch.zeros(len(images), dtype=torch.int64), prepare.half_sets(len(images), 1), shape.frame, wanted, 1, 1)


def run(task):
    state = schedule.begin(task)
    while not state["finished"]:
        state = schedule.advance(task, state)
    return state


def purity(label, view):
    return sum(np.bincount(view[label == each]).max() for each in np.unique(label)) / len(label)


def test_every_pose_is_found_where_there_is_no_noise():
    clean = views(6)
    images, view, flip, psi, shift = simulated(clean, 48, 1e4)
    task = task_of(images, classes=6, candidates=3)
    search = Search(task, task.frame.masked(torch.from_numpy(clean)), task.layout.rings, everywhere=True)
    found = search.candidates(torch.arange(48), Poses.none(torch.full((48,), -1)))
    best = found.chosen(found.similarity.argmax(dim=1))
    assert (best.label.numpy() == view).all() and (best.flip.numpy() == flip).all()
    assert np.abs((np.rad2deg(best.angle.numpy()) - psi + 180) % 360 - 180).max() < 2.0
    assert np.abs(best.place.numpy() - shift).max() < 0.2 and float(best.similarity.min()) > 0.95


def mirrors_right(task, flip, poses, *, without_itself):
    """Rounds of one class; return the part of images that are mirrored as most are, or as most are not."""
    rows, rings = torch.arange(task.count), task.layout.rings
    for _ in range(4):
        update = updated(task, rows, poses, 1, rings)
        search = Search(task, update.images, rings, everywhere=False, held=update.held if without_itself else None)
        poses = search.candidates(rows, update.poses).chosen(torch.zeros(task.count, dtype=torch.int64))
    part = float(np.mean(poses.flip.numpy() == flip))
    return max(part, 1.0 - part)


def test_an_image_in_its_own_average_does_not_hold_its_pose():
    """A third of the images of a nearly symmetric view begin mirrored; their own noise in the average would keep them so."""
    view = views(1)[0]
    clean = 0.75 * view + 0.25 * np.roll(view[:, ::-1], 1, axis=1)
    wrong, none = np.arange(24) % 3 == 0, torch.zeros(24, dtype=torch.int64)
    right = []
    for seed in range(5, 13):
        images, _, flip, psi, shift = simulated((clean / clean.std())[None], 24, 0.2, seed)
        angle = np.deg2rad(np.where(wrong, -psi, psi))
        angle, place, similarity = (torch.from_numpy(each.astype(np.float32)) for each in (angle, shift, np.ones(24)))
        poses = Poses(none, angle, torch.from_numpy(flip ^ wrong), place, similarity)
        task = task_of(images, classes=1, initial_classes=1)
        right.append([mirrors_right(task, flip, poses, without_itself=each) for each in (False, True)])
    held, free = np.mean(right, axis=0)
    assert held < 0.9 < free


def test_mirrored_harmonics_are_those_of_the_mirrored_image():
    images = np.random.default_rng(1).normal(size=(3, BOX, BOX)).astype(np.float32)
    flipped = np.roll(images[:, :, ::-1], 1, axis=2).copy()
    one, two = task_of(images, classes=1), task_of(flipped, classes=1)
    found = mirrored(one.layout, one.observations.harmonics, torch.tensor([True, False, True]))
    wanted = torch.where(torch.tensor([[True], [False], [True]]), two.observations.harmonics, one.observations.harmonics)
    assert torch.allclose(found, wanted, atol=1e-3 * float(wanted.abs().max()))


def test_views_are_told_apart_and_no_class_is_empty():
    images, view, *_ = simulated(views(6), 180, 0.3)
    label = run(task_of(images, classes=6))["label"]
    counts = np.bincount(label, minlength=6)
    assert purity(label, view) >= 0.95 and counts.min() > 0 and counts.max() / counts.min() <= 4


def plain_classes(task, rounds):
    """Multi-reference alignment without splitting: every image to the average it correlates with best, round after round; return the sizes."""
    rows, classes, band = torch.arange(task.count), task.settings.classes, task.layout.rings
    poses = Poses.none(torch.from_numpy(np.random.default_rng(1).permutation(task.count) % classes))
    for number in range(rounds):
        update = updated(task, rows, poses, classes, band)
        images = task.frame.masked(task.frame.sampler.images(update.found.raw / update.found.damping.clamp(min=1e-3)))
        found = Search(task, images, band, everywhere=number == 0).candidates(rows, update.poses)
        poses = found.chosen(found.similarity.argmax(dim=1))
    return np.bincount(poses.label, minlength=classes)


def test_no_class_attracts_the_images_of_others():
    """Half of the images have three times the signal: of many averages made at once some swallow the images of others, here none does."""
    bright = np.where(np.random.default_rng(7).random(480) < 0.5, 0.3, 0.1)
    images, *_ = simulated(views(4), 480, bright)
    task = task_of(images, classes=24, iterations=5)
    assert plain_classes(task, 6).max() > 4 * 480 / 24
    assert np.bincount(run(task)["label"], minlength=24).max() <= 4 * 480 / 24


def test_the_same_bits_in_two_threads_and_gone_on_from_any_state():
    images, *_ = simulated(views(3), 100, 0.3)
    task = task_of(images, classes=3, initial_classes=2, iterations=2)
    one = run(task)
    state = schedule.begin(task)
    for _ in range(2):
        state = schedule.advance(task, state)
    while not state["finished"]:
        state = schedule.advance(replace(task, threads=2), state)
    assert all(np.array_equal(one[name], state[name]) for name in one if isinstance(one[name], np.ndarray))
    assert one["history"] == state["history"]


def test_outliers_are_not_core():
    """Of every view a tenth of the images is another particle's, or noise."""
    images, view, *_ = simulated(views(4), 240, 0.3)
    strangers, *_ = simulated(views(12, seed=8), 12, 0.3)
    planted = np.arange(240) % 10 == 0
    images[planted] = np.concatenate([strangers, np.random.default_rng(4).normal(size=(12, BOX, BOX))])[np.arange(24)]
    task = task_of(images, classes=4, initial_classes=2)
    state = run(task)
    levels = [outcome.level(task, state, number, junk_z=3.0, component_z=3.0) for number in range(2)]
    core, label = levels[-1].core, levels[-1].label
    assert core[planted].mean() <= 0.2 and core[~planted].mean() >= 0.95
    kinds = np.where(planted, 4 + np.arange(240), view)
    assert purity(label[core], kinds[core]) > purity(label, kinds) + 0.05
    stable_core = outcome.stable_core(levels, 0)
    assert (stable_core <= core).all() and stable_core.sum() > 0.8 * core.sum()


@pytest.mark.parametrize("size", [15, 40, 400])
def test_three_deviations_are_as_rare_in_small_classes_as_in_large_ones(size):
    values = torch.from_numpy(np.random.default_rng(5).normal(3.0, 2.0, (4000, size)))
    away = values - values.median(dim=1, keepdim=True).values
    found = torch.stack([normal_deviations(each, each.abs().median()) for each in away])
    assert 0.0015 < (found.abs() > 3).to(torch.float64).mean() < 0.0045  # 0.0027 of a normal distribution
    assert (found * away >= 0).all()


def test_robust_assignment_prefers_what_is_usual_for_members():
    # Class 0 has much signal: everything is similar to it, its members more so. Class 1 has little, its members stand out none the less.
    rng = np.random.default_rng(2)
    label = torch.from_numpy(np.repeat([0, 1], 300))
    similarity = np.where(label[:, None].numpy() == 0, rng.normal([0.8, 0.2], 0.02, (600, 2)), rng.normal([0.6, 0.4], 0.02, (600, 2)))
    classes = torch.tensor([[0, 1]]).repeat(600, 1)
    zero = torch.zeros((600, 2))
    found = Candidates(classes, zero, zero.bool(), torch.zeros((600, 2, 2)), torch.from_numpy(similarity.astype(np.float32)))
    classical = assigned(found, label, 2, robust=False, classify_all=False).label
    robust = assigned(found, label, 2, robust=True, classify_all=False).label
    assert (classical == 0).all() and (robust == label).to(torch.float64).mean() > 0.9
    usual = Usual.of(found, label, 2)
    assert usual.members[:, -1].allclose(torch.ones(2, dtype=usual.members.dtype)) and (usual.members > 0).all()


def test_images_similar_to_nothing_have_no_class_unless_all_are_wanted():
    one = torch.zeros((2, 1))
    found = Candidates(one.long(), one, one.bool(), torch.zeros((2, 1, 2)), torch.tensor([[0.3], [-0.1]]))
    before = torch.tensor([0, 0])
    assert assigned(found, before, 1, robust=False, classify_all=False).label.tolist() == [0, -1]
    assert assigned(found, before, 1, robust=False, classify_all=True).label.tolist() == [0, 0]


def test_stable_cores_are_companions_of_most_levels():
    paths = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 2, 3, 0], [1, -1, 3, 1], [1, 2, 3, 1], [0, 0, 0, -1]])
    assert stable(paths, 0).tolist() == [True, True, False, False, False, False, False]
    assert stable(paths, 1).tolist() == [True, True, True, False, True, True, False]
    assert stable(paths, 3).tolist() == [True] * 6 + [False]


def test_places_are_found_between_nodes():
    grid = PlaceGrid.within(4.0, 1.5)
    wanted = torch.tensor([[0.4, -1.1], [2.0, 1.9]])
    values = -(grid.nodes[:, None] - wanted).square().sum(dim=2)
    first, second = grid.peaks(values)
    assert torch.allclose(first[0], wanted[0], atol=1e-4) and (first - second).norm(dim=1).min() > 1.0


def test_correntropy_forgets_spikes():
    clean = views(1)
    image = posed(clean[0], 30.0, True, (1.0, -0.5))
    spiked = image.copy()
    spiked[10:13, 14] = 20.0
    kernel = Kernel(1.0, 12.0)
    pose = [torch.tensor([[value]]) for value in (0, math.radians(30.0), True)]
    place = torch.tensor([[[1.0, -0.5]]])
    both = [float(correntropies(torch.from_numpy(each[None]), torch.from_numpy(clean), *pose, place, kernel)) for each in (image, spiked)]
    wrong = float(correntropies(torch.from_numpy(image[None]), torch.from_numpy(clean), pose[0], pose[1] + 1.0, pose[2], place, kernel))
    assert both[0] > 0.93 and both[0] - both[1] < 0.1 and both[0] - wrong > 0.05
    assert np.corrcoef(image.ravel(), spiked.ravel())[0, 1] < 0.8


def test_strays_are_drawn_in_and_noise_stays():
    noisy = torch.from_numpy(np.random.default_rng(1).normal(size=(1, BOX, BOX)).astype(np.float32))
    spiked = noisy.clone()
    spiked[0, 10:13, 14] = 20.0
    assert float(limited(spiked).abs().max()) < 2.0 and np.corrcoef(limited(spiked).ravel(), noisy.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("first", "last", "sizes"), [(4, 64, [4, 8, 16, 32, 64]), (3, 10, [3, 6, 10]), (5, 5, [5])])
def test_levels_double(first, last, sizes):
    assert schedule.level_sizes(first, last) == sizes
