"""`Job.map` from inside: every item once, failures with reasons, the same rows for any number of workers."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from blake3 import blake3
from pebble import ProcessExpired
from toys import Things, called

from cryoloom.engine import fanout
from cryoloom.engine.events import EventReader, Journal
from cryoloom.engine.fanout import item_seed
from cryoloom.engine.item import Ticket, as_rows
from cryoloom.engine.job import RunJob
from cryoloom.engine.parts import SHARD, Failed, Parts, write_failure, write_part
from cryoloom.spec import Failure, Item
from cryoloom.tables import storage

MakeJob = Callable[..., RunJob]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Return a maker of jobs, one an attempt, on one run folder."""
    folder = tmp_path / "runs" / "r001"
    folder.mkdir(parents=True)

    def make(attempt: int = 1, threads: int = 2) -> RunJob:
        return RunJob(folder, tmp_path, seed=3, threads=threads, journal=Journal(folder / f"events.{attempt}.jsonl"))

    return make


def things(root: Path, ids: list[int], **columns: Any) -> Things:
    return Things(pl.DataFrame({"id": ids, "value": [float(n) for n in ids], **columns}), root)


@dataclass(frozen=True)
class Work:
    """A picklable item function that can go wrong in every way, by item."""

    bad: tuple[int, ...] = ()
    deadly: tuple[int, ...] = ()
    deaths: int = 1000

    def __call__(self, item: Item) -> Mapping[str, Any]:
        folder = item.folder.parent / "calls"
        called(folder, item.id)
        if item.id in self.deadly and (folder / str(item.id)).stat().st_size <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if item.id in self.bad:
            raise ValueError(f"item {item.id} is bad\nin two lines")
        path = item.output(".txt")
        path.write_text(str(item.id))
        late = None if item.id < 3 else "late"
        return {"noise": np.random.default_rng(item.seed).random(), "late": late, "curve": np.arange(item.id % 3), "own_path": path}


def calls(job: RunJob) -> dict[int, int]:
    return {int(path.name): path.stat().st_size for path in (job.folder / "calls").iterdir()}


def test_failures_deaths_order_and_resume(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    items = things(tmp_path, [5, 2, 9, 1, 7], enabled=[True, True, True, True, False])
    result = job.map(Work(bad=(2,), deadly=(9, 1), deaths=1), items)
    assert result.rows["id"].to_list() == [5, 9, 1], "order of the set; neither the disabled nor the failed one"
    assert result.failed == {2: "ValueError: item 2 is bad in two lines"}
    assert job.failed_items == {"items": 1}
    assert calls(job) == {5: 1, 2: 1, 9: 2, 1: 2}, "one that raised is not tried again, one whose worker died is"
    assert result.rows["late"].to_list() == ["late", "late", None]
    assert [len(curve) for curve in result.rows["curve"]] == [2, 0, 1]
    assert result.rows["own_path"][0] == "runs/r001/items/000005.txt"
    assert result.rows["noise"][0] == np.random.default_rng(item_seed(3, "items", 5)).random()

    again = make_job(2, threads=1).map(Work(), items)
    assert again.rows.equals(result.rows) and again.failed == result.failed
    assert calls(job) == {5: 1, 2: 1, 9: 2, 1: 2}, "nothing finished or failed is done again"
    kinds = [event["kind"] for event in EventReader(job.folder).new()]
    assert kinds.count("item-failed") == 1


def test_a_worker_that_always_dies_costs_its_item_only_and_is_tried_on_resume(make_job: MakeJob, tmp_path: Path) -> None:
    items = things(tmp_path, [1, 2, 3, 4])
    result = make_job().map(Work(deadly=(2,)), items)
    assert result.rows["id"].to_list() == [1, 3, 4]
    assert "died 5 times (signal 9)" in result.failed[2]
    job = make_job(2)
    result = job.map(Work(), items)
    assert result.rows["id"].to_list() == [1, 2, 3, 4] and not result.failed
    assert calls(job) == {1: 1, 2: 6, 3: 1, 4: 1}


def unlucky(item: Item) -> Mapping[str, Any]:
    """Die four times as item 1, noting how many others are done."""
    folder = item.folder.parent / "done"
    folder.mkdir(exist_ok=True)
    if item.id == 1:
        with (folder.parent / "others").open("a") as handle:
            handle.write(f"{len(list(folder.iterdir()))}\n")
        if len((folder.parent / "others").read_text().split()) < 5:
            os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(item.id)).touch()
    return {}


def test_an_item_that_has_died_twice_is_tried_alone_three_times_more(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    result = job.map(unlucky, things(tmp_path, [1, *range(2, 22)]))
    assert result.rows.height == 21 and not result.failed
    counts = np.loadtxt(job.folder / "others", dtype=int)
    assert len(counts) == 5 and counts[2:].tolist() == [20, 20, 20], "when all others are done"


def test_what_kills_every_worker_costs_fewer_tries(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: Counter[int] = Counter()

    class Doomed:
        """Workers that die of everything."""

        able, busy, end = True, staticmethod(lambda futures: True), staticmethod(lambda: None)

        def __init__(self, count: int) -> None:
            self.room = count

        def schedule(self, ticket: Ticket) -> Future[str]:
            tries[ticket.item.id] += 1
            future: Future[str] = Future()
            future.set_exception(ProcessExpired("killed", code=-9))
            return future

    monkeypatch.setattr(fanout, "OwnWorkers", Doomed)
    with pytest.raises(Failure, match=r"All 40 items failed: item 1: its worker process died 5 times \(signal 9\)"):
        make_job().map(Work(), things(tmp_path, [*range(1, 41)]))
    assert [tries[item] for item in range(1, 41)] == [5] * 3 + [3] * 37


def test_when_every_item_fails_the_first_reason_is_named_and_a_resume_tries_again(make_job: MakeJob, tmp_path: Path) -> None:
    items = things(tmp_path, [4, 3])
    with pytest.raises(Failure, match="All 2 items failed: item 4: ValueError: item 4 is bad.*item 3: ") as caught:
        make_job(threads=1).map(Work(bad=(3, 4)), items)
    assert caught.value.code == "all-failed"
    assert make_job(2, threads=1).map(Work(), items).rows.height == 2


def rows_of(item: Item) -> list[dict[str, Any]]:
    return [{"id": (item.id << 20) | k, "k": k} for k in range(item.id % 3)]


def frame_of(item: Item) -> pl.DataFrame:
    return pl.DataFrame(rows_of(item), schema={"id": pl.Int64, "k": pl.Int64})


def test_rows_and_frames_are_concatenated_in_the_order_of_the_set(make_job: MakeJob, tmp_path: Path) -> None:
    items = things(tmp_path, [5, 3, 1])
    job = make_job(threads=1)
    for name, function in (("rows", rows_of), ("frames", frame_of)):
        found = job.map(function, items, name=name).rows
        assert found["id"].to_list() == [5 << 20, 5 << 20 | 1, 1 << 20]
    with pytest.raises(Failure, match="used twice"):
        job.map(rows_of, items, name="rows")
    assert job.map(rows_of, things(tmp_path, []), name="none").rows.is_empty()


def test_what_cannot_be_sent_or_told_apart_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="not a lambda"):
        make_job().map(lambda item: {}, things(tmp_path, [1]))
    with pytest.raises(Failure, match="twice"):
        make_job().map(Work(), things(tmp_path, [1, 2, 1]))


def full_disk(item: Item) -> Mapping[str, Any]:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_no_fault_of_the_item(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        make_job(threads=1).map(full_disk, things(tmp_path, [1, 2, 3]))
    assert caught.value.code == "disk-full"
    assert Parts(tmp_path / "runs/r001/parts/items", [1, 2, 3]).present() == (set(), {})


def test_rows_of_an_item_become_plain(tmp_path: Path) -> None:
    item = Item({"id": 4}, tmp_path, tmp_path / "items", 1)
    frame = as_rows({"a": np.float32(0.5), "b_path": tmp_path / "x" / "y.mrc", "c": np.arange(2, dtype=np.int32), "d": None}, item)
    assert frame.row(0) == (4, 0.5, "x/y.mrc", [0, 1], None) and frame.schema["id"] == pl.Int64
    for result, words in (
        ({"id": 5}, "has id 5"),
        ({"b_path": Path("/elsewhere/y.mrc")}, "outside the project"),
        ({"b": tmp_path / "y"}, "must end in _path"),
        (7, "not int"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            as_rows(result, item)  # type: ignore[arg-type]


def test_parts_are_spread_over_folders_and_failures_give_way_to_results(tmp_path: Path) -> None:
    ids = list(range(10, 10 + SHARD + 5))
    parts = Parts(tmp_path / "parts", ids)
    write_part(parts.path(SHARD), pl.DataFrame({"id": [ids[SHARD]]}))
    write_failure(parts.failure_path(SHARD), Failed("once"))
    write_failure(parts.failure_path(0), Failed("bad", crash=True))
    (tmp_path / "parts" / "000" / ".11.parquet.77-1.tmp").touch()
    assert parts.path(SHARD).parent.name == "001" and parts.path(0).parent.name == "000"
    assert parts.present() == ({ids[SHARD]}, {10: Failed("bad", crash=True)})


def test_seeds_depend_on_run_map_and_item_only() -> None:
    seeds = {item_seed(run, name, item) for run in (0, 1) for name in ("a", "b") for item in (1, 2)}
    assert len(seeds) == 8 and all(0 <= seed < 2**63 for seed in seeds)
    assert item_seed(0, "items", 1) == item_seed(0, "items", 1) == 9162023852819220032


def a_file(item: Item) -> Mapping[str, Any]:
    path = item.output(".txt")
    path.write_text(f"made for {item.id}")
    link = item.output("_raw.txt")
    link.unlink(missing_ok=True)
    link.symlink_to(item.root.parent / "raw.txt")
    return {"made_path": path, "raw_path": link}


def test_files_of_items_are_read_by_the_workers_and_not_again(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw data may be terabytes on a network disk: saving the set, also after a resume, looks at size and time of change only."""
    raw = tmp_path.parent / "raw.txt"
    raw.write_text("straight from the camera")
    make_job().map(a_file, things(tmp_path, [1, 2, 3]))
    job = make_job(2)
    made = Things(job.map(a_file, things(tmp_path, [1, 2, 3])).rows.with_columns(value=1.0), tmp_path)
    read: list[str] = []
    original = storage._hashed
    monkeypatch.setattr(storage, "_hashed", lambda path, *stamp: read.append(Path(path).name) or original(path, *stamp))
    files = {entry["path"]: entry["blake3"] for entry in made.save(job.folder, "things", hashed=job.hashed)["files"]}
    assert read == ["things.parquet"] and len(files) == 6
    assert files["runs/r001/items/000002_raw.txt"] == blake3(b"straight from the camera").hexdigest()
    (job.folder / "items/000002.txt").write_text("changed after all")
    again = {entry["path"]: entry["blake3"] for entry in made.save(job.folder, "more", hashed=job.hashed)["files"]}
    assert read[1:] == ["more.parquet", "000002.txt"]
    assert {path for path in files if files[path] != again[path]} == {"runs/r001/items/000002.txt"}
