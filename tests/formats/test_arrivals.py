"""Files that come one after the other keep number and name."""

import os
import time

from cryoloom.formats.arrivals import in_order_of_arrival, settled


def made(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return sorted(folder.rglob("*.mrc"))


def test_a_file_keeps_its_number_and_name_whatever_comes_later(tmp_path):
    record = tmp_path / "arrivals.json"
    paths, names = in_order_of_arrival(made(tmp_path / "a", "m5.mrc", "m7.mrc"), record)
    assert names == ["m5", "m7"]
    made(tmp_path / "a", "m1.mrc")
    found = sorted([*made(tmp_path / "b", "m7.mrc"), *(tmp_path / "a").glob("*.mrc")])
    later, more = in_order_of_arrival(found, record)
    assert later[:2] == paths and more[:2] == names
    assert [path.name for path in later[2:]] == ["m1.mrc", "m7.mrc"] and len(set(more)) == 4
    (tmp_path / "a" / "m5.mrc").unlink()
    assert in_order_of_arrival(sorted(tmp_path.rglob("*.mrc")), record) == (later, more), "a file that has gone keeps its place"


def test_so_many_at_once(tmp_path):
    found, record = made(tmp_path / "a", *(f"m{number}.mrc" for number in range(5))), tmp_path / "arrivals.json"
    assert [len(in_order_of_arrival(found, record, most=2)[0]) for _ in range(4)] == [2, 4, 5, 5]


def test_what_is_still_written_to_has_not_settled(tmp_path):
    old, new = made(tmp_path / "a", "new.mrc", "old.mrc")[::-1]
    os.utime(old, (time.time() - 60, time.time() - 60))
    assert settled([old, new], 30) == [old] and settled([old, new], 0) == [old, new]
    assert settled([tmp_path / "gone.mrc"], 30), "that it has gone is told when it is read"
