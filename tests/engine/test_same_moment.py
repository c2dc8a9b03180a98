"""Several commands at the same moment: real processes, one run, every item computed once."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cryoloom.app.session import open_project
from cryoloom.engine.exclusive import exclusive
from cryoloom.engine.processes import ProcessId
from cryoloom.files import claim
from cryoloom.spec import Failure


def test_commands_started_together_do_the_work_once(project) -> None:
    project.run("toy.source", count=4)
    words = [
        sys.executable,
        "-m",
        "cryoloom.cli.main",
        "run",
        str(project.root),
        "toy.add",
        "--input-things",
        "r001.things",
        "--threads",
        "1",
        "--json",
    ]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, ends
    told = [json.loads(out.splitlines()[-1]) for out, _ in ends]
    assert {each["run"] for each in told} == {"r002"} and {each["state"] for each in told} == {"finished"}
    assert [run.id for run in open_project(project.root).runs()] == ["r001", "r002"]
    assert {path.name: path.stat().st_size for path in (project.root / "runs/r002/calls").iterdir()} == {str(n): 1 for n in range(1, 5)}
    assert list((project.root / "making").iterdir()) == []


def test_different_commands_started_together_get_runs_of_their_own(project) -> None:
    words = [sys.executable, "-m", "cryoloom.cli.main", "run", str(project.root), "toy.source", "--json", "--count"]
    processes = [subprocess.Popen([*words, str(count)], stdout=subprocess.PIPE, text=True) for count in (3, 4, 5)]
    ends = [json.loads(process.communicate(timeout=120)[0].splitlines()[-1]) for process in processes]
    assert {each["run"] for each in ends} == {"r001", "r002", "r003"}
    assert {project.find(each["run"]).outputs.things.count for each in ends} == {3, 4, 5}


def test_a_section_is_entered_by_one_at_a_time(tmp_path: Path) -> None:
    inside, most = [], []

    def enter() -> None:
        for _ in range(5):
            with exclusive(tmp_path / "section"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 20 and max(most) == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_the_file_of_a_dead_holder_is_taken_away(tmp_path: Path, where: str) -> None:
    me = ProcessId.current().to_json()
    dead = {**me, "started": 1.0} if where == "here" else {**me, "space": "another computer"}
    path = tmp_path / "section"
    assert claim(path, {"holder": dead, "token": "x"})
    if where == "elsewhere":
        os.utime(path, (time.time() - 100, time.time() - 100))
    with exclusive(path, patience=5):
        assert path.exists()
    assert not path.exists()


def test_a_living_holder_is_named_when_patience_ends(tmp_path: Path) -> None:
    with exclusive(tmp_path / "section"), pytest.raises(Failure) as caught, exclusive(tmp_path / "section", patience=0.1):
        raise AssertionError
    assert caught.value.code == "section-taken" and str(os.getpid()) in str(caught.value)
