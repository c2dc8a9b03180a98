"""Runs from runs and provenance on the command line; a project on a disk that cannot be written, or that is full."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from toy_project import _toys, find_toys  # noqa: F401

from cryoloom.app.session import create_project, open_project

AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
MAY_MOUNT = os.geteuid() == 0 and sys.platform == "linux"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a project with things (r001, numbers), sums of them (r002, sums) and their multiple (r003)."""
    with pytest.MonkeyPatch.context() as patch:
        find_toys(patch)
        project = create_project(tmp_path_factory.mktemp("made") / "project")
        project.run("toy.source", count=3, name="numbers")
        project.run("toy.add", things="numbers.things", name="sums", threads=1)
        project.run("toy.scale", things="sums.things", threads=1)
        yield project.root


@pytest.fixture
def project(made, tmp_path):
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


def test_a_branch_is_copied_started_and_compared(project, cryoloom, finished):
    done = finished("copy", project, "sums", "--below", "--set", "amount=3", "--start", "--threads", 1)
    assert [(each["of"], each["run"]) for each in done["runs"]] == [("r002", "r004"), ("r003", "r005")] and done["started"] == [
        "r004",
        "r005",
    ]
    open_project(project).find("r005").wait()
    found = finished("compare", project, "sums", "sums-2")
    assert found["parameters"] == {"amount": [1.0, 3.0]} and found["outputs"]["things"]["numbers"]["value"]["mean"] == 2.0
    told = cryoloom("compare", project, "r002", "r004").stdout
    assert "amount is 3.0, was 1.0" in told and "ids: 3 in both, 0 only in r002, 0 only in r004" in told
    assert [each["state"] for each in finished("status", project)] == ["finished"] * 5
    assert [each["output"] for each in finished("compatible", project, "toy.scale", "things")][0] == "r005.things"


def test_settings_say_whose_they_are(project, finished, refused):
    done = finished("copy", project, "sums", "--below", "--set", "r003:factor=9")
    assert [each["run"] for each in done["runs"]] == ["r002", "r004"], "what stays the same is not made again"
    assert open_project(project).find("r004").parameters["factor"] == 9
    assert finished("start", project, "r004") == ["r004"]
    open_project(project).find("r004").wait()
    refused(2, "no-value", ["--set amount", "NAME=VALUE"], "copy", project, "sums", "--set", "amount")
    refused(2, "onto-mixed", ["OLD.OUTPUT=NEW.OUTPUT"], "copy", project, "sums", "--onto", "a.b=c.d", "--onto", "c.d")


def test_a_run_is_restarted_labelled_tagged_and_noted(project, cryoloom, finished):
    assert finished("restart", project, "sums", "--threads", 1)["run"] == "r004"
    assert cryoloom("label", project, "r004", "second try").returncode == 0
    assert cryoloom("tag", project, "second try", "paper", "keep").stdout == "r004: paper, keep\n"
    assert cryoloom("tag", project, "r004", "keep", "--remove").returncode == 0
    assert cryoloom("note", project, "r004", "see **grid 3**").returncode == 0
    assert cryoloom("note", project, "r004").stdout == "see **grid 3**\n"
    assert [each["run"] for each in finished("status", project, "--tag", "paper")] == ["r004"]
    shown = finished("show", project, "r004")
    assert shown["label"] == "second try" and shown["tags"] == ["paper"] and shown["notes"][0]["text"] == "see **grid 3**"


def test_the_trash_takes_what_depends_on_a_run(project, cryoloom, finished, refused):
    refused(2, "run-needed", ["r002", "r003", "--with-dependents"], "delete", project, "sums")
    assert "r003, r002" in cryoloom("delete", project, "sums", "--with-dependents").stdout
    assert "r002, r003" in cryoloom("restore", project, "r002", "--with-dependents").stdout
    cryoloom("delete", project, "r003")
    assert "MB in the trash" in cryoloom("disk", project).stdout
    assert finished("clean", project, "--trash")["bytes"] > 0 and open_project(project).trash() == []


def test_room_is_told_and_won_back(project, cryoloom, finished, refused):
    before = {each["run"]: each for each in finished("disk", project)}
    assert before["r003"]["intermediate"] > 0 < before["r003"]["final"]
    dry = finished("clean", project, "--dry-run")
    assert not dry["removed"] and dry["bytes"] > 0
    assert finished("clean", project)["bytes"] == dry["bytes"]
    refused(2, "files-needed", ["r003 rest on r002"], "clean", project, "sums", "--keep", "record")
    finished("clean", project, "r003", "--keep", "record")
    done = cryoloom("verify", project, "r003")
    assert done.returncode == 0 and "cleaned away on purpose: 3 files" in done.stdout
    assert cryoloom("report", project, "-o", project / "page.html").returncode == 0


def test_an_output_is_replayed_described_and_packed(project, tmp_path, cryoloom, finished):
    found = finished("replay", project, "r003.things", "-o", tmp_path / "again", "--threads", 1)
    assert found["ok"] and [step["run"] for step in found["steps"]] == ["r001", "r002", "r003"]
    assert "3 outputs of 3 runs: all the same to the bit" in cryoloom("replay", project, "r003.things", "-o", tmp_path / "again").stdout
    assert "polars==" in cryoloom("environment", project, "sums").stdout
    assert "@misc{doi_10_1000_toy" in cryoloom("methods", project, "r003.things", "--bibtex").stdout
    assert "toy.scale was run" in finished("methods", project)["text"]
    assert cryoloom("crate", project, tmp_path / "out.zip").returncode == 0 and (tmp_path / "out.zip").exists()


# -- disks ------------------------------------------------------------------------------------------------------


def reads(project, target, cryoloom, before=()):
    """Show, compare, verify, describe and export a project, all into `target`."""

    def says(*words):
        done = cryoloom(*words, before=before)
        assert done.returncode == 0, f"{words[0]}: {done.stderr}"
        return done.stdout.splitlines()[-1]

    assert [each["state"] for each in json.loads(says("status", project, "--json"))] == ["finished"] * 3
    assert json.loads(says("run", project, "toy.scale", "--input-things", "sums.things", "--json"))["reused"], "the same work needs no disk"
    for words in (
        ("show", project, "sums.things"), ("log", project, "sums"), ("compare", project, "r002", "r003"), ("verify", project, "r003"),
        ("trace", project, "r003.things"), ("disk", project), ("methods", project), ("report", project, "-o", target / "report.html"),
        ("crate", project, target / "c.zip"), ("export", project, "sums.things", target / "out", "--format", "parquet"),
        ("project", "info", project), ("project", "copy", project, target / "copy"), ("replay", project, "r001.things", "-o", target / "again"),
    ):  # fmt: skip
        says(*words)


def test_a_read_only_disk_is_read_and_refuses_to_be_written(project, tmp_path, cryoloom, refused):
    if not MAY_MOUNT or subprocess.run(["mount", "--bind", project, project], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk read-only")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", project], check=True)
        reads(project, tmp_path, cryoloom)
        refused(1, "not-writable", [str(project)], "run", project, "toy.scale", "--input-things", "sums.things", "--factor", 7)
        refused(1, "not-writable", [str(project)], "tag", project, "sums", "paper")
        refused(1, "not-writable", [str(project)], "delete", project, "r003")
        refused(1, "not-writable", [str(project)], "clean", project, "r003", "--keep", "record")
    finally:
        subprocess.run(["umount", project], check=True)


def test_a_project_without_write_access_is_read(project, tmp_path, cryoloom):
    before = AS_ANYBODY if os.geteuid() == 0 else ()
    paths = [path for path in (project, *project.rglob("*")) if not path.is_symlink()]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        reads(project, tmp_path, cryoloom, before)
        assert "[CL-not-writable]" in cryoloom("tag", project, "sums", "paper", before=before).stderr
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_moved_project_goes_on(project, tmp_path, finished):
    project.rename(tmp_path / "elsewhere")
    done = finished("run", tmp_path / "elsewhere", "toy.scale", "--input-things", "r003.things", "--threads", 1)
    assert done["run"] == "r004" and done["state"] == "finished"


def test_a_full_disk_fails_the_run_alone_and_resuming_completes_it(made, tmp_path, cryoloom, refused, finished):
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not MAY_MOUNT
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False).returncode
    ):
        pytest.skip("only root may mount a small disk")
    try:
        project = disk / "project"
        shutil.copytree(made, project)
        finished("run", project, "toy.source", "--count", 40, "--name", "many")
        filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(free - 260_000))
        refused(1, "disk-full", ["No space left", "resume"], "run", project, "toy.scale", "--input-things", "many.things", "--threads", 1)
        state = finished("status", project)
        assert [each["state"] for each in state] == ["finished"] * 4 + ["failed"] and "No space left" in state[4]["reason"]
        kept = len(list((project / "runs/r005/parts").rglob("[0-9]*.parquet")))
        filler.unlink()
        done = finished("resume", project, "r005")
        assert done["state"] == "finished" and done["outputs"]["things"]["count"] == 40 and done["failed_items"] == {}
        assert 0 < kept < 40, "some items were finished before the disk was full"
        assert json.loads(cryoloom("verify", project, "r005", "--json").stdout)["ok"]
    finally:
        subprocess.run(["umount", disk], check=True)
