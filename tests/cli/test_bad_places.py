"""Patterns that match nothing, and folders that exist, cannot be made or are full: told in one paragraph, nothing lost."""

import os
import subprocess

import pytest

AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
"""Takes root's right to write everywhere from a command."""


@pytest.mark.parametrize("pattern", ["*.tif", "sub", "sub/*"])
def test_no_file_matches(movies, importing, processing, refused, finished, project, pattern):
    (movies / "sub" / "folder.mrc").mkdir(parents=True)
    for words in (importing, processing):
        done = refused(
            2, "no-files", [f"no file matches {movies / pattern}", "which holds", "Correct the pattern"], *words(movies / pattern)
        )
        assert ("folder.mrc/" if "sub" in pattern else "a.mrc") in done.stderr
    assert finished("status", project) == []


def test_a_project_that_exists_keeps_what_it_holds(tmp_path, movies, processing, refused, finished, cryoloom):
    project = tmp_path / "whole"
    assert cryoloom(*processing(movies / "*.mrc")).returncode == 0
    before = finished("show", project, "movies.movies")["hash"]
    refused(2, "project-exists", [str(project), "is a project already", "another folder"], "project", "new", project)
    refused(2, "project-exists", ["voltage was 300.0, now 200.0", "-o"], *processing(movies / "*.mrc", "--voltage", 200))
    assert "Nothing to do" in cryoloom(*processing(movies / "*.mrc")).stdout
    assert "Nothing to do" in cryoloom(*processing(movies / "*.mrc", diameter=40)).stdout, "nothing done so far depends on the diameter"
    refused(2, "folder-not-empty", [str(movies), "holds other files"], "project", "new", movies)
    other = tmp_path / "by-hand"
    assert cryoloom("project", "new", other).returncode == 0
    words = [other if word == project else word for word in processing(movies / "*.mrc")]
    refused(2, "project-exists", [str(other), "not made by `cryoloom process`", "-o"], *words)
    assert finished("show", project, "movies.movies")["hash"] == before and cryoloom("verify", project, "movies.movies").returncode == 0


def test_folders_that_cannot_be_made(tmp_path, movies, processing, project, refused, finished):
    file = tmp_path / "file"
    file.write_text("in the way")
    refused(2, "not-a-folder", [str(file), "is a file"], "project", "new", file)
    refused(1, "not-writable", [str(file / "p"), f"{file} is not a folder", "another place"], "project", "new", file / "p")
    words = [file / "p" if word == tmp_path / "whole" else word for word in processing(movies / "*.mrc")]
    refused(1, "not-writable", [str(file / "p"), f"{file} is not a folder"], *words)
    refused(1, "not-writable", ["/proc/1/project"], "project", "new", "/proc/1/project")
    refused(1, "not-writable", [str(file)], "simulate", file / "set")
    refused(1, "not-writable", [str(file), "another place"], "report", project, "-o", file / "report.html")
    refused(1, "not-writable", ["/proc/1 takes no files", "another place"], "report", project, "-o", "/proc/1/report.html")
    assert file.read_text() == "in the way"


def test_a_folder_without_write_access(tmp_path, movies, processing, refused):
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    before = AS_ANYBODY if os.geteuid() == 0 else ()
    says = [str(folder / "p"), "cannot be written", "write access"]
    refused(1, "not-writable", says, "project", "new", folder / "p", before=before)
    words = [folder / "p" if word == tmp_path / "whole" else word for word in processing(movies / "*.mrc")]
    refused(1, "not-writable", says, *words, before=before)
    assert list(folder.iterdir()) == []


def test_a_full_disk_stops_a_run_that_then_goes_on(tmp_path, movies, acquisition, refused, finished, write_movie):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        for name in "defg":
            write_movie(movies / f"{name}.mrc")
        project = disk / "project"
        finished("project", "new", project)
        words = ("--pattern", movies / "*.mrc", "--copy-files", *acquisition)
        says = ["No space left while writing", str(project), "0.00 GB free", "resume"]
        refused(1, "disk-full", says, "run", project, "import.movies", "--threads", 1, *words)
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        done = finished("resume", project, "r001")
        assert done["state"] == "finished" and done["outputs"]["movies"]["count"] == 7 and done["failed_items"] == {}
    finally:
        subprocess.run(["umount", disk], check=True)
