"""Deep alignment of simulated particles, some of them aligned already."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Particles
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler
from cryoloom.numerics.geometry.symmetry import C1
from cryoloom.protocols.refine.deep_align import DeepAlign
from cryoloom.spec import Failure

BOX, PIXEL = 40, 5.0
TAUGHT, COUNT = 560, 720
QUICK = {"mask_diameter": 170.0, "target_resolution": 15.0, "epochs": 2, "projections": 1.0}


@dataclass(frozen=True)
class Known:
    data: Any
    job: Callable[..., Any]
    training: Particles
    particles: Particles
    matrices: np.ndarray


def posed(data, matrices: np.ndarray, **columns) -> Particles:
    """Return the particles with poses."""
    rot, tilt, psi = matrix_to_euler(matrices)
    table = {"id": data.particles.items["id"], "rot": rot, "tilt": tilt, "psi": psi}
    table |= {"origin_x": data.origins[:, 0], "origin_y": data.origins[:, 1], **columns}
    return data.particles.with_columns(pl.DataFrame(table))


def some(particles: Particles, rows: slice) -> Particles:
    return Particles(particles.items[rows], particles.root, optics=particles.optics)


@pytest.fixture(scope="module")
def known(tmp_path_factory, simulate, job_of):
    """Return particles of which most are aligned already."""
    data = simulate(tmp_path_factory.mktemp("deep"), count=COUNT, box=BOX, pixel_size=PIXEL, snr=0.5, shift=5.0)
    halves = np.arange(COUNT) % 2 + 1
    training, particles = some(posed(data, data.matrices, half_set=halves), slice(0, TAUGHT)), some(data.particles, slice(TAUGHT, COUNT))
    root = data.particles.root
    return Known(data, lambda name, **settings: job_of(root / "runs" / name, root, **settings), training, particles, data.matrices[TAUGHT:])


def run(known, job, **values):
    given = {"particles": known.particles, "volume": known.data.volume, "training": known.training, "halves": False, **QUICK, **values}
    form = DeepAlign(**given)
    return form, form.run(job), job


@pytest.fixture(scope="module")
def aligned(known):
    return run(known, known.job("r001"))


def errors_of(out, truth):
    table = out.particles.items
    return C1.angle(euler_to_matrix(*(table[name].to_numpy() for name in ("rot", "tilt", "psi"))), truth)


def test_poses_of_particles_that_were_not_learned_from(known, aligned):
    form, out, job = aligned
    errors, table = errors_of(out, known.matrices), out.particles.items
    assert not job.warnings
    assert np.mean(errors <= 10.0) >= 0.75 and np.median(errors[errors <= 10.0]) <= 3.5
    shifts = table.select("origin_x", "origin_y").to_numpy() - known.data.origins[TAUGHT:]
    assert np.median(np.linalg.norm(shifts[errors <= 10.0], axis=1)) < 2.0
    network = out.model.meta["networks"][0]
    assert network["near"] >= 0.85 and network["first"] > 5 * network["chance"]
    assert 0.5 < np.mean(errors <= table["pose_spread"].to_numpy()) < 0.85
    assert [row["loss"] > 0 for row in network["history"]] == [True] * 2
    assert table["region_probability"].is_between(0, 1).all() and table["score"].is_between(-1, 1).all()
    assert "half_set" not in table.columns and out.particles.meta["symmetry"] == "C1"
    summary = form.summary(out)
    assert "not independent of the map" in summary["note"] and "560" not in form.methods(out)
    assert all(panel.html() for panel in form.report(out))


def test_what_the_network_says_does_not_depend_on_the_turn_in_the_plane(known, aligned):
    _, out, _ = aligned
    right = errors_of(out, known.matrices) <= 10.0
    psi = matrix_to_euler(known.matrices)[2]
    quarters = [right[(psi // 90).astype(int) == quarter].mean() for quarter in range(-2, 2)]
    assert min(quarters) > np.mean(right) - 0.15


def test_noise_is_known_by_its_score_and_of_no_region(known, aligned):
    _, out, _ = aligned
    root = known.data.particles.root
    noise = np.random.default_rng(9).normal(size=(80, BOX, BOX)).astype(np.float32)
    write_stack(root / "data/noise.mrcs", noise, PIXEL)
    items = known.particles.items[:80].with_columns(stack_path=pl.lit("data/noise.mrcs"), stack_index=pl.Series(np.arange(80)))
    _, found, _ = run(
        known, known.job("noise"), particles=Particles(items, root, optics=known.particles.optics), training=None, model=out.model
    )
    assert found.model is None
    shown, other = out.particles.items["score"].to_numpy(), found.particles.items["score"].to_numpy()
    assert np.mean(shown[:, None] > other) >= 0.9
    assert found.particles.items["region_probability"].mean() < 0.5 * out.particles.items["region_probability"].mean()


def test_networks_of_another_run_give_its_poses(known, aligned):
    _, out, _ = aligned
    _, again, job = run(known, known.job("again"), training=None, model=out.model)
    errors = errors_of(again, known.matrices)
    assert np.mean(errors <= 10.0) >= 0.75 and not job.warnings
    spread = again.particles.items["pose_spread"].to_numpy()
    assert 0.5 < np.mean(errors <= spread) < 0.85
    hints = {
        hint.parameter: hint.fix
        for hint in DeepAlign(
            particles=known.particles, volume=known.data.volume, model=out.model, **QUICK | {"mask_diameter": 150.0}
        ).check()
    }
    assert hints == {"mask_diameter": 170.0}


def test_the_same_bits_for_two_threads_and_after_a_kill(known, aligned, stopped):
    _, once, _ = aligned
    killed = known.job("killed", kill_after=1)
    with pytest.raises(stopped):
        run(known, killed)
    _, twice, _ = run(known, known.job("killed", threads=2, resume=killed.last))
    assert once.particles.items.equals(twice.particles.items)
    one, other = (each.model.file(each.model.items["model_path"][0]).read_bytes() for each in (once, twice))
    assert one == other


def test_each_half_is_aligned_by_what_its_own_half_taught(known):
    halves = pl.DataFrame({"id": known.particles.items["id"], "half_set": np.arange(COUNT - TAUGHT) % 2 + 1})
    _, out, job = run(known, known.job("halves"), particles=known.particles.with_columns(halves), halves=True, epochs=1)
    assert any("no gold standard" in warning for warning in job.warnings)
    assert out.model.items["half_set"].to_list() == [1, 2] and "halves" in out.particles.meta
    assert out.particles.items["half_set"].equals(halves["half_set"])
    assert [each["learned"] + each["held_out"] for each in out.model.meta["networks"]] == [TAUGHT // 2] * 2
    assert np.mean(errors_of(out, known.matrices) <= 10.0) >= 0.7


def test_shuffled_poses_teach_nothing(known):
    shuffled = known.data.matrices[np.random.default_rng(2).permutation(COUNT)]
    training = some(posed(known.data, shuffled), slice(0, TAUGHT))
    _, out, job = run(known, known.job("shuffled"), training=training, epochs=1)
    network = out.model.meta["networks"][0]
    assert network["first"] < 3 / 48 and any("by chance" in warning for warning in job.warnings)


def test_what_cannot_be_learned_from_is_refused(known):
    def hints(**values):
        form = DeepAlign(**{"particles": known.particles, "volume": known.data.volume, **QUICK, **values})
        return {hint.parameter: hint.message for hint in form.check()}

    assert "are needed" in hints()["training"]
    assert "carries no rot" in hints(training=known.particles)["training"]
    assert "at least 500" in hints(training=some(known.training, slice(0, 100)))["training"]
    other = Particles(known.training.items, known.training.root, optics=[{**known.training.optics[0], "pixel_size": 4.0}])
    assert "extract them alike" in hints(training=other)["training"]
    assert "single region" in hints(training=known.training, symmetry="I")["span"]
    assert "symmetry" in hints(training=known.training, symmetry="C2v")


def test_particles_of_another_box_and_what_shows_nothing_are_refused(known):
    root = known.data.particles.root
    wide = np.random.default_rng(4).normal(size=(TAUGHT, BOX + 8, BOX + 8)).astype(np.float32)
    write_stack(root / "data/wide.mrcs", wide, PIXEL)
    items = known.training.items.with_columns(stack_path=pl.lit("data/wide.mrcs"), stack_index=pl.Series(np.arange(TAUGHT)))
    with pytest.raises(Failure, match="same box"):
        run(known, known.job("wide"), training=Particles(items, root, optics=known.training.optics))
    write_stack(root / "data/nothing.mrcs", wide[:, 4:-4, 4:-4], PIXEL)
    items = items.with_columns(stack_path=pl.lit("data/nothing.mrcs"))
    with pytest.raises(Failure, match="do not agree with the reference"):
        run(known, known.job("nothing"), training=Particles(items, root, optics=known.training.optics))
