"""classify2d.hierarchical against truth: ``python -m benchmarks.classes2d_hierarchical views|attractor|core|correntropy|speed [--box PX] …``.

Images of distinct views, mirrored and not, moved and turned, in white noise. ``cleaning DATA`` takes a folder of ``cryoloom simulate --preset s5``, cleans
it by `classify2d.em` and tells what the bad classes of `classify2d.hierarchical` hold of what is left. One line a figure, of one thread.
"""

import argparse
import math
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

import cryoloom
from cryoloom.formats.star import read_star
from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import hierarchical_outcome as outcome
from cryoloom.numerics.align import hierarchical_schedule as schedule
from cryoloom.numerics.align.hierarchical_correntropy import limited
from cryoloom.numerics.align.hierarchical_search import Search
from cryoloom.numerics.align.hierarchical_split import split
from cryoloom.numerics.align.hierarchical_task import Poses, Settings, Task
from cryoloom.numerics.align.hierarchical_update import updated
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.fourier.transforms import shift_images
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density

Array = NDArray[np.float64]
PIXEL = 4.02


@dataclass(frozen=True)
class Views:
    """Images, and the view, mirror, in-plane angle (degrees) and shift (px) of each."""

    images: NDArray[np.float32]
    view: NDArray[np.int64]
    flip: NDArray[np.bool_]
    psi: Array
    shift: Array


def simulated(views: int, count: int, box: int, snr: float | Array, seed: int) -> Views:
    """Return images of distinct views in turn; `snr` may differ from image to image."""
    rng = np.random.default_rng(seed)
    maps = (density(random_phantom(100 * seed + number, 0.5 * box * PIXEL), box, PIXEL).sum(axis=0) for number in range(views))
    clean = [view / view.std() for view in maps]
    view, flip, psi = np.arange(count) % views, rng.random(count) < 0.5, rng.uniform(0.0, 360.0, count)
    shift = np.clip(rng.normal(0.0, 0.03 * box, (count, 2)), -0.06 * box, 0.06 * box)
    scale, centre = np.sqrt(np.broadcast_to(snr, count)), np.full(2, box // 2)
    images = rng.standard_normal((count, box, box)).astype(np.float32)
    for number in range(count):
        angle = math.radians(psi[number])
        back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turned = affine_transform(clean[view[number]], back, offset=(centre - back @ centre).tolist(), order=3)
        if flip[number]:
            turned = np.roll(turned[:, ::-1], 1, axis=1)
        images[number] += scale[number] * shift_images(torch.from_numpy(turned.copy()), torch.from_numpy(shift[number])).numpy()
    return Views(images, view, flip, psi, shift)


def task_of(images: NDArray[np.float32], **settings: object) -> Task:
    """Return the task of a classification of images."""
    box, mask = images.shape[-1], 0.65 * images.shape[-1] * PIXEL
    shape = prepare.geometry(box, PIXEL, mask, max(8.0, 2.05 * PIXEL), reach=0.1)
    correntropy = settings.get("correntropy", False)
    parts = (images[start : start + 64] for start in range(0, len(images), 64))
    blocks = ((limited(torch.from_numpy(part)).numpy() if correntropy else part, None, Optics(300.0, 2.7, 0.1)) for part in parts)
    wanted = Settings(**{"start_band": shape.start_band, "reach": shape.reach, **settings})  # pyright: ignore[reportArgumentType]
    observed = prepare.observations(blocks, shape, PIXEL, mask)
    task = Task(observed, torch.zeros(len(images), dtype=torch.int64), prepare.half_sets(len(images), 1), shape.frame, wanted, 1, 1)
    return outcome.with_pixels(task) if correntropy else task


def run(task: Task) -> schedule.State:
    """Classify."""
    state = schedule.begin(task)
    while not state["finished"]:
        state = schedule.advance(task, state)
    return state


def purity(label: NDArray[np.int64], view: NDArray[np.int64]) -> float:
    """Return the part of images whose view is that of most of their class."""
    return sum(np.bincount(view[label == each]).max() for each in np.unique(label[label >= 0])) / max(len(label), 1)


def say(what: str, **figures: float) -> None:
    sys.stdout.write(what + "\t" + "\t".join(f"{name} {value:.4g}" for name, value in figures.items()) + "\n")
    sys.stdout.flush()


def alignment(found: Poses, true: Views) -> dict[str, float]:
    """Return how the poses of members differ from the most usual difference of their class: medians of angle (°) and shift (px), part of right mirrors."""
    label, flip = found.label.numpy(), found.flip.numpy()
    angle, place = np.rad2deg(found.angle.numpy()), found.place.numpy()
    right, turns, moves = [], [], []
    for each in np.unique(label[label >= 0]):
        mine = np.flatnonzero(label == each)
        mine = mine[true.view[mine] == np.bincount(true.view[mine]).argmax()]
        # The class may show the view mirrored: then it mirrors what is not, and the two angles add up to the same for all.
        mirrored = np.mean(flip[mine] == true.flip[mine]) < 0.5
        same = (flip[mine] == true.flip[mine]) != mirrored
        right += same.tolist()
        kept = mine[same]
        away = np.exp(1j * np.deg2rad(angle[kept] + (true.psi[kept] if mirrored else -true.psi[kept])))
        turns += np.abs(np.rad2deg(np.angle(away / away.mean()))).tolist()
        # Where its centre lies is the class's own affair: that of its average, turned as the image is.
        spin = np.deg2rad(angle[kept])
        x = (place[kept] - true.shift[kept]) * np.where(flip[kept, None], (-1.0, 1.0), (1.0, 1.0))
        own = np.stack([np.cos(spin) * x[:, 0] + np.sin(spin) * x[:, 1], np.cos(spin) * x[:, 1] - np.sin(spin) * x[:, 0]], axis=1)
        moves += np.linalg.norm(own - np.median(own, axis=0), axis=1).tolist()
    return {"psi_median_deg": float(np.median(turns)), "shift_median_px": float(np.median(moves)), "mirrors_right": float(np.mean(right))}


def plain_sizes(task: Task, rounds: int) -> NDArray[np.int64]:
    """Return the sizes of classes of multi-reference alignment without splitting: each image to the average it correlates with best, again and again."""
    rows, classes, band = torch.arange(task.count), task.settings.classes, task.layout.rings
    poses = Poses.none(torch.from_numpy(np.random.default_rng(1).permutation(task.count) % classes))
    for number in range(rounds):
        update = updated(task, rows, poses, classes, band)
        images = task.frame.masked(task.frame.sampler.images(update.found.raw / update.found.damping.clamp(min=1e-3)))
        found = Search(task, images, band, everywhere=number == 0).candidates(rows, update.poses)
        poses = found.chosen(found.similarity.argmax(dim=1))
    return np.bincount(poses.label.numpy(), minlength=classes)


def views(box: int, count: int, classes: int, seed: int) -> None:
    true = simulated(classes, count, box, 0.1, seed)
    start = time.process_time()
    state = run(task_of(true.images, classes=classes))
    sizes = np.bincount(state["label"], minlength=classes)
    say("views", purity=purity(state["label"], true.view), smallest=sizes.min(), largest=sizes.max(), cpu_s=time.process_time() - start)
    say("alignment", **alignment(Poses.of(state), true))


def attractor(box: int, count: int, classes: int, seed: int) -> None:
    for distinct in (classes, classes // 4):
        bright = np.where(np.random.default_rng(seed).random(count) < 0.5, 0.3, 0.1)
        true = simulated(distinct, count, box, bright, seed)
        task = task_of(true.images, classes=classes)
        label = run(task)["label"]
        mean = count / classes
        plain, ours = plain_sizes(task, 6), np.bincount(label, minlength=classes)
        say(
            f"attractor, {distinct} views",
            plain_largest=plain.max() / mean,
            ours_largest=ours.max() / mean,
            ours_smallest=ours.min() / mean,
        )


def core(box: int, count: int, classes: int, seed: int) -> None:
    true = simulated(classes, count, box, 0.1, seed)
    planted = np.random.default_rng(seed).permutation(count) < count // 10
    others = simulated(count // 20, count // 20, box, 0.1, seed + 1).images
    noise = np.random.default_rng(seed).standard_normal((int(planted.sum()) - len(others), box, box))
    images = true.images.copy()
    images[planted] = np.concatenate([others, noise])
    task = task_of(images, classes=classes)
    state = run(task)
    levels = [outcome.level(task, state, number, junk_z=3.0, component_z=3.0) for number in range(state["level"] + 1)]
    last, stable = levels[-1], outcome.stable_core(levels, 1)
    kinds = np.where(planted, classes + np.arange(count), true.view)
    say("core", excluded=float(np.mean(~last.core[planted])), lost=float(np.mean(~last.core[~planted])),
        class_purity=purity(last.label, kinds), core_purity=purity(last.label[last.core], kinds[last.core]),
        stable_purity=purity(last.label[stable], kinds[stable]), stable_lost=float(np.mean(~stable[~planted])))  # fmt: skip


def correntropy(box: int, count: int, classes: int, seed: int) -> None:
    true = simulated(classes, count, box, 0.1, seed)
    rng = np.random.default_rng(seed)
    spiked = np.where(rng.random(true.images.shape) < 0.01, rng.choice([-20.0, 20.0], true.images.shape), true.images).astype(np.float32)
    for method in (False, True):
        both = [purity(run(task_of(images, classes=classes, correntropy=method))["label"], true.view) for images in (true.images, spiked)]
        say("correntropy" if method else "correlation", purity=both[0], purity_with_spikes=both[1])


def speed(box: int, count: int, classes: int, seed: int) -> None:
    """Time a round of every level on `count` images, and tell what ten rounds and ten rounds of splits of 10 000 images take."""
    true = simulated(8, count, box, 0.05, seed)
    task = task_of(true.images, classes=classes)
    rows, total = torch.arange(count), 0.0
    for band in (task.layout.rings // 2, task.layout.rings):
        for size in schedule.level_sizes(4, classes):
            label = torch.arange(count) % size
            update = updated(task, rows, Poses.none(label), size, band)
            cost = []
            for everywhere in (True, False):
                start = time.process_time()
                search = Search(task, update.images, band, everywhere=everywhere)
                chosen = search.candidates(rows, update.poses)
                updated(task, rows, chosen.chosen(chosen.similarity.argmax(dim=1)), size, band)
                cost.append(1e3 * (time.process_time() - start) / count)
            say(f"round of {size} classes, {band} of {task.layout.rings} rings", first_ms=cost[0], later_ms=cost[1])
            total += cost[0] + 9 * cost[1]
        start = time.process_time()
        poses = Poses.none(torch.zeros(count, dtype=torch.int64))
        split(task, rows, replace(poses, similarity=torch.ones(count)), band, 1)
        once = 1e3 * (time.process_time() - start) / count
        total += once * (len(schedule.level_sizes(4, classes)) - 1)
        say(f"10 000 images, {classes} classes, {band} rings", split_ms=once, cpu_minutes=total * 10_000 / 6e4)
        total = 0.0
    held = sum(getattr(task.observations, name).nbytes for name in ("harmonics", "power", "transfer")) / count
    say("memory", gib_of_10_000=held * 1e4 / 2**30, process_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def cleaning(data: Path, classes: int, seed: int) -> None:
    truth = read_star(data / "truth/particles.star")["particles"].sort("cryoloomParticleId")
    junk = dict(zip(truth["cryoloomParticleId"], truth["cryoloomJunk"] != 0, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        project = cryoloom.create_project(Path(folder) / "project")
        particles = project.run("import.particles", path=str(data / "particles.star")).outputs.particles
        ids = particles.items["id"].sort().to_list()
        known = dict(zip(ids, [junk[each] for each in sorted(junk)], strict=True))
        first = project.run("classify2d.em", particles=particles, classes=classes // 2, mask_diameter=180.0, seed=seed)
        clean = project.run("sets.select", items=first.outputs.particles, classes=first.outputs.classes, mode="auto").outputs.particles
        for what, given in (("after classify2d.em", clean), ("alone", particles)):
            done = project.run("classify2d.hierarchical", particles=given, classes=classes, mask_diameter=180.0, seed=seed)
            good = set(done.outputs.classes.items.filter("good")["class_id"].to_list())
            rows = done.outputs.particles.enabled()
            bad, core = np.array([each not in good for each in rows["class_id"]]), rows["core"].to_numpy()
            wrong = np.array([known[each] for each in rows["id"]])
            say(what, particles=len(wrong), junk=int(wrong.sum()), junk_in_bad=float(np.mean(bad[wrong])), good_in_bad=float(np.mean(bad[~wrong])),
                junk_in_core=float(np.mean(core[wrong])), good_in_core=float(np.mean(core[~wrong])), cpu_s=done.spent["cpu_seconds"])  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("views", "attractor", "core", "correntropy", "speed", "cleaning"))
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--box", type=int, default=100)
    parser.add_argument("--count", type=int, default=960)
    parser.add_argument("--classes", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "cleaning":
        cleaning(given.data, given.classes, given.seed)
    else:
        chosen = {"views": views, "attractor": attractor, "core": core, "correntropy": correntropy, "speed": speed}[given.what]
        chosen(given.box, given.count, given.classes, given.seed)
