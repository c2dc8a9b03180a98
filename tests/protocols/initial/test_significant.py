"""First maps from simulated class averages whose poses are known."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes2D, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.align import significant
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.symmetry import turned_map
from cryoloom.numerics.simulate.phantom import random_phantom, symmetrised
from cryoloom.numerics.simulate.poses import uniform_poses
from cryoloom.numerics.simulate.projection import density, project
from cryoloom.protocols.initial.significant import Significant
from cryoloom.spec import Failure

BOX, PIXEL = 40, 6.0
TINY = {"iterations": 3, "starts": 1, "mask_diameter": 170.0, "max_resolution": 40.0, "angular_step": 20.0, "neighbourhood": 40.0}
QUICK = {"iterations": 10, "starts": 3, "mask_diameter": 170.0, "max_resolution": 18.0, "angular_step": 8.0, "neighbourhood": 16.0}


@dataclass(frozen=True)
class Views:
    classes: Classes2D
    density: np.ndarray
    matrices: np.ndarray


@pytest.fixture
def averages(tmp_path):
    """Return a maker of class averages of a random phantom, almost without noise, off-centre by a pixel or so."""

    def make(count=40, *, symmetry="C1", seed=3, images=None, **columns):
        rng = np.random.default_rng(seed)
        phantom = symmetrised(random_phantom(seed, 150.0), symmetry)
        matrices = euler_to_matrix(*uniform_poses(count, rng).T)
        clean = np.stack([project(phantom, pose, BOX, PIXEL, tuple(rng.normal(size=2) * 4.0)) for pose in matrices])
        clean += rng.normal(size=clean.shape).astype(np.float32) * clean.std() / 2
        (tmp_path / "data").mkdir(exist_ok=True)
        write_stack(tmp_path / "data/averages.mrcs", clean if images is None else images(clean), PIXEL)
        numbers = np.arange(1, count + 1)
        table = {"id": numbers, "class_id": numbers, "stack_path": ["data/averages.mrcs"] * count, "stack_index": numbers - 1}
        table |= {"count": np.full(count, 100)} | columns
        return Views(Classes2D(pl.DataFrame(table), tmp_path, meta={"pixel_size": PIXEL}), density(phantom, BOX, PIXEL), matrices)

    return make


def agreement(out, truth, symmetry="C1"):
    """Return the resolution to which the map agrees with the truth in its better hand, and the median error of poses."""
    table = out.classes.enabled().filter(pl.col("rot").is_not_null())
    poses = euler_to_matrix(*(table[name].to_numpy() for name in ("rot", "tilt", "psi")))
    found = compare_poses(
        poses, np.zeros((len(poses), 2)), truth.matrices[table["id"].to_numpy() - 1], np.zeros((len(poses), 2)), group=point_group(symmetry)
    )
    hand = np.roll(truth.density[::-1], 1, axis=0) if found.mirrored else truth.density
    turned = turned_map(hand, found.rotation).astype(np.float32)
    volume = read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data.astype(np.float32)
    cross = np.fft.irfftn(np.fft.rfftn(volume) * np.conj(np.fft.rfftn(turned)), volume.shape, axes=(0, 1, 2))
    turned = np.roll(turned, np.unravel_index(cross.argmax(), cross.shape), axis=(0, 1, 2))
    return resolution_at(fourier_shell_correlation(volume, turned), 0.5, BOX, PIXEL), float(np.median(found.angles))


@pytest.mark.slow
@pytest.mark.parametrize(("symmetry", "starts"), [("C1", 2), ("D2", 3)])
def test_a_map_from_averages_alone(averages, checkpoint_job, symmetry, starts):
    truth = averages(symmetry=symmetry)
    job = checkpoint_job()
    out = Significant(averages=truth.classes, symmetry=symmetry, **QUICK | {"starts": starts}).run(job)
    resolution, angle = agreement(out, truth, symmetry)
    assert resolution <= 25.0 and angle < 10.0
    assert not job.warnings and len(out.volume.meta["starts"]) == starts and out.particles is None
    titles = [panel.title for panel in Significant.report(None, out)]
    assert titles[:2] == ["The map", "The map in three dimensions"]
    assert titles[2:] == ["Averages and reprojections", "Likeness", "Directions", "Viewing directions", "Iterations", "Averages"]
    assert all(panel.html() for panel in Significant.report(None, out))


@pytest.mark.slow
def test_a_wrong_group_is_warned_of(averages, checkpoint_job):
    job = checkpoint_job()
    Significant(averages=averages(symmetry="D2").classes, symmetry="C3", **QUICK | {"starts": 2}).run(job)
    assert any("C3 is not supported" in warning for warning in job.warnings)


def test_particles_are_taken_with_their_phases_right(simulated, checkpoint_job):
    data = simulated(count=30, box=32, pixel_size=7.0, snr=2.0)
    out = Significant(averages=data.particles, **TINY).run(checkpoint_job())
    assert out.classes is None and out.particles.items["rot"].null_count() == 0
    assert out.volume.meta["iterations"][-1]["correlation"] > 0.6
    dark = simulated(count=30, box=32, pixel_size=7.0, snr=2.0, contrast="dark").particles
    assert any("dark" in hint.message for hint in Significant(averages=dark).check())


def test_the_same_bits_for_two_threads_and_after_a_kill(averages, checkpoint_job, stopped):
    truth = averages(12)
    form = Significant(averages=truth.classes, keep_intermediate=True, **TINY | {"starts": 2})
    whole = checkpoint_job("whole", threads=2)
    out = form.run(whole)
    killed = checkpoint_job("killed", kill_after=2)
    with pytest.raises(stopped):
        Significant(averages=truth.classes, keep_intermediate=True, **TINY).run(killed)
    resumed = checkpoint_job("killed", resume=killed.last)
    once = Significant(averages=truth.classes, keep_intermediate=True, **TINY).run(resumed)
    again = Significant(averages=truth.classes, keep_intermediate=True, **TINY).run(checkpoint_job("again"))
    assert form.run(checkpoint_job("one")).volume.meta["starts"] == out.volume.meta["starts"]
    for first, second in ((out, "one"), (once, "again")):
        for name in ("volume.mrc", "montage.mrcs", "iteration003.mrc"):
            other = first.volume.root / "runs" / second / name
            assert first.volume.file(first.volume.items.item(0, "volume_path")).with_name(name).read_bytes() == other.read_bytes()
    assert once.classes.items.equals(again.classes.items) and len(once.intermediate) == 3
    assert once.intermediate.items["rots"].list.len().to_list() == [12] * 3


def test_a_map_to_start_from_is_brought_to_the_averages(averages, checkpoint_job):
    truth = averages(20)
    write_mrc(truth.classes.root / "data/start.mrc", truth.density[4:-4, 4:-4, 4:-4], PIXEL, volume=True)
    table = pl.DataFrame({"id": [1], "volume_path": ["data/start.mrc"], "box_size": [BOX - 8]})
    start = Volume(table, truth.classes.root, meta={"pixel_size": PIXEL})
    job = checkpoint_job()
    out = Significant(averages=truth.classes, reference=start, **TINY | {"angular_step": 10.0, "max_resolution": 18.0}).run(job)
    assert any("resampled to 40" in warning for warning in job.warnings) and not out.volume.meta["starts"]
    resolution, angle = agreement(out, truth)
    assert resolution <= 25.0 and angle < 10.0


def test_averages_of_nothing_are_left_out_and_many_of_them_refused(averages, checkpoint_job):
    def spoiled(count):
        def change(images):
            images[1], images[2 : count + 1] = np.nan, 1.0
            return images

        return change

    job = checkpoint_job()
    out = Significant(averages=averages(20, images=spoiled(2)).classes, **TINY).run(job)
    assert any("Left out, being constant or not finite: 2, 3." in warning for warning in job.warnings)
    assert out.classes.enabled().height == 18 and out.volume.meta["iterations"][-1]["images"] == 18
    with pytest.raises(Failure, match="9 of 20 averages are constant"):
        Significant(averages=averages(20, images=spoiled(9)).classes, **TINY).run(job)
    with pytest.raises(Failure, match="several pixel sizes"):
        Significant(averages=averages(20, pixel_size=[6.0] * 10 + [7.0] * 10).classes, **TINY).run(job)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda images: images[:1].repeat(len(images), axis=0), "they show one view"),
        (lambda images: np.random.default_rng(1).normal(size=images.shape).astype(np.float32), "as noise"),
    ],
)
def test_averages_that_tell_no_directions_apart_are_said_to(averages, checkpoint_job, change, why):
    job = checkpoint_job()
    Significant(averages=averages(24, images=change).classes, **TINY | {"max_resolution": 20.0}).run(job)
    assert any("No discriminating directions" in warning and why in warning for warning in job.warnings)


def test_what_cannot_be_done_is_refused_before_any_work(averages):
    classes = averages(8).classes

    def hints(given=classes, **values):
        return {hint.parameter: hint for hint in Significant(averages=given, **values).check() if hint.error}

    assert not hints() and not hints(symmetry="O")
    few = Classes2D(classes.items.with_columns(count=pl.when(pl.col("id") < 5).then(9).otherwise(0)), classes.root, meta=classes.meta)
    assert "are 4; 5 or more" in hints(few)["averages"].message
    assert "are empty" in hints(classes.select([]))["averages"].message
    assert "symmetry" in hints(symmetry="D0") and "max_tilt" in hints(min_tilt=90.0, max_tilt=80.0)
    assert "last_significance" in hints(first_significance=99.7)
    assert hints(symmetry="O", as_published=True)["first_significance"].fix == 95.8
    assert not hints(symmetry="C4", as_published=True)
    assert any(hint.parameter == "neighbourhood" for hint in Significant(averages=classes, angular_step=8.0).check())


@pytest.mark.parametrize("published", [False, True])
def test_what_the_published_program_does_otherwise_is_off_by_default(averages, checkpoint_job, monkeypatch, published):
    seen = []

    def begin(plan, start=None):
        seen.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(significant, "begin", begin)
    given = {"as_published": True} if published else {}
    with pytest.raises(KeyboardInterrupt):
        Significant(averages=averages(8).classes, max_shift=4, **TINY, **given).run(checkpoint_job())
    plan = seen[0]
    assert plan.as_published == published and plan.criteria.fisher != published
    assert plan.criteria.neighbourhood == (0.0 if published else TINY["neighbourhood"]) and plan.max_shift == 4.0
