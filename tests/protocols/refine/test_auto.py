import hashlib

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Mask, Particles, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.align import refine
from cryoloom.numerics.fsc.masked import masked_fsc
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.resample import matched
from cryoloom.numerics.reconstruct.symmetry import turned_map
from cryoloom.protocols.refine.auto import AutoRefine
from cryoloom.spec import Failure

SMALL = {"count": 500, "box": 32, "pixel_size": 7.0, "snr": 0.3}


def digest(job):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(job.folder.glob("*.mrc"))}


def columns(out):
    return out.particles.items.select("rot", "tilt", "psi", "origin_x", "origin_y", "max_probability", "half_set").to_numpy()


@pytest.mark.slow
def test_poses_map_and_resolution_are_those_of_the_truth(simulated, checkpoint_job):
    data, job = simulated(**SMALL), checkpoint_job()
    out = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, initial_lowpass=50.0).run(job)
    items = out.particles.items
    matrices = euler_to_matrix(*(items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    agreement = compare_poses(matrices, items.select("origin_x", "origin_y").to_numpy(), data.matrices, data.origins, either_hand=False)
    assert np.median(agreement.angles) < 3.0 and np.mean(agreement.angles < 10) > 0.97
    assert np.median(agreement.shifts) < 1.0
    row = out.volume.items.row(0, named=True)
    found = read_mrc(out.volume.file(row["volume_path"])).data
    against_truth = resolution_at(fourier_shell_correlation(found, data.density), 0.5, 32, 7.0)
    assert against_truth <= 224 / 13
    assert out.fsc.meta["resolution"] == pytest.approx(against_truth, rel=0.16)
    halves = [read_mrc(out.volume.file(row[name])).data for name in ("half_map1_path", "half_map2_path")]
    scale = np.vdot(halves[0] + halves[1], data.density) / (2 * np.vdot(data.density, data.density))
    assert 0.7 < scale < 1.1  # in the grey values of the images
    assert set(items["half_set"].unique()) == {1, 2}
    assert job.notes[-1]["iteration"] == len(out.fsc.meta["iterations"])
    assert list(AutoRefine.summary(None, out))[0].startswith("resolution")


def test_threads_and_interruption_change_nothing(simulated, checkpoint_job, stopped):
    data = simulated(**SMALL | {"count": 80})
    protocol = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, initial_lowpass=50.0, iterations=4)
    whole, two, cut = checkpoint_job("whole"), checkpoint_job("two", threads=2), checkpoint_job("cut", kill_after=2)
    first, second = protocol.run(whole), protocol.run(two)
    with pytest.raises(stopped):
        protocol.run(cut)
    rest = checkpoint_job("rest", resume=cut.last)
    third = protocol.run(rest)
    assert digest(whole) == digest(two) == digest(rest)
    assert np.array_equal(columns(first), columns(second)) and np.array_equal(columns(first), columns(third))


@pytest.mark.slow
def test_noise_gives_no_structure(simulated, checkpoint_job):
    data, job = simulated(**SMALL | {"noise_only": True}), checkpoint_job()
    out = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, iterations=8).run(job)
    assert out.fsc.meta["resolution"] > 30
    assert any("no structure" in warning for warning in job.warnings)
    assert any("uncertain" in warning for warning in job.warnings)
    assert any("no better than their negatives" in warning for warning in job.warnings)


def test_reference_of_another_box_and_pixel_is_matched_and_its_grey_values_ignored(simulated, checkpoint_job):
    data, job = simulated(**SMALL | {"count": 200}), checkpoint_job()
    path = data.volume.file("data/truth.mrc")
    write_mrc(path, 1000 * matched(data.density, 7.0, 50, 5.0) + 3, 5.0, volume=True)
    data.volume.meta["pixel_size"] = 5.0
    out = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, initial_lowpass=50.0, iterations=4).run(job)
    assert any("resampled" in warning for warning in job.warnings)
    found = read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data
    assert resolution_at(fourier_shell_correlation(found, data.density), 0.5, 32, 7.0) < 25


@pytest.mark.slow
def test_given_poses_are_gone_on_with_each_half_from_its_own_map(simulated, checkpoint_job, monkeypatch):
    data = simulated(**SMALL | {"count": 300})
    settings = {"mask_diameter": 170.0, "initial_lowpass": 50.0}
    first = AutoRefine(particles=data.particles, reference=data.volume, **settings, iterations=3).run(checkpoint_job("first"))
    started = []
    monkeypatch.setattr(refine, "begin", lambda *given, begin=refine.begin: started.append(begin(*given)) or started[-1])
    second_job = checkpoint_job("second")
    second = AutoRefine(particles=first.particles, reference=first.volume, poses="given", **settings).run(second_job)
    assert not np.array_equal(started[0]["references"][0, 0], started[0]["references"][1, 0])
    assert all(step["local"] for step in second.fsc.meta["iterations"])
    assert second.fsc.meta["resolution"] <= first.fsc.meta["resolution"]
    errors = [
        np.median(
            compare_poses(
                euler_to_matrix(*(out.particles.items[name].to_numpy() for name in ("rot", "tilt", "psi"))),
                out.particles.items.select("origin_x", "origin_y").to_numpy(), data.matrices, data.origins, either_hand=False,
            ).angles
        )
        for out in (first, second)
    ]  # fmt: skip
    assert errors[1] < 1.05 * errors[0]
    # The map of another run has halves of its own: both halves start from one low-passed map.
    other = AutoRefine(particles=data.particles, reference=data.volume, **settings, iterations=3)
    other_map = other.run(checkpoint_job("other", seed=5)).volume
    AutoRefine(particles=first.particles, reference=other_map, poses="given", **settings, iterations=3).run(checkpoint_job("third"))
    assert np.array_equal(started[-1]["references"][0, 0], started[-1]["references"][1, 0])


def test_given_poses_that_are_missing_or_do_not_fit_are_refused(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 60})
    settings = {"reference": data.volume, "mask_diameter": 170.0, "poses": "given"}
    with pytest.raises(Failure, match="Not all particles have rot"):
        AutoRefine(particles=data.particles, **settings).run(checkpoint_job("none"))
    assert [hint.fix for hint in AutoRefine(particles=data.particles, **settings).check() if hint.error] == ["search"]
    poses = pl.DataFrame({name: [0.0] * 60 for name in ("rot", "tilt", "psi", "origin_x", "origin_y")})
    given = Particles(data.particles.items.hstack(poses), data.particles.root, optics=data.particles.optics)
    write_mrc(data.volume.file("data/truth.mrc"), -data.density, 7.0, volume=True)
    with pytest.raises(Failure, match="do not agree with the reference at the poses"):
        AutoRefine(particles=given, **settings).run(checkpoint_job("wrong"))


def seen_task(protocol, job, monkeypatch):
    """Return what a refinement would be asked to do, without doing it."""
    seen = []
    monkeypatch.setattr(refine, "begin", lambda task, *given: seen.append((task, *given)) or (_ for _ in ()).throw(Seen))
    with pytest.raises(Seen):
        protocol.run(job)
    return seen[0]


class Seen(Exception):
    pass


def test_priors_and_relaxed_symmetry_reach_the_method_in_its_units(simulated, checkpoint_job, monkeypatch):
    data = simulated(**SMALL | {"count": 60})
    rot, tilt, psi = matrix_to_euler(data.matrices)
    poses = pl.DataFrame({"rot": rot, "tilt": tilt, "psi": psi, "origin_x": data.origins[:, 0], "origin_y": data.origins[:, 1]})
    given = Particles(data.particles.items.hstack(poses), data.particles.root, optics=data.particles.optics)
    settings = {"reference": data.volume, "mask_diameter": 170.0, "poses": "prior", "relax_symmetry": "c3"}
    protocol = AutoRefine(
        particles=given, **settings, prior_turn=4.0, prior_shift=14.0, free_rot=True, shift_range=35.0, join_below=30.0, regularisation=2.0,
        grey_scales=False,
    )  # fmt: skip
    assert not [hint for hint in protocol.check() if hint.error]
    task, _, rotations, shifts = seen_task(protocol, checkpoint_job(), monkeypatch)
    assert task.prior.turn == pytest.approx((180 / np.pi / 4.0) ** 2) and task.prior.shift == pytest.approx(0.25)
    assert (task.reach, task.join, task.regularisation, task.alike) == (5.0, 30.0, 2.0, None)
    assert task.prior.about_axis and task.prior.group.name == task.relaxed.name == "C3" and not task.near
    assert np.allclose(task.prior.rotations, data.matrices) and np.allclose(task.prior.shifts, data.origins / 7.0)
    assert np.allclose(rotations, data.matrices) and np.allclose(shifts, data.origins / 7.0)
    hints = {hint.parameter: hint for hint in AutoRefine(particles=data.particles, **settings | {"relax_symmetry": "C4v"}).check()}
    assert hints["poses"].error and hints["poses"].fix == "search" and hints["relax_symmetry"].fix == "C4"


def test_the_correlation_under_a_mask_is_that_of_the_halves_corrected_and_a_sharp_edge_is_told(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 200})
    sharp = (spherical_mask(32, 12.0, 1.0) > 0.5).astype(np.float32)
    write_mrc(data.volume.file("data/mask.mrc"), sharp, 7.0, volume=True)
    mask = Mask(pl.DataFrame({"id": [1], "mask_path": ["data/mask.mrc"], "box_size": [32]}), data.volume.root, meta={"pixel_size": 7.0})
    settings = {"particles": data.particles, "reference": data.volume, "mask_diameter": 170.0, "initial_lowpass": 50.0, "iterations": 4}
    job = checkpoint_job()
    out = AutoRefine(**settings, mask=mask, solvent_fsc=True).run(job)
    halves = [read_mrc(out.volume.file(out.volume.items.item(0, name))).data for name in ("half_map1_path", "half_map2_path")]
    curve, found = masked_fsc(*halves, sharp, seed=job.seed).corrected, out.fsc.items["fsc"].to_numpy()
    assert np.abs(curve - found).max() < 0.05
    assert any("within 1.6 px" in warning for warning in job.warnings) and "corrected" in out.fsc.meta["mask"]
    hints = list(AutoRefine(**settings, solvent_fsc=True).check())
    assert [hint.parameter for hint in hints] == ["solvent_fsc"] and hints[0].error


@pytest.mark.slow
def test_the_expected_accuracy_of_poses_is_their_error(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 400, "snr": 0.15})
    out = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, initial_lowpass=50.0).run(checkpoint_job())
    items, row = out.particles.items, out.volume.items.row(0, named=True)
    matrices = euler_to_matrix(*(items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    agreement = compare_poses(matrices, items.select("origin_x", "origin_y").to_numpy(), data.matrices, data.origins, either_hand=False)
    right = agreement.angles < 15
    assert row["accuracy_rotations"] / 3.03 == pytest.approx(np.sqrt(np.mean(agreement.angles[right] ** 2) / 3), rel=0.25)
    assert row["accuracy_translations"] / 3.03 == pytest.approx(np.sqrt(np.mean(agreement.shifts[right] ** 2) / 2), rel=0.25)


@pytest.mark.slow
def test_particles_of_two_pixel_sizes_are_refined_together(simulated, checkpoint_job, tmp_path):
    coarse, fine = (
        simulated(root=tmp_path / name, count=count, box=box, pixel_size=size, snr=snr, seed=1)
        for name, count, box, size, snr in (("a", 200, 32, 7.0, 0.3), ("b", 100, 48, 5.0, 0.2))
    )
    items = [
        one.particles.items.with_columns(
            stack_path=pl.lit(f"{name}/data/particles.mrcs"), optics_group=pl.lit(number, pl.Int64), id=pl.col("id") + 1000 * number
        )
        for number, name, one in ((1, "a", coarse), (2, "b", fine))
    ]
    optics = [coarse.particles.optics[0], {**fine.particles.optics[0], "optics_group": 2}]
    both = Particles(pl.concat(items), tmp_path, optics=optics)
    reference = Volume(coarse.volume.items.with_columns(volume_path=pl.lit("a/data/truth.mrc")), tmp_path, meta=coarse.volume.meta)
    job = checkpoint_job()
    out = AutoRefine(particles=both, reference=reference, mask_diameter=170.0, initial_lowpass=50.0, iterations=6).run(job)
    assert any("Optics group 2 (48 px of 5 Å) is resampled to 32 px of 7 Å" in warning for warning in job.warnings)
    rows = out.particles.items
    matrices = euler_to_matrix(*(rows[name].to_numpy() for name in ("rot", "tilt", "psi")))
    origins = rows.select("origin_x", "origin_y").to_numpy()
    for part, one in ((slice(0, 200), coarse), (slice(200, 300), fine)):
        agreement = compare_poses(matrices[part], origins[part], one.matrices, one.origins, either_hand=False)
        assert np.median(agreement.angles) < 4.0 and np.median(agreement.shifts) < 2.0


def test_a_reference_of_the_wrong_contrast_is_refused(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 200})
    write_mrc(data.volume.file("data/truth.mrc"), -data.density, 7.0, volume=True)
    with pytest.raises(Failure, match="negative"):
        AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0).run(checkpoint_job())


def test_dark_particles_are_refused(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 20}, contrast="dark")
    with pytest.raises(Failure, match="dark"):
        AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0).run(checkpoint_job())


def test_given_halves_are_kept_and_partial_ones_refused(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 60})
    half = pl.Series("half_set", np.tile([1, 2, 2], 20))
    given = Particles(data.particles.items.with_columns(half), data.particles.root, optics=data.particles.optics)
    settings = {"reference": data.volume, "mask_diameter": 170.0, "iterations": 3}
    out = AutoRefine(particles=given, **settings).run(checkpoint_job())
    assert out.particles.items["half_set"].to_list() == half.to_list()
    titles = [panel.title for panel in AutoRefine.report(None, out) if panel.html()]
    assert {"Signal to noise", "Accuracy of poses", "Movement of shifts"} <= set(titles)
    partial = pl.Series("half_set", [1, None, 2] * 20)
    broken = Particles(data.particles.items.with_columns(partial), data.particles.root, optics=data.particles.optics)
    with pytest.raises(Failure, match="half_set"):
        AutoRefine(particles=broken, **settings).run(checkpoint_job("second"))


def test_boxes_around_one_particle_share_a_half(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 60})
    places = pl.DataFrame({"micrograph_id": [1] * 60, "x": np.repeat(np.arange(30) * 100.0, 2) + np.tile([0.0, 3.0], 30), "y": [50.0] * 60})
    items = data.particles.items.drop("micrograph_id", "x", "y", strict=False).hstack(places)
    twice = Particles(items, data.particles.root, optics=data.particles.optics)
    out = AutoRefine(particles=twice, reference=data.volume, mask_diameter=170.0, iterations=3).run(checkpoint_job())
    half = out.particles.items["half_set"].to_numpy()
    assert np.array_equal(half[::2], half[1::2]) and set(half) == {1, 2}


def test_a_symmetric_particle_is_refined_within_one_asymmetric_unit(simulated, checkpoint_job):
    data, job = simulated(**SMALL | {"count": 200}, symmetry="D2"), checkpoint_job()
    group = point_group("D2")
    out = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, initial_lowpass=50.0, symmetry="d2").run(job)
    items = out.particles.items
    matrices = euler_to_matrix(*(items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    assert group.in_unit(matrices[:, 2], margin=0.01).all()
    assert np.median(group.angle(matrices, data.matrices)) < 2.0
    assert out.volume.meta["symmetry"] == out.particles.meta["symmetry"] == "D2"
    maps = [read_mrc(out.volume.file(out.volume.items.item(0, f"{name}_path"))).data for name in ("volume", "half_map1", "half_map2")]
    assert resolution_at(fourier_shell_correlation(maps[0], data.density), 0.5, 32, 7.0) < 16
    for one in maps:
        # A half turn about z leaves the grid's planes but the first in place.
        inside = one[1:, 1:, 1:]
        assert np.allclose(inside, inside[:, ::-1, ::-1], atol=1e-3 * np.abs(one).max())
    assert not any("ymmetry" in warning for warning in job.warnings)


def test_a_symmetry_the_reference_has_not_is_warned_of(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 60})
    settings = {"particles": data.particles, "reference": data.volume, "mask_diameter": 170.0, "iterations": 3}
    wrong, none = checkpoint_job("wrong"), checkpoint_job("none")
    found = [AutoRefine(**settings, symmetry=name).run(job) for name, job in (("D2", wrong), ("C1", none))]
    assert any("CC between it and its symmetrised copy" in warning for warning in wrong.warnings)
    assert not any("ymmetry" in warning for warning in none.warnings)
    fits = [np.median(out.particles.items["log_likelihood"]) for out in found]
    assert fits[0] < 0.8 * fits[1]


def test_a_reference_off_its_axes_is_told_where_they_could_be(simulated, checkpoint_job):
    data, job = simulated(**SMALL | {"count": 60}, symmetry="D3"), checkpoint_job()
    turned = turned_map(data.density, random_rotations(1, np.random.default_rng(2))[0])
    write_mrc(data.volume.file("data/truth.mrc"), turned.astype(np.float32), 7.0, volume=True)
    AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, iterations=3, symmetry="D3").run(job)
    assert any("about other axes" in warning for warning in job.warnings)


@pytest.mark.parametrize(("name", "fix"), [("D9x", "D9"), ("I5", "I2"), ("C4v", "C4")])
def test_symmetry_that_does_not_exist_is_refused_in_the_form(simulated, name, fix):
    data = simulated(**SMALL | {"count": 4})
    hints = list(AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, symmetry=name).check())
    few, *hints = sorted(hints, key=lambda hint: hint.parameter)
    assert few.parameter == "particles" and not few.error
    assert [hint.parameter for hint in hints] == ["symmetry"] and hints[0].error and hints[0].fix == fix
