"""classify2d.consensus on classifications that are written down: what is kept and why, what is left out, and what is refused."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes2D, Particles
from cryoloom.formats.stack import write_stack
from cryoloom.protocols.classify2d.consensus import ClassConsensus

COUNT, VIEWS, BAD = 2000, 4, 2
OPTICS = [{"optics_group": 1, "pixel_size": 4.0, "micrograph_pixel_size": 2.0}]


@pytest.fixture
def truth():
    return np.random.default_rng(1).random(COUNT) > 0.2


@pytest.fixture
def classified(tmp_path, truth):
    """Return a maker of a classification: particles and classes. Classes 5 and 6 are bad; parts of the junk and of the particles go astray."""

    def make(seed, *, name="a", stray=0.25, astray=0.02, box=32, **more):
        rng = np.random.default_rng((seed, 7))
        wrong = rng.random(COUNT) < np.where(truth, astray, stray)
        in_view = truth != wrong
        number = np.where(in_view, 1 + (np.arange(COUNT) + seed * wrong) % VIEWS, VIEWS + 1 + rng.integers(0, BAD, COUNT))
        items = {
            "id": np.arange(COUNT) + 100, "micrograph_id": np.zeros(COUNT, np.int64), "x": np.arange(COUNT) * 100.0, "y": np.zeros(COUNT),
            "class_id": number, "enabled": np.ones(COUNT, bool), "fail_reason": [""] * COUNT, "optics_group": np.ones(COUNT, np.int64),
            "stack_path": ["particles.mrcs"] * COUNT, "stack_index": np.arange(COUNT),
            "match": np.where(truth, rng.normal(1.0, 0.12, COUNT), rng.normal(0.75, 0.25, COUNT)),
        }  # fmt: skip
        write_stack(tmp_path / f"{name}.mrcs", np.ones((VIEWS + BAD, box, box), np.float32), 4.0)
        numbers = np.arange(1, VIEWS + BAD + 1)
        classes = {
            "id": numbers, "class_id": numbers, "count": np.bincount(number, minlength=VIEWS + BAD + 1)[1:],
            "quality": [1.0] * VIEWS + [0.0] * BAD, "stack_path": [f"{name}.mrcs"] * len(numbers), "stack_index": numbers - 1,
        }  # fmt: skip
        return (
            Particles(pl.DataFrame(items | more), tmp_path, optics=OPTICS, meta={"id_space": "one"}),
            Classes2D(pl.DataFrame(classes), tmp_path),
        )

    return make


def both(*sets, **given):
    return ClassConsensus(particles=tuple(each[0] for each in sets), classes=tuple(each[1] for each in sets), **given)


def hints(protocol):
    return " | ".join(f"{hint.parameter} {hint.message}" for hint in protocol.check())


def rows(part):
    return part.items["id"].to_numpy() - 100


def test_what_is_kept_is_purer_than_either_alone(classified, truth, checkpoint_job):
    sets = classified(1, name="a"), classified(2, name="b")
    protocol = both(*sets)
    assert hints(protocol) == ""
    out = protocol.run(checkpoint_job())
    kept, rejected = rows(out.particles), rows(out.rejected)
    assert sorted([*kept, *rejected]) == list(range(COUNT))
    alone = [particles.items["class_id"].to_numpy() <= VIEWS for particles, _ in sets]
    assert truth[kept].mean() > max(truth[each].mean() for each in alone) + 0.02 and np.isin(np.flatnonzero(truth), kept).mean() > 0.95
    table = out.particles.items
    assert (table["junk_score"] <= 0.5).all() and table["class_ids"].to_list()[0] == [
        each[0].items["class_id"][int(kept[0])] for each in sets
    ]
    assert table["class_junk"].list.len().unique().to_list() == [2] and table["class_id"].equals(sets[0][0].items["class_id"].gather(kept))


def test_rejected_ones_are_disabled_and_say_why(classified, truth, checkpoint_job):
    out = both(classified(1, name="a"), classified(2, name="b")).run(checkpoint_job())
    assert not out.rejected.items["enabled"].any() and out.particles.items["enabled"].all()
    reasons = out.rejected.items["fail_reason"]
    assert reasons.str.starts_with("junk score").all() and reasons.str.contains("holds [0-9]+ % junk").mean() > 0.8
    assert reasons.str.contains("unlike its class average in set").any()
    assert out.classes.items["class_id"].to_list() == [1, 2, 3, 4] and out.classes.items["reason"].str.starts_with("good: ").all()
    in_them = out.particles.items["class_id"].is_in([1, 2, 3, 4])
    assert out.classes.items["agreed"].sum() == in_them.sum() > 0.95 * len(out.particles)


def test_the_report_tells_agreement_and_chance(classified, checkpoint_job):
    protocol = both(classified(1, name="a"), classified(2, name="b"))
    out = protocol.run(checkpoint_job())
    panels = {panel.title: panel for panel in protocol.report(out) if panel.html()}
    called = panels["Who calls what good"].columns
    assert called["good by"] == ["set 1, set 2", "set 1", "set 2", "none"] and sum(called["particles"]) == COUNT
    assert called["particles"][0] > called["by chance"][0] and sum(called["kept"]) == len(out.particles)
    common = panels["Classes in common of sets 1 and 2"].columns
    assert set(zip(common["class of set 1"][:4], common["class of set 2"][:4], strict=True)) == {(n, n) for n in range(1, 5)}
    assert all(float(each) < 1e-10 for each in common["probability"][:4])
    assert panels["Class averages of set 1"].good == [True] * VIEWS + [False] * BAD
    told = protocol.summary(out)
    assert told["in common"] == COUNT and told["kept"] + told["rejected"] == COUNT and "agree" in told["classes of sets 1 and 2"]
    assert f"{len(out.particles)} of {COUNT} particles were kept" in protocol.methods(out)


def test_votes_keep_what_all_call_good(classified, checkpoint_job):
    sets = classified(1, name="a"), classified(2, name="b"), classified(3, name="c")
    out = both(*sets, by="votes").run(checkpoint_job())
    assert (out.particles.items["good_votes"] == 3).all() and (out.rejected.items["good_votes"] < 3).all()
    assert out.rejected.items["fail_reason"].str.starts_with("called good by").all()
    two = both(*sets, by="votes", votes=2).run(checkpoint_job())
    assert len(two.particles) > len(out.particles) and "4 are more" not in hints(both(*sets, by="votes", votes=3))
    assert "are more than the 3 classifications" in hints(both(*sets, by="votes", votes=4))


def test_other_programs_need_neither_match_nor_classes(classified, truth, checkpoint_job):
    one, (particles, _) = classified(1, name="a"), classified(2, name="b")
    likelihood = pl.Series("log_likelihood", np.where(truth, 1000.0, 990.0) + np.random.default_rng(3).normal(0, 3, COUNT))
    other = Particles(particles.items.drop("match").with_columns(likelihood), particles.root, optics=OPTICS, meta=particles.meta)
    protocol = ClassConsensus(particles=(one[0], other), classes=(one[1],))
    assert hints(protocol) == ""
    out = protocol.run(checkpoint_job())
    assert truth[rows(out.particles)].mean() > 0.97
    protocol.report(out)


def test_cores_and_misfits_of_hierarchical_classes_count(classified, truth, checkpoint_job):
    rng = np.random.default_rng(4)
    misfit = np.where(truth, np.abs(rng.normal(0, 1, COUNT)), rng.uniform(2, 8, COUNT))
    one, two = classified(1, name="a", stray=0.6), classified(2, name="b", stray=0.6, junk_z=misfit, core=misfit < 3)
    blind = classified(2, name="b", stray=0.6)
    precisions = [truth[rows(both(one, each).run(checkpoint_job()).particles)].mean() for each in (two, blind)]
    assert precisions[0] > precisions[1] + 0.015
    votes = both(one, two).run(checkpoint_job())
    table = pl.concat([part.items for part in (votes.particles, votes.rejected)]).sort("id")
    assert (table["good_votes"].to_numpy()[misfit >= 3] <= 1).all()


def test_columns_passed_on_from_an_earlier_classification_count_once(classified, checkpoint_job):
    rng = np.random.default_rng(5)
    old = {"junk_z": np.abs(rng.normal(0, 1, COUNT)), "core": rng.random(COUNT) < 0.9}
    one, two = classified(1, name="a", **old), classified(2, name="b", **old)
    protocol = both(one, two)
    assert [name for name in protocol._common.columns if name.startswith(("junk_z", "core"))] == ["junk_z_0", "core_0"]
    assert {"match_0", "match_1"} <= set(protocol._common.columns)
    scores = [each.run(checkpoint_job()).particles.items["junk_score"] for each in (protocol, both(one, classified(2, name="b")))]
    assert scores[0].equals(scores[1])


def test_particles_in_no_class_and_in_one_set_only(classified, checkpoint_job):
    (first, classes), two = classified(1, name="a"), classified(2, name="b")
    lost = first.items.with_columns(class_id=pl.when(pl.col("id") < 110).then(0).otherwise("class_id"))
    job = checkpoint_job()
    some = two[0].select(two[0].items["id"].slice(0, COUNT - 50))
    out = both((Particles(lost, first.root, optics=OPTICS, meta=first.meta), classes), (some, two[1])).run(job)
    assert any("50 particles of the first set are not in all others" in each for each in job.warnings)
    assert len(out.particles) + len(out.rejected) == COUNT - 50
    unplaced = pl.concat([part.items for part in (out.particles, out.rejected)]).filter(pl.col("id") < 110)
    assert unplaced["class_junk"].list.first().min() > 0.5


def test_classes_chosen_by_hand_say_which_are_good(classified, checkpoint_job):
    one, two = classified(1, name="a"), classified(2, name="b")
    chosen = tuple((particles, classes.select([1, 2])) for particles, classes in (one, two))
    out = both(*chosen, by="votes").run(checkpoint_job())
    assert set(out.particles.items["class_id"]) == {1, 2} and out.classes.items["class_id"].to_list() == [1, 2]


def test_nothing_kept_is_said(classified, checkpoint_job):
    job = checkpoint_job()
    protocol = both(classified(1, name="a"), classified(2, name="b"), max_junk=0.0)
    out = protocol.run(job)
    assert out.particles is None and out.classes is None and len(out.rejected) == COUNT
    assert any("No particle is kept" in each for each in job.warnings)
    assert protocol.summary(out)["kept"] == 0 and protocol.report(out)


def test_the_same_bits_again(classified, checkpoint_job):
    sets = classified(1, name="a"), classified(2, name="b")
    hashes = []
    for name, threads in (("r001", 1), ("r002", 2)):
        job = checkpoint_job(name, threads=threads)
        out = both(*sets).run(job)
        hashes.append([pl.DataFrame(part.items).hash_rows().sum() for part in (out.particles, out.rejected, out.classes)])
    assert hashes[0] == hashes[1]


def test_what_cannot_be_compared_is_refused(classified, checkpoint_job):
    one, two = classified(1, name="a"), classified(2, name="b", box=48)
    assert "are of one classification" in hints(both(one))
    strangers = Particles(two[0].items.with_columns(id=pl.col("id") + 10_000), two[0].root, optics=OPTICS, meta=two[0].meta)
    assert "have no particle in common (sets 1 and 2)" in hints(both(one, (strangers, two[1])))
    moved = Particles(two[0].items.with_columns(x=pl.col("x") + 5000.0), two[0].root, optics=OPTICS, meta={"id_space": "other"})
    assert "are not the same ones (sets 1 and 2)" in hints(both(one, (moved, two[1])))
    bare = Particles(two[0].items.drop("class_id"), two[0].root, optics=OPTICS, meta=two[0].meta)
    assert "(set 2) have no column class_id" in hints(both(one, (bare, two[1])))
    unjudged = Classes2D(one[1].items.drop("quality"), one[1].root)
    assert "of one classification at least it must be known which classes are good" in hints(both((one[0], unjudged), (two[0], unjudged)))
    swapped = hints(ClassConsensus(particles=(one[0], two[0]), classes=(two[1], one[1])))
    assert "are not those of these particles" in swapped and "in the order of the particles" in swapped
    three = hints(ClassConsensus(particles=(one[0], two[0]), classes=(one[1], two[1], one[1])))
    assert "are of 3 classifications, the particles of 2" in three
    mixed = Classes2D(
        one[1].items.with_columns(stack_path=pl.when(pl.col("id") == 1).then(pl.lit("b.mrcs")).otherwise("stack_path")), one[1].root
    )
    assert "hold averages of 32 px and 48 px" in hints(both((one[0], mixed), two))


def test_one_classification_twice_agrees_with_itself(classified, tmp_path):
    particles, classes = classified(1)
    stored = Particles.load(particles.save(tmp_path, "stored"), tmp_path)
    assert "hold one set twice" in hints(both((stored, classes), (stored, classes)))
