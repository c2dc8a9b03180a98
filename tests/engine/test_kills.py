"""Kill anything at any time: nothing finished is lost or done twice, and the result is the same to the bit."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy_project import find_toys

from cryoloom.app.runs import WORKER
from cryoloom.app.session import Project, Run, create_project, open_project
from cryoloom.engine import execution, launch
from cryoloom.engine.processes import marked
from cryoloom.engine.state import ACTIVE, State
from cryoloom.spec import Failure, WrongUse

COUNT = 8
Until = Callable[..., None]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project where nothing was killed: the numbers in r001, their sums in r002, by one worker."""
    with pytest.MonkeyPatch.context() as patch:
        find_toys(patch)
        made = create_project(tmp_path_factory.mktemp("reference") / "project")
        source = made.run("toy.source", count=COUNT)
        made.run("toy.add", things=source.outputs.things, threads=1)
        yield made


@pytest.fixture
def started(reference: Project, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Return a starter of a slow r002 beside a copy of the reference's r001."""
    shutil.copytree(reference.root, tmp_path / "project", ignore=shutil.ignore_patterns("r002"))
    made = open_project(tmp_path / "project")

    def start(pause: float = 0.8) -> Run:
        return made.run("toy.add", things="r001.things", pause=pause, threads=2, wait=False)

    yield start
    for run in made.runs():
        if run.state in ACTIVE:
            run.stop()


def pid(run: Run, kind: str) -> int:
    record = run.folder.of_attempt(kind, run.folder.attempt())
    assert record
    return (record["supervisor"] if kind == "claim" else record)["pid"]


def token(run: Run) -> str:
    claim = run.folder.of_attempt("claim", run.folder.attempt())
    assert claim
    return claim["token"]


def parts(run: Run) -> set[int]:
    return {int(path.stem) for path in (run.folder.path / "parts").glob("items/000/[0-9]*.parquet")}


def calls(run: Run) -> dict[int, int]:
    return {int(path.name): path.stat().st_size for path in (run.folder.path / "calls").iterdir()}


def assert_same(run: Run, reference: Project, kept: set[int]) -> None:
    assert run.state is State.FINISHED
    assert run.outputs.things.hash == reference.find("r002").outputs.things.hash
    counts = calls(run)
    assert set(counts) == set(range(1, COUNT + 1))
    assert all(counts[item] == 1 for item in kept), "a finished item was computed again"
    assert not list((run.folder.path / "parts").rglob(".*.tmp"))


def test_run_process_killed_in_a_map(started: Callable[..., Run], reference: Project, until: Until) -> None:
    run = started()
    until(lambda: len(parts(run)) >= 2, "two parts")
    os.kill(pid(run, "proc"), signal.SIGKILL)
    until(lambda: run.state is State.FAILED, "failed")
    assert "signal 9 (SIGKILL)" in run.reason and run.error and "out of memory" in run.error.cure
    assert marked(token(run)) == [], "pool workers die with the run process"
    kept = parts(run)
    assert 2 <= len(kept) < COUNT and set(run.partial()["id"]) == kept
    assert_same(run.resume(threads=1), reference, kept)


def test_launcher_and_supervisor_killed(started: Callable[..., Run], reference: Project, until: Until, tmp_path: Path) -> None:
    program = (
        "import sys; from cryoloom.app.session import open_project as p; p(sys.argv[1]).run('toy.add', things='r001.things', pause=0.8)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "project")])
    runs = open_project(tmp_path / "project").runs
    until(lambda: len(runs()) == 2 and parts(runs()[1]), "a part")
    launcher.kill()
    launcher.wait()
    run = runs()[1]
    os.kill(pid(run, "claim"), signal.SIGKILL)
    assert run.state is not State.LOST
    until(lambda: run.state is State.FINISHED, "finished without them")
    assert_same(run, reference, set(range(1, COUNT + 1)))


def test_everything_killed_then_a_worker_killed(started: Callable[..., Run], reference: Project, until: Until) -> None:
    run = started()
    until(lambda: len(parts(run)) >= 1, "a part")
    first = token(run)
    for kind in ("claim", "proc"):
        os.kill(pid(run, kind), signal.SIGKILL)
    until(lambda: run.state is State.LOST, "lost")
    until(lambda: not marked(first), "orphans gone")
    kept = parts(run)
    run.resume(wait=False)
    until(lambda: len(parts(run)) > len(kept) or run.state is State.FINISHED, "a part of the second attempt")
    workers = [each for each in marked(token(run)) if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert_same(run.wait(), reference, kept)


def test_killed_in_an_iteration(tmp_path: Path, until: Until, project: Project) -> None:
    whole = project.run("toy.grow", steps=10)
    assert not (whole.folder.path / "checkpoints").exists()
    assert [event["total"] for event in whole.events() if event["kind"] == "progress"] == [11] + 9 * [10]
    run = project.run("toy.grow", steps=10, pause=0.3, wait=False)
    until(lambda: len(list((run.folder.path / "checkpoints").rglob("[0-9]*.npz"))) == 2, "two checkpoints")
    os.kill(pid(run, "proc"), signal.SIGKILL)
    until(lambda: run.state is State.FAILED, "failed")
    last = max(int(path.stem) for path in (run.folder.path / "checkpoints").rglob("[0-9]*.npz"))
    run.resume()
    ours, theirs = (each.outputs.things.manifest for each in (run, whole))
    assert ours["table"]["base"][0]["blake3"] == theirs["table"]["base"][0]["blake3"] and ours["meta"] == theirs["meta"]
    counts = {path.name: path.stat().st_size for path in (run.folder.path / "calls").iterdir()}
    assert counts["start"] == 1 and [counts[str(k)] for k in range(last)] == [1] * last
    assert [event["done"] for event in run.events() if event["kind"] == "resumed"] == [last]


def test_stop_ends_everything_and_resume_goes_on(started: Callable[..., Run], reference: Project, until: Until) -> None:
    run = started()
    until(lambda: len(parts(run)) >= 1, "a part")
    kept = parts(run)
    assert run.stop()
    assert run.state is State.STOPPED and marked(token(run)) == []
    assert not run.stop()
    assert_same(run.resume(), reference, kept)


def test_a_run_that_does_not_listen_is_killed(project: Project, until: Until) -> None:
    run = project.run("toy.fail", how="deaf", wait=False)
    until(lambda: (run.folder.path / "deaf").exists(), "deaf")
    with pytest.raises(WrongUse, match="Stop it first"):
        project.delete(run)
    assert launch.stop(run.folder, grace=0.5)
    until(lambda: run.state is State.STOPPED, "stopped")
    assert marked(token(run)) == []


def test_of_many_starters_one_wins(project: Project) -> None:
    run = project.prepare("toy.grow", steps=2, pause=1.0)
    outcomes: list[str] = []
    ready = threading.Barrier(4)

    def start() -> None:
        ready.wait()
        try:
            launch.start(run.folder, WORKER, threads=1)
            outcomes.append("started")
        except WrongUse as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["run-active"] * 3 + ["started"]
    run.wait()
    with pytest.raises(WrongUse, match="nothing left to do"):
        run.resume()
    assert run.folder.attempt() == 1


def test_every_way_to_fail_has_its_words(project: Project) -> None:
    runs = {how: project.run("toy.fail", how=how, wait=False) for how in ("failure", "exception", "segfault", "silent", "needs-you")}
    expected = {
        "failure": (State.FAILED, "toy-broken", "The toy is broken at value 3. Buy another."),
        "exception": (State.FAILED, "unexpected", "KeyError: 'surprise'"),
        "segfault": (State.FAILED, "killed", "signal 11 (SIGSEGV)"),
        "silent": (State.FAILED, "ended-silently", "ended with code 7"),
        "needs-you": (State.NEEDS_YOU, "run-needs-you", "Draw some circles."),
    }
    for how, run in runs.items():
        state, code, words = expected[how]
        with pytest.raises(Failure) as caught:
            run.wait()
        assert (run.state, caught.value.code) == (state, code)
        assert words in str(caught.value) and "toy.fail" in str(caught.value)
    assert "Traceback" in runs["exception"].log() and "surprise" in runs["exception"].log()


def test_programs_are_logged_ended_and_not_run_twice(project: Project, until: Until) -> None:
    script = "echo to the log; date +%N >> ran; echo oops >&2"
    run = project.run("toy.shell", script=script, then="fail", wait=False)
    with pytest.raises(Failure, match="Something later went wrong"):
        run.wait()
    assert run.resume().outputs.things.items["value"][0] == 1.0
    assert run.log().count("to the log") >= 1 and "oops" in run.log()
    assert len((run.folder.path / "shell" / "ran").read_text().split()) == 1
    with pytest.raises(Failure, match="ended with code 3") as caught:
        project.run("toy.shell", script="echo last words; exit 3")
    assert "last words" in caught.value.message
    sleeper = project.run("toy.shell", script="trap '' TERM; touch here; sleep 60", wait=False)
    until(lambda: (sleeper.folder.path / "shell" / "here").exists(), "program started")
    sleeper.stop()
    assert sleeper.state is State.STOPPED and marked(token(sleeper)) == []


def test_a_run_waits_for_its_inputs(project: Project, until: Until) -> None:
    first = project.prepare("toy.source", count=1)
    then = project.run("toy.add", things=first.outputs.things, wait=False)
    other = project.run("toy.add", things=first.outputs.things, amount=5, wait=False)
    assert then.state is State.BLOCKED and then.reason == f"waiting for {first.id} (draft)"
    assert other.stop() and other.state is State.STOPPED
    assert project.run("toy.add", things=first.outputs.things, wait=False) == then, "the same work is not begun twice"
    first.start()
    assert then.wait().outputs.things.items["value"].to_list() == [11.0]
    assert project.run("toy.add", things=f"{first.id}.things").reused, "known again by what its inputs have become"


BEATING = """
import sys, time
from pathlib import Path
from cryoloom.engine import execution
from cryoloom.engine.folder import RunFolder
execution.HEARTBEAT = 0.05
execution._start_heartbeat(RunFolder(Path(sys.argv[1])), 1)
time.sleep(60)
"""


def test_an_attempt_that_was_given_up_ends_when_the_next_begins(tmp_path: Path, until: Until) -> None:
    process = subprocess.Popen([sys.executable, "-c", BEATING, str(tmp_path)])
    until(lambda: (tmp_path / "heartbeat.1").exists(), "a first heartbeat")
    (tmp_path / "claim.1.json").write_text("{}")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    (tmp_path / "claim.2.json").write_text("{}")
    assert process.wait(20) == execution.SUPERSEDED
