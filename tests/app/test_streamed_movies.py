"""A session at the microscope: movies that come one by one through all steps that take them so, and in the end what a batch gives."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from cryoloom.app.process import Plan, project_for
from cryoloom.app.session import create_project
from cryoloom.app.simulation import simulate

pytestmark = pytest.mark.slow


def until(condition, what, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def chain(project, data, pattern, **watch):
    """Start all steps that take movies one by one; return their runs."""
    told = json.loads((data / "acquisition.json").read_text())
    acquisition = {name: told[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame")}
    movies = project.run("import.movies", pattern=pattern, gain=str(data / told["gain"]), wait=False, **acquisition, **watch)
    aligned = project.run("motion.correlation", movies=f"{movies.id}.movies", wait=False, threads=1)
    ctfs = project.run("ctf.estimate", micrographs=f"{aligned.id}.micrographs", wait=False, threads=1)
    picks = project.run(
        "pick.blob", micrographs=f"{aligned.id}.micrographs", ctfs=f"{ctfs.id}.ctfs", diameter=180, wait=False, threads=1
    )  # fmt: skip
    cut = project.run(
        "particles.extract", coordinates=f"{picks.id}.coordinates", micrographs=f"{aligned.id}.micrographs", ctfs=f"{ctfs.id}.ctfs",
        box_size=64, bin=2, wait=False, threads=1,
    )  # fmt: skip
    return movies, aligned, ctfs, picks, cut


def arrive(movie, folder):
    """Let a movie appear whole, as a microscope's transfer does."""
    shutil.copy(movie, folder / f".{movie.name}.part")
    (folder / f".{movie.name}.part").rename(folder / movie.name)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("session") / "data"
    simulate(place, "tiny", 5, overrides={"movies": 3})
    return place


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "microscope").mkdir()
    return tmp_path / "microscope"


def test_a_session_gives_what_a_batch_gives(data, folder, tmp_path):
    source = sorted((data / "movies").glob("*.mrc"))
    live = create_project(tmp_path / "live")
    runs = chain(live, data, f"{folder}/*.mrc", watch=True, watch_settle=0)
    aligned = runs[1]
    for number, movie in enumerate(source, 1):
        arrive(movie, folder)
        until(lambda number=number: len(aligned.partial()) >= number, f"movie {number} aligned while the session goes on", 300)
    assert runs[0].state == "running"
    runs[0].close()
    batch = chain(create_project(tmp_path / "batch"), data, f"{data}/movies/*.mrc")
    for one, other in zip(runs, batch, strict=True):
        one.wait()
        other.wait()
        left, right = (next(iter(run.outputs)).items for run in (one, other))
        same = [name for name in left.columns if not name.endswith("_path")]
        assert left.select(same).equals(right.select(same)), one.protocol
    assert [output.hash for output in runs[4].outputs] == [output.hash for output in batch[4].outputs]


def test_the_chain_follows_a_session_and_resumes_it(data, folder, tmp_path):
    source = sorted((data / "movies").glob("*.mrc"))
    told = json.loads((data / "acquisition.json").read_text())
    plan = Plan(
        movies=(f"{folder}/*.mrc",), gain=str(data / told["gain"]), until="pick.blob", watch=True,
        **{name: told[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame", "diameter")},
    )  # fmt: skip
    project = project_for(tmp_path / "project", plan)
    arrive(source[0], folder)
    words = [sys.executable, "-m", "cryoloom.cli.main", "resume", str(project.root), "--threads", "1", "--json"]
    chain = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    until(lambda: len(project.runs()) == 4, "four runs at work", 60)
    arrive(source[1], folder)
    until(lambda: len(project.find("micrographs").partial()) >= 1, "a movie aligned", 300)
    chain.kill()
    chain.wait()
    chain = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    project.find("movies").close()
    done = json.loads(chain.communicate(timeout=300)[0].splitlines()[-1])
    assert chain.returncode == 0 and [run["run"] for run in done["runs"]] == ["r001", "r002", "r003", "r004"]
    assert len(project.find("movies").outputs.movies) == 2 and len(project.find("picks").outputs.coordinates)
