"""Several sets as one: what is written, and that reading gives the rows of all."""

from pathlib import Path

import polars as pl
import pytest

from cryoloom.tables import Dataset, union


class Shells(Dataset, kind="test-shells", required=("colour",)):
    """A toy kind."""


@pytest.fixture
def shells(tmp_path):
    """Return a maker of stored sets of the ids that are given."""
    count = iter(range(100))

    def make(*ids, **columns):
        rows = pl.DataFrame({"id": list(ids), "colour": [f"c{each}" for each in ids], **columns})
        return saved(Shells(rows, tmp_path), f"r{next(count)}")

    def saved(dataset, name):
        return Dataset.load(dataset.save(tmp_path / "runs" / name, "set"), tmp_path)

    make.saved = saved
    return make


def written(dataset: Dataset, folder: Path) -> list[str]:
    back = Dataset.load(dataset.save(folder, "set"), dataset.root)
    assert back.items.equals(dataset.items)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_parts_of_one_table_are_an_id_list_and_all_of_it_is_nothing(shells, tmp_path):
    whole = shells(1, 2, 3, 4)
    some = union([whole.select([3]), whole.select([1])], optics=[], meta={"seen": 1})
    assert some.items["id"].to_list() == [1, 3] and some.meta == {"seen": 1} and type(some) is Shells
    assert written(some, tmp_path / "runs/a") == ["set.ids.parquet"]
    again = union([shells.saved(some, "b"), whole.select([2, 4])], optics=[], meta={})
    assert again.items["id"].to_list() == [1, 2, 3, 4] and written(again, tmp_path / "runs/c") == []


def test_tables_of_unlike_ids_lie_side_by_side_with_their_columns(shells, tmp_path):
    first, second = shells(1, 2), shells.saved(shells(5, 6).with_columns(pl.DataFrame({"id": [6], "size": [9.0]})), "x")
    both = union([first, second.select([6])], optics=[], meta={})
    assert both.items.rows() == [(1, "c1", None), (2, "c2", None), (6, "c6", 9.0)]
    assert written(both, tmp_path / "runs/a") == ["set.ids.parquet"]


def test_columns_laid_over_one_part_do_not_reach_into_another(shells, tmp_path):
    """The second set is the first with other colours: one table cannot give both."""
    first = shells(1, 2, 3)
    painted = shells.saved(first.with_columns(pl.DataFrame({"id": [1, 2, 3], "colour": ["x", "y", "z"]})), "p")
    both = union([first.select([1]), painted.select([3])], optics=[], meta={})
    assert both.items.rows() == [(1, "c1"), (3, "z")]
    assert written(both, tmp_path / "runs/a") == ["set.parquet"]


def test_hidden_rows_with_ids_of_another_set_stay_hidden(shells, tmp_path):
    first, second = shells(1, 2, 3), shells(3, 4, size=[30.0, 40.0])
    both = union([first.select([1, 3]), second.select([4])], optics=[], meta={})
    assert both.items.rows() == [(1, "c1", None), (3, "c3", None), (4, "c4", 40.0)]
    assert written(both, tmp_path / "runs/a") == ["set.parquet"]
