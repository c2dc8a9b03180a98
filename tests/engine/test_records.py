"""Files that are whole or absent, events that may be torn, claims that one wins."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoloom import files
from cryoloom.engine.events import EventReader, Journal, Pace, append_line, how_far, read_lines
from cryoloom.engine.processes import ProcessId, number_space
from cryoloom.spec import Failure


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"n": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"n": object()})
    assert files.read_json(path) == {"n": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_full_disk_and_missing_rights_are_failures_that_say_so(tmp_path: Path) -> None:
    for number, code in (
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "not-writable"),
        (errno.EACCES, "not-writable"),
    ):
        with pytest.raises(Failure, match=str(tmp_path)) as caught, files.replacing(tmp_path / "x"):
            raise OSError(number, os.strerror(number))
        assert caught.value.code == code
    with pytest.raises(IsADirectoryError), files.replacing(tmp_path / "x"):
        raise IsADirectoryError(errno.EISDIR, "other errors stay what they are")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_says_what_is_in_the_way(tmp_path: Path) -> None:
    assert files.make_folder(tmp_path / "a" / "b").is_dir() and files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(Failure, match=f"{path} cannot be made: {tmp_path / 'file'} is not a folder") as caught:
            files.make_folder(path)
        assert caught.value.code == "not-writable"
    with pytest.raises(Failure, match="is not a folder"):
        files.write_json(tmp_path / "file" / "a.json", {})


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"done": 3, "total": 14, "unit": "items"}, "3/14"),
        ({"done": 1, "total": 1, "unit": "items"}, "1/1"),
        ({"done": 0.6000000000000001, "total": 1.0, "unit": ""}, "60%"),
        ({"done": 0, "total": 3}, "0/3"),
        ({"done": 5, "total": None, "unit": "iterations"}, "5 iterations"),
    ],
)
def test_how_far_something_is_reads_well(event: dict[str, Any], text: str) -> None:
    assert how_far(event) == text


def test_of_many_claims_at_once_one_wins_and_its_content_is_whole(tmp_path: Path) -> None:
    path, wins, start = tmp_path / "claim.1.json", [], threading.Barrier(12)

    def run(number: int) -> None:
        start.wait()
        if files.claim(path, {"number": number, "text": "x" * 5000}):
            wins.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert json.loads(path.read_text())["number"] == wins[0]
    assert [each.name for each in tmp_path.iterdir()] == ["claim.1.json"]


def test_claims_hold_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert files.claim(tmp_path / "c", {"n": 1})
    assert not files.claim(tmp_path / "c", {"n": 2})
    assert files.read_json(tmp_path / "c") == {"n": 1}


def test_canonical_text_does_not_depend_on_order() -> None:
    assert files.canonical({"b": 1, "a": [1.0, "Å"]}) == files.canonical({"a": [1.0, "Å"], "b": 1}) == '{"a":[1.0,"Å"],"b":1}'.encode()


def test_torn_last_line_is_ignored_until_it_is_whole(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "events.1.jsonl"), EventReader(tmp_path)
    journal.write("note", n=1)
    with (tmp_path / "events.1.jsonl").open("ab") as handle:
        handle.write(b'{"kind": "note", "n"')
    assert [event["n"] for event in reader.new()] == [1]
    with (tmp_path / "events.1.jsonl").open("ab") as handle:
        handle.write(b": 2}\n")
    assert [event["n"] for event in reader.new()] == [2]
    journal.close()


def test_events_of_a_later_attempt_come_later_also_the_tenth(tmp_path: Path) -> None:
    for attempt in (10, 2, 1):
        journal = Journal(tmp_path / f"events.{attempt}.jsonl")
        journal.write("state", attempt=attempt)
        journal.close()
    assert [event["attempt"] for event in EventReader(tmp_path).new()] == [1, 2, 10]


def test_progress_is_written_at_most_twice_a_second_but_always_the_last(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.1.jsonl")
    for done in range(1001):
        journal.progress("items", done, 1000)
    journal.close()
    told = [event["done"] for event in EventReader(tmp_path).new()]
    assert told[0] == 0 and told[-1] == 1000 and len(told) < 20


def test_numpy_numbers_are_events_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.1.jsonl")
    journal.write("note", resolution=np.float32(7.5), shells=np.arange(3))
    journal.close()
    event = EventReader(tmp_path).new()[0]
    assert event["resolution"] == 7.5 and event["shells"] == [0, 1, 2]


def test_a_shared_file_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    append_line(path, {"label": "a"})
    with path.open("ab") as handle:
        handle.write(b'{"lab')
    append_line(path, {"label": "b"})
    assert [line["label"] for line in read_lines(path)] == ["a", "b"]


def test_a_process_is_told_apart_from_a_later_one_of_the_same_number() -> None:
    me = ProcessId.current()
    assert me.here and me.alive and ProcessId.from_json(me.to_json()) == me
    assert not ProcessId(me.host, me.space, me.pid, me.started - 1).alive
    elsewhere = ProcessId(me.host, "another-boot/pid:[1]", me.pid, me.started)
    assert not elsewhere.here and not elsewhere.alive
    assert number_space() == me.space


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    from cryoloom.engine.processes import _started

    started = _started(child.pid)
    who = ProcessId("", number_space(), child.pid, started or 0)
    assert who.alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is not collected yet
    assert not who.alive
    child.wait()
    assert child.stdin
    child.stdin.close()


def test_what_is_left_is_told_from_the_pace_since_it_last_began() -> None:
    """Items that were there before a resumption took no time, and each iteration of several counts from zero."""

    def left(*told: tuple[float, float], total: float | None = 10.0) -> float | None:
        pace = Pace()
        return [pace.remaining({"t": t, "done": done, "total": total}) for t, done in told][-1]

    assert left((0, 0), (8, 4)) == pytest.approx(12)
    assert left((0, 6), (8, 8)) == pytest.approx(8)
    assert left((0, 0), (5, 5), (10, 10), (100, 1), (104, 3)) == pytest.approx(14)
    assert left((0, 3)) is None and left((0, 3), (8, 3)) is None and left((0, 0), (8, 4), total=None) is None
