"""The whole chain on eight small simulated movies: a map, a report, RELION's files; killed, resumed, repeated, other threads: the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from cryoloom.app.process import STEPS
from cryoloom.app.session import open_project
from cryoloom.app.simulation import simulate
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star

pytestmark = pytest.mark.slow


def command(*words):
    return [sys.executable, "-m", "cryoloom.cli.main", *map(str, words)]


def cryoloom(*words):
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=1500, check=False)


def arguments(data: Path, project: Path, threads: int) -> list:
    acquisition = json.loads((data / "acquisition.json").read_text())
    words = ["process", data / "movies" / "*", "-o", project, "--gain", data / acquisition["gain"], "--threads", threads]
    for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame", "diameter"):
        words += [f"--{name.replace('_', '-')}", acquisition[name]]
    return words


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies") / "data"
    simulate(folder, "tiny", 5)
    good = sorted((folder / "movies").glob("*.mrc"))
    whole = good[-1].read_bytes()
    (folder / "movies" / "zz_truncated.mrc").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def first(data, tmp_path_factory):
    project = tmp_path_factory.mktemp("first") / "project"
    done = cryoloom(*arguments(data, project, 2), "--json")
    assert done.returncode == 0, done.stderr
    return project, json.loads(done.stdout.splitlines()[-1])


def hashes(project: Path) -> dict:
    return {f"{run.label}.{output.name}": output.hash for run in open_project(project).runs() for output in run.outputs}


def test_every_step_finished_and_the_bad_movie_stopped_nothing(first):
    project, result = first
    assert {run["protocol"] for run in result["runs"]} == set(STEPS)
    assert all(run["state"] == "finished" for run in result["runs"])
    movies = open_project(project).find("movies").outputs.movies.items
    bad = movies.filter(~pl.col("enabled"))
    assert bad["movie_name"].to_list() == ["zz_truncated"] and "expected" in bad["fail_reason"][0]
    assert result["resolution"] > 0


def test_the_report_stands_alone_and_names_the_resolution(first):
    project, result = first
    page = (project / "report.html").read_text(encoding="utf-8")
    assert f"{result['resolution']:.2f} Å" in page[:20_000] and "<script" not in page
    for title in ("From movies to map", "Fourier shell correlation", "Viewing directions", "Particles"):
        assert title in page


def test_the_same_command_again_does_nothing_and_says_so(first, data):
    project, _ = first
    before = hashes(project)
    done = cryoloom(*arguments(data, project, 2))
    assert done.returncode == 0 and "Nothing to do" in done.stdout
    assert hashes(project) == before


def test_other_arguments_for_the_same_project_are_refused(first, data):
    project, _ = first
    done = cryoloom(*arguments(data, project, 2), "--seed", 9)
    assert done.returncode == 2 and "seed was 0, now 9" in done.stderr


def test_killed_again_and_again_with_one_thread_the_bits_are_the_same(first, data, tmp_path):
    reference, _ = first
    project = tmp_path / "project"
    words = command(*arguments(data, project, 1))
    for patience in (6, 12, 18, 25):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(patience)
        kill_everything(process, project)
        words = command("resume", project, "--threads", "1")
        if not (project / "process.json").exists():
            words = command(*arguments(data, project, 1))
    done = subprocess.run(words, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    assert hashes(project) == hashes(reference)
    for run in open_project(project).runs():
        started = [event for event in run.events() if event["kind"] == "item-done"]
        assert len(started) == len({(event["name"], event["id"]) for event in started})


def kill_everything(process: subprocess.Popen, project: Path) -> None:
    """Kill the command, and every process that works in the project, with signal 9."""
    os.killpg(process.pid, signal.SIGKILL)
    for each in psutil.process_iter(["cmdline"]):
        if any(str(project) in word for word in each.info["cmdline"] or []):
            for child in [*each.children(recursive=True), each]:
                try:
                    child.kill()
                except psutil.NoSuchProcess:
                    continue
    process.wait()


def test_relion_files_are_there_and_lie_on_the_particles(first, data, tmp_path):
    project, _ = first
    done = cryoloom("export", project, "all", tmp_path / "out", "--format", "relion")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"movies.star", "corrected_micrographs.star", "micrographs_ctf.star", "particles.star"} <= names
    assert any(name.endswith("_half1_unfil.mrc") for name in names) and any(name.endswith("_half2_unfil.mrc") for name in names)
    particles = read_star(tmp_path / "out" / "particles.star")["particles"]
    stack = particles["rlnImageName"][0].split("@")[1]
    assert (tmp_path / "out" / stack).exists()
    half = next((tmp_path / "out").rglob("*_half1_unfil.mrc"))
    assert read_mrc(half).data.ndim == 3
    micrographs = read_star(tmp_path / "out" / "corrected_micrographs.star")["micrographs"]
    assert set(particles["rlnMicrographName"]) <= set(micrographs["rlnMicrographName"])


def test_trace_reaches_every_movie_and_verify_finds_a_changed_file(first):
    project, _ = first
    traced = json.loads(cryoloom("trace", project, "map.volume", "--json").stdout)
    assert {step["protocol"] for step in traced["steps"]} >= {"import.movies", "motion.correlation", "refine.auto"}
    assert sum("movie" in source["path"] for source in traced["sources"]) >= 8
    assert cryoloom("verify", project, "map.volume").returncode == 0
