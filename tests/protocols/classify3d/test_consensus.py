"""classify3d.consensus on classifications that are written down: chance, planted states, exact intersections, and what is refused."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes3D, Particles
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.align.contingency import Contingency
from cryoloom.numerics.align.intersections import Intersections
from cryoloom.numerics.align.merging import Tree, elbows
from cryoloom.protocols.classify3d.consensus import ClassConsensus3D

COUNT = 2000


def sets_of(root, *members, maps=True, ids=None):
    """Return particles and classes of classifications, each an array of classes from 1."""
    found = []
    for number, member in enumerate(members):
        items = {
            "id": np.arange(len(member)) + 100 if ids is None else ids[number], "micrograph_id": np.zeros(len(member), np.int64),
            "x": np.arange(len(member)) * 100.0, "y": np.zeros(len(member)), "class_id": member, "optics_group": np.ones(len(member), np.int64),
            "stack_path": ["particles.mrcs"] * len(member), "stack_index": np.arange(len(member)),
            "enabled": [True] * len(member), "fail_reason": [""] * len(member),
        }  # fmt: skip
        optics = [{"optics_group": 1, "pixel_size": 4.0, "micrograph_pixel_size": 2.0}]
        labels = np.unique(member)
        for label in labels:
            write_mrc(root / f"set{number}_class{label}.mrc", np.full((8, 8, 8), float(label), np.float32), 4.0, volume=True)
        table = {
            "id": labels, "class_id": labels, "count": [int((member == label).sum()) for label in labels],
            "volume_path": [f"set{number}_class{label}.mrc" for label in labels], "box_size": [8] * len(labels),
        }  # fmt: skip
        particles = Particles(pl.DataFrame(items), root, optics=optics, meta={"id_space": "one"})
        found.append((particles, Classes3D(pl.DataFrame(table), root, meta={"pixel_size": 4.0})))
    given = {"particles": tuple(each[0] for each in found)}
    return given | ({"classes": tuple(each[1] for each in found)} if maps else {})


def hints(protocol):
    return " | ".join(f"{hint.parameter} {hint.message}" for hint in protocol.check())


def strayed(state, rng, part, classes):
    """Return the state with a part of it drawn again."""
    return np.where(rng.random(len(state)) < part, rng.integers(1, classes + 1, len(state)), state)


@pytest.fixture
def state():
    return 1 + (np.arange(COUNT) % 2)


def test_planted_states_are_recovered_and_what_strays_is_apart(tmp_path, state, checkpoint_job):
    rng = np.random.default_rng(1)
    # The second classification calls the states otherwise and divides one of them at random.
    first = strayed(state, rng, 0.2, 2)
    second = strayed(np.where(state == 1, 3, rng.integers(1, 3, COUNT)), rng, 0.2, 3)
    protocol = ClassConsensus3D(**sets_of(tmp_path, first, second))
    assert hints(protocol) == ""
    job = checkpoint_job()
    out = protocol.run(job)
    assert not job.warnings and protocol.summary(out)["groups"] == 2 and out.particles.items["class_id"].unique().to_list() == [1, 2]
    rows = out.particles.items["id"].to_numpy() - 100
    alone = [Contingency.of(each - 1, state - 1).adjusted_rand for each in (first, second)]
    together = Contingency.of(out.particles.items["class_id"].to_numpy() - 1, state[rows] - 1).adjusted_rand
    assert together > max(alone) and len(rows) > 0.75 * COUNT
    assert sorted([*rows, *(out.unstable.items["id"].to_numpy() - 100)]) == list(range(COUNT))
    table = out.classes.items
    assert table["count"].to_list() == np.bincount(out.particles.items["class_id"])[1:].tolist() and (
        table["count"][0] >= table["count"][1]
    )
    assert (
        table["reason"].str.contains("class [123] of set [12] stands for it").all() and out.classes.file(table["volume_path"][0]).exists()
    )
    titles = {panel.title for panel in protocol.report(out) if panel.html()}
    assert {
        "Sizes of intersections",
        "Intersections",
        "Contingency of sets 1 and 2",
        "Merging",
        "Cost of merging",
        "Groups",
        "Verdict",
    } <= titles
    assert f"{len(rows)} of {COUNT} particles stayed together, in 2 groups" in protocol.methods(out)


def test_random_labels_are_no_states(tmp_path, checkpoint_job):
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        cells = Intersections.of([rng.integers(0, 3, COUNT), rng.integers(0, 2, COUNT)])
        found.append(cells.pair(0, 1).verdict == "no more than by chance")
    assert sum(found) >= 95
    rng = np.random.default_rng(1)
    protocol = ClassConsensus3D(**sets_of(tmp_path, rng.integers(1, 4, COUNT), rng.integers(1, 3, COUNT)))
    job = checkpoint_job()
    out = protocol.run(job)
    assert out.particles is None and out.classes is None and "No states found" in job.warnings[0]
    assert "no states found" in protocol.summary(out)["verdict"] and protocol.report(out)[0].level == "warning"
    forced = ClassConsensus3D(particles=protocol.particles, groups=2, keep="all").run(checkpoint_job())
    assert forced.particles.items["class_id"].n_unique() == 2 and forced.classes is None


def test_every_intersection_apart_is_plain_set_arithmetic(tmp_path, checkpoint_job):
    rng = np.random.default_rng(2)
    members = [rng.integers(1, 4, 100_000), rng.integers(1, 3, 100_000), rng.integers(1, 3, 100_000)]
    cells = Intersections.of([each - 1 for each in members])
    ids = [[set(np.flatnonzero(each == label).tolist()) for label in range(1, each.max() + 1)] for each in members]
    expected = [len(a & b & c) for a in ids[0] for b in ids[1] for c in ids[2]]
    assert cells.counts.tolist() == expected
    small = [each[:500] for each in members]
    out = ClassConsensus3D(**sets_of(tmp_path, *small), groups=0, keep="all").run(checkpoint_job())
    sizes = out.particles.items["class_id"].value_counts()["count"].to_list()
    assert sorted(sizes) == sorted(Intersections.of([each - 1 for each in small]).counts.tolist()) and out.unstable is None
    few = ClassConsensus3D(**sets_of(tmp_path, *small), groups=0, keep="all", min_class_size=max(sizes)).run(checkpoint_job())
    assert len(few.particles) == max(sizes) * sizes.count(max(sizes))


def test_cells_of_noisy_labels_have_their_expected_sizes(state):
    rng = np.random.default_rng(3)
    large = np.tile(state, 20)
    flips = [np.where(rng.random(len(large)) < 0.1, 3 - large, large) - 1 for _ in range(2)]
    counts = Intersections.of(flips).counts / len(large)
    assert np.abs(counts - np.array([0.82, 0.18, 0.18, 0.82]) / 2).max() < 0.01


def test_chance_of_three_classifications_is_that_of_drawing():
    rng = np.random.default_rng(4)
    members = [np.repeat([0, 1], [150, 250]), np.repeat([0, 1], [100, 300]), np.repeat([0, 1], [220, 180])]
    cells = Intersections.of(members)
    drawn = np.array([Intersections.of([rng.permutation(each) for each in members]).counts for _ in range(2000)])
    assert np.allclose(drawn.mean(axis=0), cells.expected, rtol=0.03) and np.allclose(drawn.var(axis=0), cells.variance, rtol=0.15)
    inside = ((drawn >= cells.band[:, 0]) & (drawn <= cells.band[:, 1])).mean(axis=0)
    assert ((inside > 0.86) & (inside < 0.98)).all()
    two = Intersections.of(members[:2])
    assert np.allclose(two.deviations, two.pair(0, 1).deviations.ravel())


def test_a_tree_is_cut_where_the_costs_rise():
    rng = np.random.default_rng(5)
    vectors = np.concatenate([np.eye(4)[group] + 0.02 * rng.random((3, 4)) for group in range(3)])
    tree = Tree.of(vectors, "cosine")
    assert tree.groups(3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and len(set(tree.groups(9))) == 9 and set(tree.groups(1)) == {0}
    assert set(elbows(tree.costs).values()) == {3} and (np.diff(tree.costs) <= 1e-12).all()
    assert Tree.of(vectors[:1], "cosine").groups(1).tolist() == [0] and elbows(Tree.of(vectors[:1], "cosine").costs) == {}


def test_selected_classes_leave_the_others_out(tmp_path, state, checkpoint_job):
    given = sets_of(tmp_path, np.where(np.arange(COUNT) < 300, 3, state), state)
    given["classes"] = (given["classes"][0].select([1, 2]), given["classes"][1])
    job = checkpoint_job()
    out = ClassConsensus3D(**given).run(job)
    assert len(out.particles) == COUNT - 300 and "300 particles of the first set are not in all others" in job.warnings[0]


def test_what_is_refused(tmp_path, state):
    given = sets_of(tmp_path, state, state)
    assert "at least two" in hints(ClassConsensus3D(particles=given["particles"][:1]))
    unclassified = Particles(given["particles"][1].items.drop("class_id"), tmp_path, meta={"id_space": "one"})
    assert "no column class_id" in hints(ClassConsensus3D(particles=(given["particles"][0], unclassified)))
    strangers = sets_of(tmp_path, state, state, ids=[np.arange(COUNT), np.arange(COUNT) + COUNT])
    assert "have no particle in common (sets 1 and 2)" in hints(ClassConsensus3D(**strangers))
    twice = sets_of(tmp_path, state, state, ids=[np.arange(COUNT), np.r_[np.arange(COUNT - 1), 0]])
    assert "name 1 ids more than once" in hints(ClassConsensus3D(**twice))
    swapped = given | {"classes": (given["classes"][0].with_columns(pl.DataFrame({"id": [1], "count": [3]})), given["classes"][1])}
    assert "class 1 counts 3 members" in hints(ClassConsensus3D(**swapped))
