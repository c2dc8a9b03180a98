"""sets.split: every row in one part, by seed, by order, by half set."""

import polars as pl
import pytest

from cryoloom.protocols.sets.split import Parts, Split


def ids(out):
    return {name: part.items["id"].to_list() for name, part in out.named().items()}


@pytest.mark.parametrize("parts", [2, 5, 12])
def test_every_row_is_in_one_part(picks, job, parts):
    whole = picks()
    protocol = Split(items=whole, parts=parts)
    found = ids(protocol.run(job))
    assert list(found) == [f"particles_{number}" for number in range(1, parts + 1)]
    assert sorted(sum(found.values(), [])) == sorted(whole.items["id"])
    sizes = [len(part) for part in found.values()]
    assert max(sizes) - min(sizes) <= 1 and list(protocol.preview().values()) == [*sizes, 12]
    assert all(part == sorted(part) for part in found.values())


def test_parts_follow_the_seed_and_are_id_lists(picks, job, tmp_path):
    whole = picks()
    first = ids(Split(items=whole).run(job))
    job.seed = 2
    out = Split(items=whole).run(job)
    assert first != ids(out)
    job.seed = 1
    assert first == ids(Split(items=whole).run(job))
    out.named()["particles_2"].save(tmp_path / "runs" / "r900", "particles_2")
    assert [each.name for each in (tmp_path / "runs" / "r900").iterdir()] == ["particles_2.ids.parquet"]
    assert out.parts[1].meta["selection"]["by"] == "part 2 of 2 by random" and "failed_micrographs" not in out.parts[0].meta


def test_by_order(picks, job):
    whole = picks()
    found = ids(Split(items=whole, parts=3, by="False").run(job))
    assert sum(found.values(), []) == whole.items["id"].to_list()


def test_by_half_set(picks, stored, job, hints):
    whole = picks()
    halves = pl.Series("half_set", [1, 1, 2, None] * 3)
    refined = stored(whole.with_columns(whole.items.select("id").with_columns(halves)))
    found = ids(Split(items=refined, by="half_set").run(job))
    assert [len(part) for part in found.values()] == [6, 3] and "3 rows are in neither" in job.warnings[0]
    assert "half_set needs particles" in hints(Split(items=whole, by="half_set"))
    assert "parts must be 2" in hints(Split(items=refined, by="half_set", parts=3))


def test_more_parts_than_rows(picks, hints):
    assert "parts is 13, but the set has 12 rows" in hints(Split(items=picks(), parts=13))


def test_a_run_that_has_not_begun_says_what_it_will_give():
    declared = Parts.declared({"parts": 3})
    assert "particles_3" in declared and "particles_4" not in declared and "parts" not in declared
