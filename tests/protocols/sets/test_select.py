"""sets.select: by rule, by class, by hand; automatically, where particles go with their class, for their match, and as duplicates."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes2D, Particles, Volume
from cryoloom.formats.stack import write_stack
from cryoloom.protocols.sets.select import Select
from cryoloom.spec import Failure

COUNT = 200


@pytest.fixture
def classified(tmp_path):
    """Return 200 particles in three classes, the third bad, and the classes: bad matches and pairs are planted."""
    rng = np.random.default_rng(1)
    match = rng.normal(1.0, 0.08, COUNT)
    match[:20] = 0.5
    x, y = rng.permutation(COUNT) * 20.0, np.zeros(COUNT)
    # 100 and 101 are one particle, picked twice 60 px apart and moved to one place; 102 and 103 lie as near, each in its own micrograph.
    x[100:104] = 5000.0, 5060.0, 6000.0, 6000.0
    origin = np.zeros(COUNT)
    origin[100], origin[101] = -60.0, 60.0
    match[100], match[101] = 0.9, 1.1
    micrograph = np.zeros(COUNT, np.int64)
    micrograph[103] = 1
    items = pl.DataFrame(
        {
            "id": np.arange(COUNT) + 10, "micrograph_id": micrograph, "x": x, "y": y, "origin_x": origin, "origin_y": np.zeros(COUNT),
            "class_id": np.where(np.arange(COUNT) < 180, 1 + np.arange(COUNT) % 2, 3), "match": match, "enabled": np.arange(COUNT) != 150,
            "optics_group": np.ones(COUNT, np.int64), "stack_path": ["particles.mrcs"] * COUNT, "stack_index": np.arange(COUNT),
        }
    )  # fmt: skip
    write_stack(tmp_path / "averages.mrcs", np.zeros((3, 32, 32), np.float32), 4.0)
    classes = pl.DataFrame(
        {
            "id": [1, 2, 3], "class_id": [1, 2, 3], "count": [90, 90, 20], "quality": [1.0, 0.9, 0.1],
            "stack_path": ["averages.mrcs"] * 3, "stack_index": [0, 1, 2],
        }
    )  # fmt: skip
    optics = [{"optics_group": 1, "pixel_size": 4.0, "micrograph_pixel_size": 2.0}]
    return Particles(items, tmp_path, optics=optics), Classes2D(classes, tmp_path)


def test_what_goes_and_why(classified, checkpoint_job):
    particles, classes = classified
    protocol = Select(items=particles, classes=classes, mode="auto")
    out = protocol.run(checkpoint_job())
    kept = set(out.particles.items["id"] - 10)
    assert kept == set(range(20, 180)) - {100, 150}  # 100 is the poorer of the pair, 150 is disabled.
    told = protocol.summary(out)
    assert told["selected"] == 158
    assert told["dropped with their class"] == 20
    assert told["dropped for match"] == "20 below 0.75"
    assert told["dropped as duplicates"] == 1
    histogram = next(panel for panel in protocol.report(out) if panel.title.startswith("Match"))
    assert list(histogram.marks.values()) == [0.75] and len(histogram.values) == 179


def test_the_reason_stands_beside_each_class(classified, checkpoint_job):
    particles, classes = classified
    scored = Classes2D(classes.items.with_columns(quality_compact=pl.Series([1.0, 0.95, 0.1])), classes.root)
    protocol = Select(items=scored, mode="auto")
    out = protocol.run(checkpoint_job())
    assert out.classes.items["reason"].to_list() == ["kept", "kept"]
    why = next(panel for panel in protocol.report(out) if panel.title == "Why").columns
    assert why["why"] == ["kept", "kept", "spread out: several particles, an edge or noise (compact 0.10)"]
    by_class = next(panel for panel in Select(items=particles, classes=scored, mode="auto").report(out) if panel.title == "Why")
    assert by_class.columns == why


def test_each_can_be_turned_off(classified, checkpoint_job):
    particles, classes = classified
    everything = Select(items=particles, classes=classes, mode="auto", min_match=0.0, min_separation=0.0, min_quality=0.0)
    assert len(everything.run(checkpoint_job()).particles) == COUNT - 1


def test_classes_of_other_programs_are_enough(classified, checkpoint_job):
    particles, classes = classified
    without = Particles(particles.items.drop("match"), particles.root, optics=particles.optics)
    protocol = Select(items=without, classes=classes, mode="auto")
    out = protocol.run(checkpoint_job())
    assert len(out.particles) == 179
    assert "dropped for match" not in protocol.summary(out)


# -- by rule and by class ---------------------------------------------------------------------------------------


def test_a_rule_reads_optics_too_and_says_what_it_would_keep(picks, job, hints):
    whole = picks()
    protocol = Select(items=whole, where="rlnAutopickFigureOfMerit >= 0.5 and voltage = 300 and micrograph_name <> 's2'")
    assert hints(protocol) == "" and protocol.preview() == {"kept": 4, "of": 12}
    assert "items" not in whole.__dict__, "no more than the rule's columns is read"
    out = protocol.run(job).particles
    assert sorted(out.items["micrograph_id"].unique()) == [1, 3] and out.meta["selection"]["by"] == protocol.where
    assert out.meta["selection"]["by_hand"] is False and "failed_micrographs" not in out.meta
    assert "there is no column 'scor'" in hints(Select(items=whole, where="scor > 1"))


def test_a_map_keeps_what_refinement_goes_on_with(tmp_path, job):
    meta = {"pixel_size": 2.0, "halves": "abc", "resolution": 7.0, "batches": [1, 2]}
    maps = Volume(pl.DataFrame({"id": [1], "volume_path": ["a.mrc"], "box_size": [64]}), tmp_path, meta=meta)
    kept = Select(items=maps, where="box_size = 64").run(job).volume.meta
    assert {name: kept.get(name) for name in meta} == meta | {"batches": None}


def test_nothing_selected(picks, job):
    out = Select(items=picks(), where="score > 7").run(job)
    assert out.named() == {} and "Nothing was selected from 12 rows" in job.warnings[0]


def test_the_particles_of_a_set_of_classes(classified, job, hints):
    particles, classes = classified
    two = classes.select([1, 3])
    every = Select(items=particles, classes=two, mode="classes")
    assert hints(every) == "" and set(every.run(job).particles.items["class_id"]) == {1, 3}
    one = Select(items=particles, classes=classes, mode="classes", ids=[3])
    assert set(one.run(job).particles.items["class_id"]) == {3} and one.summary(one.run(job))["chosen"] == "by hand"
    with pytest.raises(Failure, match="classes that are not there: 2"):
        Select(items=particles, classes=two, mode="classes", ids=[2]).run(job)


def test_classes_of_another_classification_are_refused(classified, hints):
    particles, classes = classified
    other = Classes2D(classes.items.with_columns(count=pl.Series([150, 30, 20])), classes.root)
    said = hints(Select(items=particles, classes=other, mode="classes"))
    assert "are not those of these particles: class 2 counts 30 members" in said
    assert "no column class_id" in hints(
        Select(items=Particles(particles.items.drop("class_id"), particles.root), classes=other, mode="auto")
    )


# -- by hand ----------------------------------------------------------------------------------------------------


def test_ids_by_hand_are_flagged_and_must_be_there(picks, job, hints):
    whole = picks()
    first = whole.items["id"][0]
    protocol = Select(items=whole, mode="ids", ids=[f"{first}-{first + 2}"])
    out = protocol.run(job)
    assert out.particles.items["id"].to_list() == [first, first + 1, first + 2]
    assert out.particles.meta["selection"]["by_hand"] and protocol.summary(out)["chosen"] == "by hand"
    assert "ids names rows that are not there: 7; there are 1048576 to" in hints(Select(items=whole, mode="ids", ids=[7]))
    with pytest.raises(Failure, match="rows that are not there: 7"):
        Select(items=whole, mode="ids", ids=[7]).run(job)


def test_a_selection_by_hand_is_stale_on_other_content(picks, job, hints):
    whole = picks()
    chosen = Select(items=whole, mode="ids", ids=whole.items["id"].head(2).to_list())
    again = Select(items=picks(), **chosen.parameter_values())  # the run is replayed on a parent that came out the same
    assert hints(again) == "" and len(again.run(job).particles) == 2
    other = picks(more=[pl.col("score") + 0.01])
    replayed = Select(items=other, **chosen.parameter_values())
    assert "ids is stale" in hints(replayed) and all(not hint.error for hint in replayed.check())
    with pytest.raises(Failure, match="selection made by hand is stale: its 2 ids were chosen from particles of other content") as caught:
        replayed.run(job)
    assert caught.value.code == "needs-you"
    anew = Select(items=other, **{**chosen.parameter_values(), "ids": [other.items["id"][5]]})  # the owner has chosen again
    assert hints(anew) == "" and len(anew.run(job).particles) == 1
    forced = Select(items=other, **{**chosen.parameter_values(), "chosen_from": "any"})
    assert len(forced.run(job).particles) == 2


def test_classes_chosen_by_hand_are_stale_after_another_classification(classified, job):
    particles, classes = classified
    chosen = Select(items=particles, classes=classes, mode="classes", ids=[1])
    rerun = Classes2D(classes.items.with_columns(quality=pl.Series([0.2, 0.9, 1.0])), classes.root)
    with pytest.raises(Failure, match="1 ids were chosen from classes2d of other content"):
        Select(items=particles, classes=rerun, **chosen.parameter_values()).run(job)
    assert (
        len(Select(items=particles.select(particles.items["id"].head(50)), classes=classes, **chosen.parameter_values()).run(job).particles)
        == 25
    )


def test_ids_listed_before_their_set_was_there_are_not_applied(picks, job):
    from cryoloom.app.forms import without_inputs

    ahead = without_inputs(Select, {"mode": "ids", "ids": [1 << 20]}).parameter_values()
    with pytest.raises(Failure, match="listed before the particles were there"):
        Select(items=picks(), **ahead).run(job)
    assert len(Select(items=picks(), **{**ahead, "chosen_from": ""}).run(job).particles) == 1
    assert without_inputs(Select, {"where": "score > 1"}).parameter_values()["chosen_from"] == ""


def test_an_earlier_choice_leaves_no_counts_behind(classified, checkpoint_job, job):
    particles, classes = classified
    first = Select(items=particles, classes=classes, mode="auto").run(checkpoint_job()).particles
    assert first.meta["selection"]["dropped_by_match"] == 20
    assert set(Select(items=first, where="match > 1").run(job).particles.meta["selection"]) == {"mode", "by", "by_hand", "of"}
