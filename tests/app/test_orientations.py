import numpy as np
import polars as pl
import pytest
from planted import publish

from cryoloom.app.orientations import orientations
from cryoloom.app.session import create_project
from cryoloom.data import Particles
from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.spec import WrongUse


@pytest.fixture
def project(tmp_path):
    return create_project(tmp_path / "project")


def seen_from(project, rot, tilt, **columns):
    """Return a set of particles with these views."""
    count = len(rot)
    rows = {
        "id": range(1, count + 1), "micrograph_id": [1] * count, "stack_path": ["data/p.mrcs"] * count, "stack_index": range(count),
        "optics_group": [1] * count, "rot": rot, "tilt": tilt, **columns,
    }  # fmt: skip
    frame = pl.DataFrame({name: list(values) for name, values in rows.items()}, strict=False)
    return publish(project, Particles(frame, project.root, optics=[{"optics_group": 1, "pixel_size": 1.0}]), "refine.auto")


def random_views(count, seed):
    rot, tilt, _ = matrix_to_euler(random_rotations(count, np.random.default_rng(seed)))
    return rot, tilt


def test_even_views_give_even_counts(project):
    """Poisson counts: their variance is their mean."""
    found = orientations(seen_from(project, *random_views(40_000, 1)), side=5.0)
    mean = found.counts.mean()
    assert found.counts.sum() == found.particles == 40_000
    assert found.counts.var() / mean == pytest.approx(1.0, abs=0.15)
    assert found.coverage > 0.99


@pytest.mark.parametrize(("rot", "tilt"), [(0.0, 0.0), (30.0, 60.0), (-170.0, 95.0), (400.0, 60.0), (10.0, -60.0), (5.0, 180.0)])
def test_a_known_view_lies_in_its_cell(project, rot, tilt):
    """The cell whose centre is nearest to the third row of RELION's matrix, or one beside it."""
    found = orientations(seen_from(project, [rot], [tilt]), side=5.0)
    (cell,) = np.flatnonzero(found.counts)
    view = euler_to_matrix(np.array(rot), np.array(tilt), np.array(77.0))[2]
    assert np.rad2deg(np.arccos(found.cells.centres[cell] @ view)) < 4.5
    assert found.coverage < 0.15


@pytest.mark.parametrize("name", ["C4", "D3", "O", "I"])
def test_views_are_spread_over_all_that_are_equal(project, name):
    group = point_group(name)
    output = seen_from(project, [33.0], [51.0])
    found = orientations(output, symmetry=name, side=2.5)
    mates = group.mates(euler_to_matrix(np.array(33.0), np.array(51.0), np.array(0.0)))[:, 2]
    assert (found.counts == np.bincount(found.cells.of(mates), minlength=found.cells.count)).all()
    assert found.counts.sum() == group.order and found.symmetry == group.name
    folded = orientations(output, symmetry=name, side=2.5, spread="unit")
    (cell,) = np.flatnonzero(folded.counts)
    assert folded.counts.sum() == 1 and group.in_unit(folded.cells.centres[cell], margin=2.5)
    assert folded.coverage == found.coverage


def test_equal_views_fold_onto_one(project):
    """All mates of a view lie in one cell of the unit."""
    group = point_group("D7")
    rot, tilt, _ = matrix_to_euler(group.mates(euler_to_matrix(np.array(11.0), np.array(40.0), np.array(9.0))))
    found = orientations(seen_from(project, rot, tilt), symmetry="D7", spread="unit", side=5.0)
    assert found.counts.max() == 14


def test_a_part_of_the_particles(project):
    rot, tilt = random_views(100, 2)
    output = seen_from(project, rot, tilt, half_set=[1, 2] * 50, class_id=[1] * 30 + [2] * 70, enabled=[True] * 90 + [False] * 10)
    assert orientations(output).parts == {"half_set": [1, 2], "class_id": [1, 2]}
    assert orientations(output).particles == 90
    assert orientations(output, where="half_set == 1").particles == 45
    assert orientations(output, where="class_id == 2 and half_set == 2").particles == 30


def test_cells_are_as_coarse_as_particles_are_few(project):
    few, many = (orientations(seen_from(project, *random_views(count, 3))) for count in (300, 60_000))
    assert few.side == 10.0 and many.side == 2.5


def test_particles_without_a_view_are_left_out(project):
    found = orientations(seen_from(project, [10.0, None, float("nan")], [20.0, 20.0, 20.0]))
    assert found.particles == 1
    assert orientations(seen_from(project, [None], [None])).counts.sum() == 0


def test_what_cannot_be_told_says_why(project):
    output = seen_from(project, [0.0], [0.0])
    rows = output.dataset.items.drop("rot", "tilt")
    bare = publish(project, Particles(rows, project.root, optics=output.optics), "particles.extract")
    for wrong, code in ((lambda: orientations(bare), "no-angles"), (lambda: orientations(output, symmetry="X3"), "unknown-symmetry"),
                        (lambda: orientations(output, side=0.1), "bad-cells")):  # fmt: skip
        with pytest.raises(WrongUse) as problem:
            wrong()
        assert problem.value.code == code
