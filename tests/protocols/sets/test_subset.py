"""sets.subset: exact ids of every operation, whole rows of the first set, and what is refused."""

import polars as pl
import pytest

from cryoloom.data import Coordinates
from cryoloom.protocols.sets.subset import Subset
from cryoloom.tables.storage import TableRef


def ids(out):
    return out.only.items["id"].to_list()


def short(*numbers):
    return [(m << 20) + k for m, k in numbers]


def part(dataset, *numbers):
    return dataset.select(short(*numbers))


def test_intersection_keeps_rows_columns_and_order_of_the_first(picks, stored, job, tmp_path):
    whole = picks()
    good = stored(part(whole, (3, 1), (1, 0), (2, 3)).with_columns(pl.DataFrame({"id": short((1, 0)), "class_id": [5]})))
    out = Subset(items=whole, others=(good,)).run(job)
    assert ids(out) == short((1, 0), (2, 3), (3, 1))
    assert out.particles.items.equals(whole.items.filter(pl.col("id").is_in(ids(out))))  # bit-identical, and no column of the other
    manifest = out.particles.save(tmp_path / "runs" / "r900", "particles")
    assert TableRef.from_json(manifest["table"]).base == whole.stored.base
    assert [each.name for each in (tmp_path / "runs" / "r900").iterdir()] == ["particles.ids.parquet"]


def test_meta_says_nothing_that_no_longer_holds(picks, job):
    whole = picks()
    meta = Subset(items=whole, others=(part(whole, (1, 0)),)).run(job).particles.meta
    assert "failed_micrographs" not in meta and meta["diameter"] == 150.0 and meta["id_space"] == whole.meta["id_space"]
    assert meta["selection"] == {"mode": "subset", "by": "intersection by id of 2 sets", "by_hand": False, "of": 12}


def test_difference_and_several_others(picks, job):
    whole = picks()
    left, right = part(whole, (1, 0), (1, 1), (2, 0)), part(whole, (1, 1), (2, 0), (3, 3))
    assert ids(Subset(items=whole, others=(left, right)).run(job)) == short((1, 1), (2, 0))
    without = Subset(items=whole, others=(left, right), operation="difference")
    assert set(ids(without.run(job))) == set(whole.items["id"]) - set(short((1, 0), (1, 1), (2, 0), (3, 3)))
    assert without.preview() == {"kept": 8, "of": 12, "in set 2": 3, "in set 3": 3}


def test_union_of_parts_is_an_id_list_of_their_table(picks, job):
    whole = picks()
    left, right = part(whole, (2, 0), (1, 0)), part(whole, (3, 3), (2, 0))
    protocol = Subset(items=left, others=(right,), operation="union")
    out = protocol.run(job)
    assert ids(out) == short((1, 0), (2, 0), (3, 3)) and protocol.preview()["kept"] == 3
    assert out.particles.table.base == whole.stored.base


def test_disabled_rows_of_the_others_do_not_count(picks, stored, job):
    whole = picks()
    screened = stored(whole.disable({short((1, 0))[0]: "ice"}))
    assert short((1, 0))[0] not in ids(Subset(items=whole, others=(screened,)).run(job))
    assert ids(Subset(items=whole, others=(screened,), operation="difference").run(job)) == short((1, 0))


def test_an_empty_result_is_a_warning_and_no_output(picks, job):
    whole = picks()
    protocol = Subset(items=part(whole, (1, 0)), others=(part(whole, (1, 1)),))
    out = protocol.run(job)
    assert out.named() == {} and "is empty" in job.warnings[0] and protocol.summary(out)["kept"] == 0


# -- id spaces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
def test_ids_of_different_pickings_are_refused(picks, hints, told):
    one, other = picks(told=told), picks(dx=700.0, told=told)
    said = hints(Subset(items=one, others=(other,)))
    assert "equal ids of them are not equal items" in said and "different pickings" in said


def test_pickings_without_a_common_id_are_no_picking(picks, hints):
    assert "numbered apart" in hints(Subset(items=picks((1, 2)), others=(picks((3,)),)))


def test_a_picking_that_went_on_is_the_same_picking(picks, hints, job):
    """More micrographs came: the ids of the first ones are where they were."""
    before, after = picks((1, 2)), picks((1, 2, 3, 4))
    assert hints(Subset(items=after, others=(before,))) == "" and len(Subset(items=after, others=(before,)).run(job).particles) == 8
    one_off = after.items.with_columns(x=pl.when(pl.col("id") == short((2, 1))[0]).then(9000.0).otherwise("x"))
    moved = type(after)(one_off, after.root, optics=after.optics, meta=after.meta)
    assert "1 of their 8 common ids lie at other places" in hints(Subset(items=moved, others=(before,)))


def test_the_same_picking_is_known_by_places_where_a_set_was_passed_on_by_another_program(picks, hints, job):
    ours = picks()
    recentred = picks(dx=12.0, told=False, more=[pl.col("x") / 1.0])
    assert hints(Subset(items=ours, others=(recentred,))) == ""
    binned = picks(told=False, more=[pl.col("x") / 2, pl.col("y") / 2], micrograph_pixel_size=None)
    assert hints(Subset(items=ours, others=(binned,))) == ""
    assert len(Subset(items=ours, others=(binned,)).run(job).particles) == 12


def test_bare_ids_are_taken_on_trust_and_that_is_said(picks, job):
    whole = picks(told=False)
    bare = type(whole)(whole.items.drop("x", "y").with_columns(stack_path=pl.lit("b.mrcs")), whole.root, optics=whole.optics)
    protocol = Subset(items=whole, others=(part(bare, (1, 0)),))
    advice = list(protocol.check())
    assert [hint.error for hint in advice] == [False] and "on trust" in advice[0].message and len(protocol.run(job).particles) == 1


def test_particles_and_coordinates_share_ids(picks, hints, job):
    particles, coordinates = picks(), picks(kind=Coordinates, told=False)
    protocol = Subset(items=particles, others=(part(coordinates, (2, 2)),))
    assert hints(protocol) == "" and ids(protocol.run(job)) == short((2, 2))


def test_other_kinds_are_refused_with_the_way_that_there_is(picks, micrographs, hints):
    said = hints(Subset(items=picks(), others=(micrographs(),)))
    assert "ids of micrographs are not ids of particles" in said and "match micrograph" in said
    assert "different kinds, particles and micrographs" in hints(Subset(items=picks(), others=(micrographs(),), operation="union"))
    assert "sets.join" in hints(Subset(items=picks(), others=(picks(),), operation="union", match="class"))


def test_micrographs_of_two_imports_are_told_apart_by_name(micrographs, hints):
    said = hints(Subset(items=micrographs(session="a"), others=(micrographs(session="b"),)))
    assert "id 1 is of a1 in one and of b1 in the other" in said


# -- by micrograph, class and position --------------------------------------------------------------------------


def test_particles_of_micrographs_and_the_reverse(picks, micrographs, hints, job):
    particles, good = picks(), micrographs((2, 3), bad=(3,))
    protocol = Subset(items=particles, others=(good,), match="micrograph")
    assert hints(protocol) == "" and ids(protocol.run(job)) == short(*((2, k) for k in range(4)))
    assert len(Subset(items=particles, others=(good,), match="micrograph", operation="difference").run(job).particles) == 8
    held = Subset(items=micrographs(), others=(part(particles, (1, 0), (3, 1)),), match="micrograph")
    assert held.run(job).micrographs.items["id"].to_list() == [1, 3]


def test_micrographs_imported_again_are_matched_by_name(picks, micrographs, job):
    again = micrographs((7, 8), session="s")
    rows = again.items.with_columns(micrograph_name=pl.Series(["s2", "s9"]))
    moved = type(again)(rows, again.root, optics=again.optics)
    assert set(Subset(items=picks(), others=(moved,), match="micrograph").run(job).particles.items["micrograph_id"]) == {2}


def test_by_class(picks, job, hints):
    labelled = picks(more=[(pl.int_range(pl.len()) % 3 + 1).alias("class_id")])
    one = labelled.select(labelled.items.filter(pl.col("class_id") == 2)["id"].head(1))
    assert set(Subset(items=labelled, others=(one,), match="class").run(job).particles.items["class_id"]) == {2}
    assert "particles without class_id have no class" in hints(Subset(items=picks(), others=(one,), match="class"))


def test_pickings_compared_by_position(picks, hints, job):
    one, other = picks(kind=Coordinates), picks(kind=Coordinates, dx=18.0, session="s")
    kept = Subset(items=one, others=(part(other, (1, 1), (2, 2)),), match="position", radius=20.0)
    assert hints(kept) == "" and ids(kept.run(job)) == short((1, 1), (2, 2))
    assert Subset(items=one, others=(other,), match="position", radius=15.0).run(job).named() == {}
    assert len(Subset(items=one, others=(other,), match="position", radius=15.0, operation="difference").run(job).coordinates) == 12
    assert "radius must be above 0" in hints(Subset(items=one, others=(other,), match="position"))
    blind = picks(micrograph_pixel_size=None)
    assert "pixel size of their micrographs" in hints(Subset(items=one, others=(blind,), match="position", radius=9.0))


# -- at random --------------------------------------------------------------------------------------------------


def test_random_parts_follow_the_seed_and_are_nested(picks, job):
    whole = picks(each=50)

    def drawn(count, seed):
        job.seed = seed
        return ids(Subset(items=whole, random=True, count=count).run(job))

    assert drawn(40, 1) == drawn(40, 1) != drawn(40, 2)
    assert set(drawn(20, 1)) < set(drawn(40, 1)) and drawn(40, 1) == sorted(drawn(40, 1)) and len(drawn(40, 1)) == 40
    assert len(Subset(items=whole, random=True, fraction=0.1).run(job).particles) == 15
    some = whole.select(whole.items["id"].head(60))
    assert set(ids(Subset(items=whole, others=(some,), random=True, count=9).run(job))) < set(some.items["id"])


def test_more_than_there_are_is_refused_and_disabled_rows_are_not_drawn(picks, stored, hints, job):
    whole = picks()
    eleven = stored(whole.disable({short((1, 0))[0]: "ice"}))
    assert "count is 12, but there are only 11 enabled rows" in hints(Subset(items=eleven, random=True, count=12))
    assert hints(Subset(items=eleven, random=True, count=11)) == ""
    assert short((1, 0))[0] not in ids(Subset(items=eleven, random=True, count=11).run(job))
    assert Subset(items=eleven, random=True, fraction=0.5).preview()["kept"] == 6


def test_incomplete_forms(picks, hints):
    whole = picks()
    assert "others is empty" in hints(Subset(items=whole))
    assert "count or fraction" in hints(Subset(items=whole, random=True))
    assert "not both" in hints(Subset(items=whole, random=True, count=3, fraction=0.5))
    assert Subset(items=whole, operation=1).operation == "difference"  # as Scipion's form numbers them
