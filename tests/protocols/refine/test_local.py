"""Local refinement of small simulated sets from poses that are a little off, against their truth."""

import hashlib

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Volume
from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix, geodesic_angle, matrix_to_euler, random_rotations
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.protocols.refine.local import LocalRefine
from cryoloom.spec import Failure

SETTINGS = {"mask_diameter": 140.0, "symmetry": "C1"}


def posed(data, *, turn=0.0, move=0.0, defocus=0.0, rotations=None):
    """Return the particles with their true poses turned by `turn` degrees and moved by `move` Å (rms an axis), and their defoci off."""
    items, count, rng = data.particles.items, len(data.origins), np.random.default_rng(3)
    matrices = data.matrices if rotations is None else rotations
    rot, tilt, psi = matrix_to_euler(rotation_from_vector(rng.normal(size=(count, 3)) * np.deg2rad(turn)) @ matrices)
    x, y = (data.origins + rng.normal(size=(count, 2)) * move).T
    poses = {"id": items["id"], "rot": rot, "tilt": tilt, "psi": psi, "origin_x": x, "origin_y": y}
    return data.particles.with_columns(pl.DataFrame(poses | {name: items[name] + defocus for name in ("defocus_u", "defocus_v")}))


def errors(particles, data):
    """Return the errors of poses in degrees, in the frame in which they are smallest."""
    items = particles.items
    found = euler_to_matrix(*(items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    origins = items.select("origin_x", "origin_y").to_numpy()
    return compare_poses(found, origins, data.matrices, data.origins, either_hand=False).angles


def digest(job):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(job.folder.glob("*.mrc"))}


@pytest.fixture(scope="module")
def sharp(tmp_path_factory, simulate):
    return simulate(tmp_path_factory.mktemp("sharp"), count=200, box=32, pixel_size=5.0, snr=0.3, diameter=120.0, shift=4.0)


@pytest.fixture(scope="module")
def begun(sharp, job_in):
    """Two iterations at once, from poses that are 5° and 4 Å off."""
    protocol = LocalRefine(particles=posed(sharp, turn=5.0 / np.sqrt(3), move=4.0 / np.sqrt(2)), targets="20 12", **SETTINGS)
    job = job_in(sharp.particles.root, "whole")
    return protocol, job, protocol.run(job)


@pytest.fixture(scope="module")
def run(job_in):
    """Return a function that runs the protocol on particles of a set, and returns the job and what came of it."""

    def make(data, name, particles, **settings):
        job = job_in(data.particles.root, name)
        return job, LocalRefine(particles=particles, **SETTINGS | settings).run(job)

    return make


def test_poses_come_back_to_the_truth(sharp, begun):
    protocol, job, out = begun
    assert np.median(errors(out.particles, sharp)) < 0.5 * np.median(errors(protocol.particles, sharp))
    row = out.volume.items.row(0, named=True)
    found = read_mrc(out.volume.file(row["unfiltered_path"])).data
    assert resolution_at(fourier_shell_correlation(found, sharp.density), 0.5, 32, 5.0) < 15.0
    assert out.fsc.meta["resolution"] < 15.0 and not job.warnings
    items = out.particles.items
    assert set(items["half_set"].unique()) == {1, 2}
    assert items["cost"].min() > 0 and items["weight"].min() >= 0.5 and items["weight"].max() == 1.0
    assert items["change_angle"].max() < 20.0


def test_going_on_with_a_run_is_one_run(sharp, begun, run):
    _, whole, out = begun
    _, first = run(sharp, "first", begun[0].particles, targets="20", iterations=1)
    direct = run(sharp, "second", first.particles, targets="12", iterations=1)
    images = run(sharp, "third", sharp.particles, previous=first.particles, targets="12", iterations=1)
    for job, gone_on in (direct, images):
        assert digest(job) == digest(whole)
        assert gone_on.particles.items.select(sorted(out.particles.items.columns)).equals(
            out.particles.items.select(sorted(out.particles.items.columns))
        )
        assert gone_on.fsc.items["fsc"].equals(out.fsc.items["fsc"])


def test_threads_and_interruption_change_nothing(sharp, begun, job_in, stopped):
    protocol, whole, out = begun
    root = sharp.particles.root
    cut = job_in(root, "cut", kill_after=1)
    with pytest.raises(stopped):
        protocol.run(cut)
    rest = job_in(root, "rest", resume=cut.last, threads=2)
    again = protocol.run(rest)
    assert digest(rest) == digest(whole)
    assert again.particles.items.equals(out.particles.items)


def test_report_and_methods_tell_what_was_done(begun):
    protocol, _, out = begun
    panels = protocol.report(out)
    titles = [panel.title for panel in panels]
    assert {"Gold-standard FSC", "Correlation with the reference (cost)", "Change of orientations", "Weights", "Reference"} <= set(titles)
    assert next(panel for panel in panels if "cost" in panel.title).bins == 100
    assert panels[0].html() and panels[1].html()
    assert protocol.summary(out)["working box"] == "32 px at 5.000 Å"
    assert "2 iterations" in protocol.methods(out)
    assert {"fsc", "fsc_1", "fsc_2", "processed_2"} <= set(out.fsc.items.columns)


def test_junk_is_told_by_cost(tmp_path, simulate, run):
    data = simulate(tmp_path, count=150, box=32, pixel_size=5.0, snr=0.3, diameter=120.0, shift=4.0, other=0.3)
    junk = data.state == 1
    wrong = np.where(junk[:, None, None], random_rotations(150, np.random.default_rng(1)), data.matrices)
    _, out = run(data, "junk", posed(data, turn=1.0, rotations=wrong), targets="12", iterations=2)
    cost = out.particles.items["cost"].to_numpy()
    area = np.mean(cost[~junk][:, None] > cost[junk][None])
    assert area > 0.85
    weight = out.particles.items["weight"].to_numpy()
    assert weight[junk].mean() < 0.8 * weight[~junk].mean()


def test_defoci_that_are_off_are_found(tmp_path, simulate, run):
    data = simulate(tmp_path, count=100, box=40, pixel_size=3.0, snr=0.1, diameter=95.0, shift=2.0)
    particles = posed(data, defocus=300.0)
    _, out = run(
        data,
        "defocus",
        particles,
        targets="6.5",
        iterations=4,
        mask_diameter=110.0,
        fit_defocus=True,
        max_defocus=400.0,
        turn=False,
        shift=False,
    )
    left = (out.particles.items["defocus_u"] - data.particles.items["defocus_u"]).to_numpy()
    assert np.sqrt(np.mean(left**2)) < 100.0
    protocol = LocalRefine(particles=particles, fit_defocus=True, **SETTINGS)
    assert any(panel.title == "Changes of defocus" for panel in protocol.report(out))


def test_noise_does_not_become_the_reference_and_is_named(tmp_path, simulate, run):
    data = simulate(tmp_path, count=160, box=32, pixel_size=5.0, snr=0.3, diameter=120.0, noise_only=True)
    settings = {"reference": data.volume, "reference_lowpass": 30.0, "targets": "15"}
    anywhere = posed(data, rotations=random_rotations(160, np.random.default_rng(2)))
    with pytest.raises(Failure, match="do not agree with the reference"):
        run(data, "refused", anywhere, iterations=1, **settings)
    job, out = run(data, "noise", data.particles, method="global", iterations=1, **settings)
    assert any("no better than their negatives" in warning for warning in job.warnings)
    assert any("one map" in warning for warning in job.warnings)
    job, out = run(data, "on", out.particles, targets="15", iterations=1)
    assert out.fsc.meta["resolution"] >= 30.0
    assert any("no structure" in warning or "uncertain" in warning for warning in job.warnings)
    found = read_mrc(out.volume.file(out.volume.items.item(0, "unfiltered_path"))).data
    curve = fourier_shell_correlation(found, data.density)
    beyond = slice(int(160 / 30) + 2, None)
    assert np.abs(curve[beyond]).mean() < 0.2


def test_a_global_search_finds_poses_that_are_not_there(sharp, run):
    some = sharp.particles.select(sharp.particles.ids()[:60])
    _, out = run(sharp, "global", some, reference=sharp.volume, method="global", targets="20", iterations=1, reference_lowpass=20.0)
    found = euler_to_matrix(*(out.particles.items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    assert np.median(geodesic_angle(found, sharp.matrices[:60])) < 5.0


def test_half_maps_start_their_own_halves(sharp, begun, run):
    job, _ = run(sharp, "halves", posed(sharp), reference=begun[2].volume, targets="12", iterations=1)
    assert not any("one map" in warning for warning in job.warnings)


def test_what_contradicts_is_said(sharp, begun):
    particles = begun[0].particles

    def hints(particles=particles, **settings):
        return {hint.parameter: hint.message for hint in LocalRefine(particles=particles, **SETTINGS | settings).check()}

    assert "carry no rot" in hints(sharp.particles)["method"]
    assert "reference" in hints(sharp.particles, method="global")
    assert "positive numbers" in hints(targets="8 x")["targets"]
    assert "finer than two pixels" in hints(targets="3")["targets"]
    assert "none of these" in hints(previous=begun[2].particles.select([]))["previous"]
    three = Volume(pl.concat([sharp.volume.items.with_columns(id=n) for n in (1, 2, 3)]), sharp.volume.root, meta=sharp.volume.meta)
    assert "3 maps" in hints(reference=three)["reference"]
    other = replace_optics(begun[2].particles, box_size=48)
    assert "boxes of 240 Å" in hints(previous=other)["previous"]
    assert "phase-flipped" in hints(replace_optics(particles, phase_flipped=True), fit_defocus=True)["fit_defocus"]


def replace_optics(particles, **changes):
    return particles.with_columns(particles.items.select("id"), optics=[{**group, **changes} for group in particles.optics])


def test_poses_that_are_missing_in_part_are_refused(sharp, begun, run):
    particles = begun[0].particles
    broken = particles.with_columns(particles.items.select("id", rot=pl.when(pl.col("id") > 1010).then(pl.col("rot"))))
    with pytest.raises(Failure, match="Not all particles have rot"):
        run(sharp, "broken", broken, targets="12", iterations=1)
