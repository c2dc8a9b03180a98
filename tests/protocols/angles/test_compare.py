"""angles.compare on alignments whose differences are known: by mates, frames, hands and shifts, and what is refused."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Particles, canonical_name
from cryoloom.numerics.geometry.differences import pose_differences, random_differences
from cryoloom.numerics.geometry.euler import euler_to_matrix, flip_hand, matrix_to_euler, random_rotations
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.symmetry import C1, point_group
from cryoloom.protocols.angles.compare import CompareAngles
from cryoloom.protocols.sets.select import Select
from cryoloom.spec import Failure

COUNT = 1500


@pytest.fixture
def poses():
    return random_rotations(COUNT, np.random.default_rng(1))


def turned(poses, omega, seed=2):
    """Return poses turned by `omega` degrees about random axes."""
    axes = np.random.default_rng(seed).normal(size=(len(poses), 3))
    return rotation_from_vector(np.deg2rad(omega) * axes / np.linalg.norm(axes, axis=1, keepdims=True)) @ poses


@pytest.fixture
def aligned(tmp_path):
    """Return a maker of particles with poses."""

    def make(poses, origins=None, *, ids=None, **columns):
        rot, tilt, psi = matrix_to_euler(poses)
        origins = np.zeros((len(poses), 2)) if origins is None else origins
        ids = np.arange(len(poses)) + 7 if ids is None else ids
        items = {
            "id": ids, "micrograph_id": np.zeros(len(poses), np.int64), "x": ids * 100.0, "y": np.zeros(len(poses)),
            "optics_group": np.ones(len(poses), np.int64), "enabled": [True] * len(poses), "fail_reason": [""] * len(poses),
            "stack_path": ["particles.mrcs"] * len(poses), "stack_index": ids, "rot": rot, "tilt": tilt, "psi": psi,
            "origin_x": origins[:, 0], "origin_y": origins[:, 1],
        }  # fmt: skip
        optics = [{"optics_group": 1, "pixel_size": 2.0, "micrograph_pixel_size": 2.0}]
        return Particles(pl.DataFrame(items | columns), tmp_path, optics=optics, meta={"id_space": "one"})

    return make


def compared(job, one, two, **given):
    protocol = CompareAngles(particles=one, other=two, **given)
    assert not [hint for hint in protocol.check() if hint.error]
    return protocol, protocol.run(job)


def test_equal_and_symmetric_poses_do_not_differ(poses, aligned, checkpoint_job):
    _, out = compared(checkpoint_job(), aligned(poses), aligned(poses))
    assert out.particles.items.select(pl.col("^.*_difference.*$").exclude("angle_difference_mirror")).max().to_numpy().max() < 1e-4
    group = point_group("D3")
    mates = poses @ group.operators[np.random.default_rng(3).integers(0, group.order, COUNT)]
    for symmetry, equal in (("D3", True), ("C1", False)):
        _, out = compared(checkpoint_job(), aligned(poses), aligned(mates), symmetry=symmetry, frame="no")
        assert (out.particles.items["angle_difference"].max() < 1e-4) == equal


def test_known_turns_and_random_poses(poses):
    many = np.concatenate([poses, random_rotations(20_000, np.random.default_rng(4))])
    found = pose_differences(turned(many, 12.0), many, C1.operators)
    assert np.isclose(found.axes.mean(), 0.785 * 12.0, rtol=0.01) and np.allclose(found.geodesic, 12.0, rtol=1e-3)
    assert (found.direction <= 12.0 + 1e-9).all() and (found.psi <= 12.0 + 1e-9).all()
    again = pose_differences(turned(many, 12.0), many, C1.operators, threads=2)
    assert all(np.array_equal(getattr(again, name), getattr(found, name)) for name in vars(found))
    random = np.deg2rad(np.sort(random_differences(C1, 5).geodesic))
    steps = np.arange(1, len(random) + 1) / len(random)
    # The distribution of Kolmogorov: 1.63 / √n is passed once in a hundred.
    assert np.abs((random - np.sin(random)) / np.pi - steps).max() < 1.63 / np.sqrt(len(random))


def test_turns_in_the_plane_directions_and_opposite_views(poses):
    def about(axis, degrees):
        return rotation_from_vector(np.deg2rad(degrees) * np.eye(3)[axis])

    in_plane, tipped = (pose_differences(about(axis, 30.0) @ poses, poses, C1.operators) for axis in (2, 0))
    assert np.allclose(in_plane.psi, 30.0) and np.allclose(in_plane.direction, 0.0, atol=1e-5)
    assert np.allclose(tipped.psi, 0.0, atol=1e-6) and np.allclose(tipped.direction, 30.0)
    opposite = pose_differences(poses, np.diag([-1.0, 1.0, -1.0]) @ poses, C1.operators)
    assert np.allclose(opposite.mirror, 0.0, atol=1e-5) and np.allclose(opposite.axes, 120.0)


def test_another_frame_is_taken_out_and_told(poses, aligned, checkpoint_job):
    rng = np.random.default_rng(6)
    frame, offset = random_rotations(1, rng)[0], np.array([4.0, -7.0, 3.0])
    noisy = turned(poses, 3.0)
    noisy[:300] = random_rotations(300, rng)
    other = flip_hand(noisy @ frame.T)
    origins = rng.normal(size=(COUNT, 2)) * 5
    first, second = aligned(poses, origins), aligned(other, origins - (poses @ offset)[:, :2])
    protocol, out = compared(checkpoint_job(), first, second)
    told = out.particles.meta["frame"]
    assert told["turned"] and told["mirrored"] and told["displaced"] and np.allclose(told["offset"], offset, atol=0.05)
    assert out.particles.items["angle_difference"].median() < 3.0 and out.particles.items["shift_difference"].median() < 0.1
    rows = out.particles.items
    assert np.allclose(rows["shift_difference_px"] * 2.0, rows["shift_difference"]) and "mirrored" in protocol.summary(out)["frame"]
    _, plain = compared(checkpoint_job(), first, second, frame="no")
    assert plain.particles.items["angle_difference"].median() > 60 and plain.particles.items["shift_difference"].median() > 4
    assert len([panel.html() for panel in protocol.report(out)]) == 8 and "2" in protocol.methods(out)


def test_a_frame_that_gains_nothing_is_left(poses, aligned, checkpoint_job):
    noisy = turned(poses, 8.0)
    _, out = compared(checkpoint_job(), aligned(poses), aligned(noisy))
    assert not out.particles.meta["frame"]["turned"] and np.allclose(out.particles.items["angle_difference_geodesic"], 8.0, rtol=1e-3)
    job = checkpoint_job()
    _, out = compared(job, aligned(poses), aligned(random_rotations(COUNT, np.random.default_rng(8))))
    assert not out.particles.meta["frame"]["turned"] and "hardly anything in common" in job.warnings[0]


def test_rules_select_by_any_name(poses, aligned, checkpoint_job):
    noisy = poses.copy()
    noisy[::3] = turned(poses, 40.0)[::3]
    _, out = compared(checkpoint_job(), aligned(poses), aligned(noisy))
    for name in ("angle_difference", "angleDiff", "_xmipp_angleDiff"):
        kept = Select(items=out.particles, where=f"{name} < 10").run(checkpoint_job()).only
        assert len(kept) == COUNT - len(poses[::3])
    assert canonical_name("shiftDiff") == "shift_difference_px"


def test_particles_of_one_set_and_poses_that_are_none(poses, aligned, checkpoint_job):
    job = checkpoint_job()
    rot = matrix_to_euler(poses)[0].copy()
    rot[:2] = np.nan
    fewer = aligned(poses[10:-5], ids=np.arange(17, COUNT + 2)).with_columns(pl.DataFrame({"id": [20], "psi": [np.nan]}))
    protocol, out = compared(job, aligned(poses, rot=rot), fewer)
    assert (
        "15 particles of the first set are not in the other" in job.warnings[0]
        and "1 particles have poses that are not numbers" in job.warnings[1]
    )
    bad = out.particles.items.filter(~pl.col("enabled"))
    assert bad["id"].to_list() == [20] and bad["angle_difference"].null_count() == 1 and protocol.summary(out)["compared"] == COUNT - 16
    protocol.report(out)
    with pytest.raises(Failure, match="whole poses of 0"):
        compared(checkpoint_job(), aligned(poses, rot=np.full(COUNT, np.nan)), aligned(poses))


def test_mirrors_count_where_asked(poses, aligned, checkpoint_job):
    opposite = np.diag([-1.0, 1.0, -1.0]) @ poses
    opposite[: COUNT // 2] = poses[: COUNT // 2]
    _, out = compared(checkpoint_job(), aligned(poses), aligned(opposite), check_mirrors=True, frame="no")
    assert out.particles.items["angle_difference"].max() < 1e-4


def test_what_is_refused(poses, aligned):
    def hints(**given):
        return " | ".join(f"{hint.parameter} {hint.message}" for hint in CompareAngles(**given).check())

    strangers = aligned(poses, ids=np.arange(COUNT) + 10_000)
    assert "other have no particle in common" in hints(particles=aligned(poses), other=strangers)
    assert "no such point group" in hints(particles=aligned(poses), other=aligned(turned(poses, 1.0)), symmetry="X3")
    assert CompareAngles.inputs()["other"].json_schema_extra["columns"] == ["rot", "tilt", "psi"]
    assert np.allclose(euler_to_matrix(*matrix_to_euler(poses)), poses)
