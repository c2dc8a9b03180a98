"""Sets: columns laid over, selections, disabling, storage and hashes."""

import pickle
from pathlib import Path

import polars as pl
import pytest

from cryoloom.tables import Dataset


class Beads(Dataset, kind="test-beads", required=("colour",)):
    """A toy kind."""


def beads(root: Path, count: int = 5) -> Beads:
    rows = pl.DataFrame({"id": range(1, count + 1), "colour": ["red", "blue"] * (count // 2) + ["red"] * (count % 2), "group": [1] * count})
    return Beads(rows.rename({"group": "optics_group"}), root, optics=[{"optics_group": 1, "pixel_size": 2.5}], meta={"made": "by hand"})


def stored(dataset: Dataset, name: str) -> tuple[Dataset, dict]:
    manifest = dataset.save(dataset.root / "runs" / name, "set")
    return Dataset.load(manifest, dataset.root), manifest


def test_round_trip_keeps_rows_optics_meta_and_kind(tmp_path):
    back, manifest = stored(beads(tmp_path), "a")
    assert type(back) is Beads and manifest["count"] == 5
    assert back.items.equals(beads(tmp_path).items)
    assert back.meta == {"made": "by hand"} and back.to_polars()["pixel_size"].to_list() == [2.5] * 5


def test_only_what_changed_is_written(tmp_path):
    first, _ = stored(beads(tmp_path), "a")
    changed = first.with_columns(pl.DataFrame({"id": [4, 2], "size": [4.0, 2.0]})).select([4, 2, 1])
    again, manifest = stored(changed, "b")
    assert again.items["id"].to_list() == [1, 2, 4]
    assert again.items["size"].to_list() == [None, 2.0, 4.0]
    assert [entry["path"] for entry in manifest["table"]["base"]] == ["runs/a/set.parquet"]
    assert sorted(path.name for path in (tmp_path / "runs/b").iterdir()) == ["set.columns1.parquet", "set.ids.parquet"]
    assert again.items.equals(changed.items)


def test_new_values_replace_old_ones_only_where_listed(tmp_path):
    first, _ = stored(beads(tmp_path), "a")
    painted, _ = stored(first.with_columns(pl.DataFrame({"id": [1], "colour": ["green"]})), "b")
    twice, _ = stored(painted.with_columns(pl.DataFrame({"id": [2], "colour": ["white"]})), "c")
    assert twice.items["colour"].to_list() == ["green", "white", "red", "blue", "red"]


def test_disabled_rows_keep_their_first_reason(tmp_path):
    one = beads(tmp_path).disable({2: "scratched"})
    two, _ = stored(one.disable({2: "lost", 3: "lost"}), "a")
    assert two.items.filter(~pl.col("enabled"))["id"].to_list() == [2, 3]
    assert two.items["fail_reason"].to_list()[:3] == ["", "scratched", "lost"]
    assert two.enabled()["id"].to_list() == [1, 4, 5]


def test_equal_content_has_equal_hash_and_other_content_has_not(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    _, one = stored(beads(tmp_path / "x"), "a")
    _, two = stored(beads(tmp_path / "y"), "a")
    _, three = stored(beads(tmp_path / "y").select([1]), "b")
    assert one["hash"] == two["hash"] != three["hash"]


def test_data_files_of_the_run_are_hashed(tmp_path):
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "image.bin").write_bytes(b"123")
    rows = pl.DataFrame({"id": [1], "colour": ["red"], "image_path": ["runs/a/image.bin"]})
    first = Beads(rows, tmp_path).save(folder, "set")
    assert [entry["path"] for entry in first["files"]] == ["runs/a/image.bin"]
    (folder / "image.bin").write_bytes(b"124")
    assert Beads(rows, tmp_path).save(folder, "set")["hash"] != first["hash"]


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ValueError, match="colour"):
        Beads(pl.DataFrame({"id": [1]}), tmp_path)


# -- read lazily ------------------------------------------------------------------------------------------------


def test_a_scan_reads_only_what_is_asked_for(tmp_path):
    first, _ = stored(beads(tmp_path), "a")
    changed, _ = stored(first.with_columns(pl.DataFrame({"id": [4, 2], "size": [4.0, 2.0]})).select([4, 1]), "b")
    (tmp_path / "runs/b/set.columns1.parquet").rename(tmp_path / "away")
    assert changed.ids().to_list() == [1, 4] and len(changed) == 2
    with pytest.raises(FileNotFoundError):
        changed.scan(["size"]).collect()
    (tmp_path / "away").rename(tmp_path / "runs/b/set.columns1.parquet")
    assert changed.scan(["size", "pixel_size"]).collect().rows() == [(1, None, 2.5), (4, 4.0, 2.5)]
    assert changed.scan().collect().equals(changed.to_polars()) and list(changed.schema) == changed.to_polars().columns
    assert changed.scan(["colour"], within=(2, 9)).collect()["id"].to_list() == [4]


def test_changes_of_an_unread_set_are_those_of_a_read_one(tmp_path):
    _, manifest = stored(beads(tmp_path), "a")

    def changed(read):
        dataset = Dataset.load(manifest, tmp_path)
        assert not read or len(dataset.items)
        dataset = dataset.select([5, 2, 3]).with_columns(pl.DataFrame({"id": [3], "colour": ["green"]})).select([2, 3])
        return dataset.disable({2: "lost"}).with_meta(only=(), seen=1)

    lazy, eager = changed(False), changed(True)
    assert lazy.items.equals(eager.items) and lazy.items["colour"].to_list() == ["blue", "green"]
    assert lazy.schema == eager.schema and lazy.meta == {"seen": 1} and len(lazy) == 2
    assert Dataset.load(lazy.save(tmp_path / "runs/c", "set"), tmp_path).items.equals(eager.items)


def test_a_stored_set_travels_without_its_rows(tmp_path):
    first, _ = stored(beads(tmp_path, 1000), "a")
    assert len(first.items) and len(pickle.dumps(first)) < 2000
    assert pickle.loads(pickle.dumps(first.select([3, 4]))).items["id"].to_list() == [3, 4]  # noqa: S301
