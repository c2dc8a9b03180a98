"""sets.join: each item once, optics groups by what they say, ids that mean other items refused or given anew."""

import polars as pl
import pytest

from cryoloom.data import Movies, OneSet, Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.sets.join import Join
from cryoloom.tables.storage import TableRef


def short(*numbers):
    return [(m << 20) + k for m, k in numbers]


def files(dataset, tmp_path):
    """Return the manifest's table of a saved set, and what was written for it."""
    table = TableRef.from_json(dataset.save(tmp_path / "runs" / "r900", "particles")["table"])
    return table, sorted(path.name for path in (tmp_path / "runs" / "r900").iterdir())


def test_parts_of_one_set_join_without_new_rows(picks, job, tmp_path):
    whole = picks()
    left, right = whole.select(short((1, 0), (2, 1))), whole.select(short((2, 1), (3, 0)))
    protocol = Join(items=(left, right))
    out = protocol.run(job)
    assert out.particles.items["id"].to_list() == short((1, 0), (2, 1), (3, 0))
    assert protocol.summary(out)["in several sets"] == 1 and protocol.preview() == {"kept": 3, "of": 4, "in several sets": 1}
    table, written = files(out.particles, tmp_path)
    assert table.base == whole.stored.base and written == ["particles.ids.parquet"]


def test_halves_of_a_set_make_it_whole_again(picks, job):
    whole = picks()
    out = Join(items=(whole.select(whole.items["id"].head(5)), whole.select(whole.items["id"].tail(7)))).run(job)
    assert out.particles.items.equals(whole.items) and out.particles.optics == whole.optics


def test_tables_of_their_own_ids_lie_beside_each_other(picks, job, tmp_path):
    first, second = picks((1, 2), cs=2.7), picks((3,), cs=1.4)
    out = Join(items=(first, second)).run(job).particles
    assert out.items["id"].to_list() == [*first.items["id"], *second.items["id"]]
    assert [(group["optics_group"], group["cs"], group["optics_group_name"]) for group in out.optics] == [
        (1, 2.7, "opticsGroup1"),
        (2, 1.4, "opticsGroup2"),
    ]
    assert out.to_polars().select("micrograph_id", "cs").unique().sort("micrograph_id").rows() == [(1, 2.7), (2, 2.7), (3, 1.4)]
    table, written = files(out, tmp_path)
    assert table.base == first.stored.base + second.stored.base and written == ["particles.columns1.parquet"]
    again = type(out).load(out.save(tmp_path / "runs" / "r901", "particles"), tmp_path)
    assert again.items.equals(out.items)


def test_columns_of_one_set_are_empty_in_the_other(picks, stored, job):
    first, second = picks((1,)), picks((2,))
    classed = stored(second.with_columns(second.items.select("id", class_id=pl.lit(4), score=pl.lit(9.0))))
    out = Join(items=(first, classed)).run(job).particles
    assert out.items["class_id"].to_list() == [None] * 4 + [4] * 4
    assert out.items["score"].to_list() == [*first.items["score"], *[9.0] * 4]


def test_an_item_of_two_sets_has_the_row_of_the_first(picks, stored, job):
    whole = picks()
    classed = stored(whole.with_columns(whole.items.select("id", class_id=pl.lit(4))))
    out = Join(items=(classed.select(short((1, 0))), whole)).run(job).particles
    assert len(out) == 12 and out.items.filter(pl.col("class_id") == 4)["id"].to_list() == short((1, 0))


def test_equal_groups_are_one_unless_kept_apart(picks, job):
    first, second = picks((1,)), picks((2,), optics_group_name="of another name")
    assert len(Join(items=(first, second)).run(job).particles.optics) == 1
    apart = Join(items=(first, second), optics="apart").run(job).particles
    assert [group["optics_group_name"] for group in apart.optics] == ["opticsGroup1", "of another name"]
    assert apart.items["optics_group"].to_list() == [1] * 4 + [2] * 4


def test_a_third_set_finds_the_group_of_the_second(picks, job):
    sets = picks((1,)), picks((2,), cs=1.4), picks((3,), cs=1.4), picks((4,), cs=0.1)
    out = Join(items=sets).run(job).particles
    assert [group["cs"] for group in out.optics] == [2.7, 1.4, 0.1]
    assert out.items["optics_group"].to_list() == [1] * 4 + [2] * 8 + [3] * 4


# -- ids that mean other items ----------------------------------------------------------------------------------


def test_two_pickings_with_equal_ids_are_refused_or_renumbered(picks, hints, job):
    one, other = picks(), picks(dx=700.0)
    assert "use the same ids for other items" in hints(Join(items=(one, other)))
    protocol = Join(items=(one, other), same_id="renumber")
    assert hints(protocol) == ""
    out = protocol.run(job).particles
    assert len(out) == 24 and out.items["id"].is_unique().all() and "id_space" not in out.meta
    second = out.items.tail(12)
    assert second["original_id"].to_list() == other.items["id"].to_list() and out.items["original_id"].null_count() == 12
    assert second["micrograph_id"].to_list() == other.items["micrograph_id"].to_list()  # they lie on the same micrographs
    assert second["x"].to_list() == other.items["x"].to_list()


@pytest.mark.parametrize("nested", [False, True])
def test_sessions_joined_in_one_order_fit_each_other(picks, micrographs, job, nested):
    """Micrographs of several imports bear the same numbers: joined, particles must lie on their own."""

    def join(*sets):
        return Join(items=sets, same_id="renumber").run(job).only

    def together(sets):
        return join(join(*sets[:2]), sets[2]) if nested else join(*sets)

    names = dict(together([micrographs(session=each) for each in "abc"]).items.select("id", "micrograph_name").iter_rows())
    particles = together([picks(session=each) for each in "abc"]).items
    assert len(names) == 9 and len(particles) == 36 and particles["id"].is_unique().all()
    assert [names[m] for m in particles["micrograph_id"]] == particles["micrograph_name"].to_list()
    assert (particles["id"] // (1 << 20) == particles["micrograph_id"]).all()
    assert particles["original_id"].drop_nulls().is_in(picks().items["id"].implode()).all()


def test_equal_positions_of_other_sessions_are_no_excuse(picks, hints):
    said = hints(Join(items=(picks(session="a", told=False), picks(session="b", told=False))))
    assert "other items" in said


def test_stacks_that_do_not_tell_where_their_particles_lie_lose_nothing(picks, hints, job):
    def bare(stack):
        found = picks(told=False)
        return type(found)(found.items.drop("x", "y").with_columns(stack_path=pl.lit(stack)), found.root, optics=found.optics)

    one, other = bare("a.mrcs"), bare("b.mrcs")
    assert "do not tell that they are the same" in hints(Join(items=(one, other)))
    assert len(Join(items=(one, other), same_id="renumber").run(job).particles) == 24
    assert hints(Join(items=(one, bare("a.mrcs")))) == "" and len(Join(items=(one, bare("a.mrcs"))).run(job).particles) == 12


def test_files_of_one_name_are_told_apart_by_content(micrographs, hints):
    def imported(content):
        found = micrographs()
        return type(found)(found.items.with_columns(blake3=pl.lit(content)), found.root, optics=found.optics)

    assert "other items" in hints(Join(items=(imported("x"), imported("y"))))


def test_pickings_of_other_micrographs_need_no_new_ids(picks, hints, job):
    one, other = picks((1, 2)), picks((3,))
    protocol = Join(items=(one, other))
    assert hints(protocol) == "" and protocol.run(job).particles.items["id"].to_list() == [*one.items["id"], *other.items["id"]]


def test_maps_of_two_runs(stored, job, hints, tmp_path):
    def volume(path, box=64):
        write_mrc(tmp_path / path, density(p80() if path == "a.mrc" else p80().mirrored(), 40, 5.6), 2.0, volume=True)
        rows = pl.DataFrame({"id": [1], "volume_path": [path], "box_size": [box]})
        return stored(Volume(rows, tmp_path, meta={"pixel_size": 2.0, "resolution": 7.0 if path == "a.mrc" else 9.0}))

    protocol = Join(items=(volume("a.mrc"), volume("b.mrc")))
    out = protocol.run(job).volume
    assert hints(protocol) == "" and out.items["id"].to_list() == [1, 2] and out.items["volume_path"].to_list() == ["a.mrc", "b.mrc"]
    assert out.meta["pixel_size"] == 2.0 and "resolution" not in out.meta
    (pair,) = out.meta["pairs"]
    assert pair["mirrored"] and pair["correlation"] > 0.99 > pair["other_hand"]
    assert "The mirror image of map 2 fits map 1 better" in job.warnings[0] and "volumes.flip_hand" in job.warnings[0]
    assert protocol.summary(OneSet.of(out))["opposite hands"] == "1 and 2"
    assert [panel.title for panel in protocol.report(OneSet.of(out))] == ["Sets joined", "Maps", "How alike the maps are"]
    assert "set 1 64 px of 2 Å; set 2 32 px of 2 Å" in hints(Join(items=(volume("a.mrc"), volume("b.mrc", 32)), sizes="any"))


# -- what is refused, and what is lost --------------------------------------------------------------------------


def test_the_form_of_scipion():
    from cryoloom.app.forms import sort_values, without_inputs

    given, wanted = sort_values(Join, {"inputSets": ["a", "b"], "renumber": True})
    assert wanted == {"items": ["a", "b"]} and without_inputs(Join, given).same_id == "renumber"


def test_bad_input(picks, micrographs, hints):
    whole = picks()
    assert "is one set" in hints(Join(items=(whole,)))
    assert "different kinds, particles and micrographs" in hints(Join(items=(whole, micrographs())))
    assert "one set twice, as 1 and 3" in hints(Join(items=(whole, picks((9,)), whole)))


def test_other_boxes_are_refused_with_both_named_or_allowed(picks, hints, job):
    sets = picks((1,)), picks((2,), box_size=128, pixel_size=1.5)
    said = hints(Join(items=sets))
    assert "set 1 64 px of 3 Å; set 2 128 px of 1.5 Å" in said
    allowed = Join(items=sets, sizes="any")
    assert hints(allowed) == "" and [group["box_size"] for group in allowed.run(job).particles.optics] == [64, 128]


def test_movies_of_two_gains_are_not_one_set(stored, tmp_path, hints):
    def movies(number, gain):
        rows = pl.DataFrame(
            {
                "id": [number], "movie_name": [f"m{number}"], "movie_path": [f"m{number}.mrc"], "frames": [9], "width": [64], "height": [64],
                "optics_group": [1], "enabled": [True], "fail_reason": [""],
            }
        )  # fmt: skip
        return stored(Movies(rows, tmp_path, optics=[{"optics_group": 1, "pixel_size": 1.0}], meta={"gain_blake3": gain}))

    assert "gain references differ" in hints(Join(items=(movies(1, "a"), movies(2, "b"))))
    assert hints(Join(items=(movies(1, "a"), movies(2, "a")))) == ""


@pytest.mark.parametrize("conflict", [True, False])
def test_half_sets_that_do_not_hold_for_all_are_gone(picks, stored, job, conflict):
    whole = picks()
    halved = stored(whole.with_columns(whole.items.select("id", half_set=pl.int_range(pl.len()) % 2 + 1)))
    other = stored(whole.with_columns(whole.items.select("id", half_set=(pl.int_range(pl.len()) + 1) % 2 + 1))) if conflict else whole
    out = Join(items=(halved.select(whole.items["id"].head(8)), other)).run(job).particles
    assert out.items["half_set"].null_count() == 12 and "half sets" in job.warnings[0]


def test_half_sets_that_hold_stay(picks, stored, job):
    whole = picks()
    halved = stored(whole.with_columns(whole.items.select("id", half_set=pl.int_range(pl.len()) % 2 + 1)))
    out = Join(items=(halved.select(whole.items["id"].head(8)), halved.select(whole.items["id"].tail(8)))).run(job).particles
    assert out.items["half_set"].to_list() == [1, 2] * 6 and job.warnings == []
