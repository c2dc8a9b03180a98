"""particles.extract as a run: the same bits whoever works on it, in Python and from the command line, and what an export says of it."""

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from cryoloom.app.report import panels_of
from cryoloom.app.session import create_project, open_project
from cryoloom.cli.main import app
from cryoloom.formats.mrc import write_mrc

ACQUIRED = {"pixel_size": 2.0, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
CTF = "data_\nloop_\n_rlnMicrographName\n_rlnDefocusU\n_rlnDefocusV\n_rlnDefocusAngle\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder of three micrographs with dust, coordinates and CTFs."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(1)
    for number in range(3):
        image = rng.normal(100, 5, (180, 220)).astype(np.float32)
        image.ravel()[rng.choice(image.size, 20)] = 1e4
        write_mrc(folder / f"mic{number}.mrc", image, 2.0)
        corners = rng.uniform((0, 0), (172, 132), (12, 2)).round().astype(int)
        (folder / f"mic{number}.box").write_text("".join(f"{x}\t{y}\t48\t48\n" for x, y in corners))
    (folder / "ctf.star").write_text(CTF + "".join(f"mic{number}.mrc 15000 14000 20\n" for number in range(3)))
    return folder


@pytest.fixture(scope="module")
def imported(data, tmp_path_factory):
    """Return the folder of a project with all that an extraction takes."""
    project = create_project(tmp_path_factory.mktemp("made") / "project")
    project.run("import.micrographs", pattern=str(data / "*.mrc"), name="mics", threads=1, **ACQUIRED)
    project.run("import.coordinates", micrographs="mics.micrographs", path=str(data / "*.box"), diameter=60.0, name="picks", threads=1)
    project.run("import.ctfs", micrographs="mics.micrographs", path=str(data / "ctf.star"), name="ctfs", threads=1)
    return project.root


def extracted(imported, root, threads):
    shutil.copytree(imported, root, symlinks=True)
    project = open_project(root)
    inputs = {"coordinates": "picks.coordinates", "micrographs": "mics.micrographs", "ctfs": "ctfs.ctfs"}
    project.run("particles.extract", bin=1.5, phase_flip=True, scores=True, name="cut", threads=threads, **inputs)
    return project


def test_one_worker_and_two_give_the_same_bits(imported, tmp_path):
    one, two = (extracted(imported, tmp_path / f"p{threads}", threads) for threads in (1, 2))
    outputs = [project.output("cut.particles") for project in (one, two)]
    assert outputs[0].hash == outputs[1].hash and len(outputs[0]) > 20
    assert outputs[0].optics[0]["box_size"] == 32 and one.find("cut").summary["box"].startswith("32 px of 3 Å = 48 px of 2 Å")
    told = CliRunner().invoke(app, ["export", str(one.root), "cut.particles", str(tmp_path / "out")])
    assert told.exit_code == 0 and "--ctf_phase_flipped" in told.output
    assert all(panel.html() for panel in panels_of(one.find("cut")))
    words = ["run", str(one.root), "particles.extract", "--input-coordinates", "cut.particles", "--input-micrographs", "mics.micrographs"]
    more = ["--box-size", "96", "--box-unit", "angstrom", "--name", "again", "--threads", "1"]
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exit_code == 0, done.output
    again = one.output("again.particles")
    assert again.optics[0]["box_size"] == 48 and again.items["id"].to_list() == outputs[0].items["id"].to_list()
