"""Runs as jobs of a real Slurm with two virtual nodes, which are killed while they work."""

import itertools
import os
import subprocess
import sys

import pytest

from cryoloom.app.cluster import trial
from cryoloom.spec import Failure, WrongUse

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.xdist_group("slurm")]


def hashes(run):
    return [output.hash for output in run.outputs]


def test_a_job_gives_the_hashes_of_a_local_run(project, tmp_path):
    from cryoloom.app.session import create_project

    other = create_project(tmp_path / "other")
    local = other.run("toy.add", things=other.run("toy.source").outputs.things, seed=5)
    source = project.run("toy.source", target="slurm")
    far = project.run("toy.add", things=source.outputs.things, seed=5, target="slurm", threads=2)
    assert far.state == "finished" and hashes(far) == hashes(local)
    assert far.folder.of_attempt("launch", 1)["job"] and far.folder.of_attempt("claim", 1)["threads"] == 2


def test_a_run_waits_in_the_queue_for_another_of_the_cluster(project):
    source = project.run("toy.grow", steps=3, pause=1.0, target="slurm", wait=False)
    after = project.run("toy.join", things=source.outputs.things, more=[source.outputs.things], target="slurm", wait=False)
    assert after.state == "blocked" and after.reason == f"waiting for {source.id}"
    assert after.wait().state == "finished" and source.state == "finished"


def test_a_run_whose_input_never_comes_says_so(project, until):
    broken = project.run("toy.fail", how="needs-you", target="slurm", wait=False)
    after = project.run("toy.add", things=f"{broken.id}.things", target="slurm", wait=False)
    with pytest.raises(Failure, match="ended without an output"):
        after.wait()
    assert broken.state == "needs-you"


def test_scancel_is_shown_as_stopped_and_resume_goes_on(project, cluster, until):
    run = project.run("toy.grow", steps=6, pause=0.7, target="slurm", wait=False)
    until(lambda: (run.folder.path / "calls/1").exists(), "a second step")
    cluster.command("scancel", run.folder.of_attempt("launch", 1)["job"])
    until(lambda: run.state == "stopped", "stopped", 40)
    run.resume()
    calls = {path.name: path.stat().st_size for path in (run.folder.path / "calls").iterdir()}
    assert run.state == "finished" and run.folder.attempt() == 2 and calls["0"] == 1
    assert run.folder.of_attempt("launch", 2), "resumed on the cluster, where it was"


def test_a_job_cancelled_before_it_starts_is_stopped(project, cluster, until, tmp_path):
    (tmp_path / "cluster.toml").write_text('directives = ["--begin=now+1hour"]\nmemory = "100M"\npoll = 0.5\n')
    run = project.run("toy.source", target="slurm", wait=False)
    assert run.state == "queued"
    cluster.command("scancel", run.folder.of_attempt("launch", 1)["job"])
    until(lambda: run.state == "stopped", "stopped")
    assert "left the queue before it started" in run.reason


def test_stop_cancels_the_job_and_sees_that_it_is_gone(project, cluster):
    run = project.run("toy.grow", steps=100, pause=1.0, target="slurm", wait=False)
    assert run.stop() and run.state == "stopped"
    assert run.folder.of_attempt("launch", 1)["job_name"] not in cluster.command("squeue", "--noheader", "--format=%j")
    assert not run.stop()


def test_the_node_is_killed_and_the_run_ends_on_the_other_with_the_same_bits(project, cluster, until):
    whole = project.run("toy.grow", steps=8, pause=0.0, seed=3)
    run = project.run("toy.grow", {"pause": 0.5}, steps=8, seed=3, target="slurm", wait=False)
    until(lambda: (run.folder.path / "calls/2").exists(), "a third step")
    job = run.folder.of_attempt("launch", 1)["job"]
    node = cluster.command("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()
    cluster.kill_node(node)
    try:
        assert run.wait().state == "finished"
    finally:
        cluster.start_node(node)
    assert run.folder.attempt() == 2
    assert run.outputs.things.meta == whole.outputs.things.meta
    assert run.outputs.things.items.equals(whole.outputs.things.items)


def test_a_job_killed_for_its_memory_says_so_and_what_to_do(project, until, tmp_path):
    (tmp_path / "cluster.toml").write_text('memory = "100M"\npoll = 0.5\n')
    hungry = f"exec {sys.executable} -c 'b = bytearray(1 << 30); import time; time.sleep(30)'"
    run = project.run("toy.shell", script=hungry, target="slurm", wait=False)
    with pytest.raises(Failure) as caught:
        run.wait()
    assert run.state == "failed"
    assert "memory" in str(caught.value) and "cluster.toml" in str(caught.value)


def test_two_launchers_submit_once(project):
    run = project.prepare("toy.grow", steps=2)
    code = "import sys, cryoloom; cryoloom.open_project(sys.argv[1]).find(sys.argv[2]).start(target='slurm')"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(project.root), run.id], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [each.communicate()[1] for each in started]
    assert sorted(each.returncode for each in started) == [0, 1], said
    assert any("at the same moment" in text or "is queued" in text or "is running" in text for text in said), said
    assert run.wait().folder.attempt() == 1


def test_a_queue_that_does_not_answer_leaves_the_state_as_it_was(project, monkeypatch, tmp_path):
    (tmp_path / "cluster.toml").write_text('directives = ["--begin=now+1hour"]\nmemory = "100M"\npoll = 0.0\n')
    run = project.run("toy.source", target="slurm", wait=False)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        assert run.state == "queued"
    assert run.stop() and run.state == "stopped"


def test_what_slurm_refuses_is_told_and_leaves_a_draft(project, tmp_path):
    (tmp_path / "cluster.toml").write_text('partition = "nowhere"\n')
    with pytest.raises(Failure, match="nowhere|partition"):
        project.run("toy.source", target="slurm")
    assert [run.state for run in project.runs()] == ["draft"]


def test_the_trial_says_what_it_found(project, cluster):
    found = trial(str(project.root), 60)
    assert found["node"] and found["job"].isdigit() and found["settings"]["poll"] == 0.5
    assert not [path for path in project.root.iterdir() if "trial" in path.name]


def test_a_local_run_that_makes_an_input_is_waited_for_first(project):
    source = project.run("toy.grow", steps=50, pause=0.5, wait=False)
    with pytest.raises(WrongUse, match="at work on this computer"):
        project.run("toy.add", things=source.outputs.things, target="slurm", wait=False)
    source.stop()


def test_no_process_of_a_job_is_left(project):
    run = project.run("toy.add", things=project.run("toy.source").outputs.things, target="slurm", threads=2)
    token = run.folder.of_attempt("claim", 1)["token"].encode()
    numbers = (name for name in os.listdir("/proc") if name.isdigit())
    left = [number for number in itertools.islice(numbers, None) if token in _environment(number)]
    assert not left


def _environment(number: str) -> bytes:
    try:
        with open(f"/proc/{number}/environ", "rb") as handle:
            return handle.read()
    except OSError:
        return b""
