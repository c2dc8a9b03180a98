"""What Slurm writes into a job's log, and what the site's file may hold; no Slurm needed."""

import json
import time
from dataclasses import replace

import pytest

from cryoloom import files
from cryoloom.engine import folder, slurm
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.processes import ProcessId
from cryoloom.engine.site import EXAMPLE, read_site
from cryoloom.engine.state import Life, State
from cryoloom.spec.errors import WrongUse


@pytest.mark.parametrize(
    ("line", "state", "code"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch. Some of your processes may have been killed.", "failed", "out-of-memory"),
        ("slurmstepd-n1: error: StepId=1.batch exceeded memory limit (345796608 > 209715200), being killed", "failed", "out-of-memory"),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***", "failed", "time-limit"),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE, SEE SLURMCTLD LOG ***", "failed", "node-failed"),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***", "failed", "preempted"),
        ("slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", "stopped", None),
    ],
)  # fmt: skip
def test_a_log_tells_how_a_job_ended(tmp_path, line, state, code):
    log = tmp_path / "log.txt"
    log.write_text(f"aligning\n{line}\n")
    found = slurm.ending(log, "refine.auto")
    assert found["state"] == state and found.get("error") == code


def test_a_program_that_speaks_of_memory_is_not_slurm(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("my program: Exceeded job memory limit\nCANCELLED AT noon\n")
    assert slurm.ending(log, "toy.add") is None
    assert slurm.ending(tmp_path / "absent", "toy.add") is None


def test_the_example_is_read_and_one_protocol_may_differ(tmp_path, monkeypatch):
    monkeypatch.delenv("CRYOLOOM_CLUSTER", raising=False)
    (tmp_path / "cluster.toml").write_text(EXAMPLE)
    site = read_site(tmp_path)
    assert (site.partition, site.memory, site.of("refine.auto").memory, site.of("pick.blob").memory) == ("main", "4G", "8G", "4G")
    text = slurm.script(
        site.of("refine.auto"), ["python", "-c", "print('a b')"], name="job", log=tmp_path / "log.txt", threads=3, after=["7", "8"]
    )
    for line in ("#SBATCH --mem-per-cpu=8G", "#SBATCH --cpus-per-task=3", "#SBATCH --partition=main", "#SBATCH --dependency=afterany:7:8"):
        assert line in text
    assert "account" not in text and text.endswith("exec python -c 'print('\"'\"'a b'\"'\"')'\n")


@pytest.mark.parametrize(
    "text", ["partitions = 'x'", "memory = 4", "prologue = 'module load x'", "poll = 'often'", 'qos = "a\\nb"', "time = ["]
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, monkeypatch, text):
    monkeypatch.delenv("CRYOLOOM_CLUSTER", raising=False)
    (tmp_path / "cluster.toml").write_text(text)
    with pytest.raises(WrongUse, match="cluster.toml"):
        read_site(tmp_path)
    monkeypatch.setenv("CRYOLOOM_CLUSTER", str(tmp_path / "absent.toml"))
    with pytest.raises(WrongUse, match="not there"):
        read_site(tmp_path)


def test_a_look_at_a_run_of_the_cluster_asks_the_queue_once(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "runs" / "r001")
    run.path.mkdir(parents=True)
    process = ProcessId("node", "another boot", 7, 1.0).to_json()
    records = {"run.json": {"inputs": {}}, "launch.1.json": {"job_name": "job", "t": 1.0}}
    records |= {"claim.1.json": {"supervisor": process}, "proc.1.json": process}
    for name, record in records.items():
        (run.path / name).write_text(json.dumps(record))
    asked = []
    monkeypatch.setattr(folder, "read_site", lambda root: asked.append("site") or read_site(root))
    monkeypatch.setattr(slurm, "queue", lambda poll: asked.append("queue") or (2.0, {"job": slurm.Job("5", "RUNNING", "node")}))
    facts = run.facts()
    assert (facts.job, facts.supervisor, facts.process) == (Life.ALIVE,) * 3 and asked == ["site", "queue"]
    assert run.standing().state is State.RUNNING


def test_the_sites_file_is_read_anew_only_when_it_has_changed(tmp_path, monkeypatch):
    monkeypatch.delenv("CRYOLOOM_CLUSTER", raising=False)
    (tmp_path / "cluster.toml").write_text("poll = 20")
    assert read_site(tmp_path) is read_site(tmp_path)
    (tmp_path / "cluster.toml").write_text("poll = 7.5")
    assert read_site(tmp_path).poll == 7.5


@pytest.mark.parametrize(("changes", "job"), [({}, Life.ALIVE), ({"job": "5"}, Life.DEAD), ({"by": "dead"}, Life.DEAD)])
def test_an_attempt_on_its_way_to_the_queue_is_not_gone_from_it(tmp_path, monkeypatch, changes, job):
    monkeypatch.setattr(slurm, "queue", lambda poll: (time.time(), {}))
    me = ProcessId.current()
    launch = {"job_name": "job", "t": time.time() - 1, "by": me.to_json(), **changes}
    if launch["by"] == "dead":
        launch["by"] = replace(me, started=me.started - 1).to_json()
    files.write_json(tmp_path / "run.json", {"protocol": "x", "inputs": {}})
    files.write_json(tmp_path / "launch.1.json", launch)
    assert RunFolder(tmp_path).facts().job is job
