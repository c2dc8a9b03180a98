"""The wheel of examples/plugin, built, installed into a folder of its own and used from the command line; nothing of ours names it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from cryoloom.app.session import open_project
from cryoloom.formats.mrc import write_mrc

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
SIZE, LEAST = 1.5, 90.0
PLACES = {
    "m1": [(30.0, 40.0), (110.0, 40.0), (110.0, 90.0), (300.5, 300.25)],  # nearest: 80 px, 50 px, 50 px, and far
    "m2": [(50.0, 60.0)],  # alone
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Return a function that runs `cryoloom` with the wheel on Python's path."""
    site = tmp_path_factory.mktemp("site")
    install = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", site, EXAMPLE)
    done = subprocess.run([sys.executable, "-m", *map(str, install)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])

    def cryoloom(*words, there=True):
        env = {**os.environ, "COLUMNS": "200"} | ({"PYTHONPATH": path} if there else {})
        done = subprocess.run(
            [sys.executable, "-m", "cryoloom.cli.main", *map(str, words)], capture_output=True, text=True, env=env, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    return SimpleNamespace(cryoloom=cryoloom, site=site)


@pytest.fixture(scope="module")
def project(plugin, tmp_path_factory):
    """Return a project of two simulated micrographs with known positions, measured by the plugin."""
    folder = tmp_path_factory.mktemp("crowded")
    noise = np.random.default_rng(0)
    for name, places in PLACES.items():
        image = noise.normal(100, 5, (400, 420)).astype(np.float32)
        for x, y in places:
            image[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9] -= 20
        write_mrc(folder / f"{name}.mrc", image, SIZE)
        lines = [f"{number},{y},{x}\n" for number, (x, y) in enumerate(places)]
        (folder / f"{name}.csv").write_text("index,axis-0,axis-1\n" + "".join(lines))
    made = folder / "project"
    plugin.cryoloom("project", "new", made)
    optics = ("--pixel-size", SIZE, "--voltage", 300, "--cs", 2.7, "--amplitude-contrast", 0.1)
    plugin.cryoloom("run", made, "import.micrographs", "--pattern", folder / "*.mrc", *optics, "--name", "images")
    by_hand = ("--path", folder / "*.csv", "--input-micrographs", "images.micrographs", "--name", "hand")
    plugin.cryoloom("run", made, "import.coordinates", *by_hand)
    plugin.cryoloom("run", made, "pick.crowding", "--input-coordinates", "hand.coordinates", "--least", LEAST, "--name", "crowding")
    return made


def test_it_is_there_with_its_wheel_and_only_then(plugin):
    assert "pick.crowding" in plugin.cryoloom("protocols", "--search", "neighbour")
    assert "pick.crowding" not in plugin.cryoloom("protocols", there=False)
    schema = json.loads(plugin.cryoloom("protocols", "show", "pick.crowding", "--json"))
    assert schema["properties"]["least"]["x-unit"] == "Å"


def test_its_protocol_measures_what_is_known(project):
    rows = open_project(project).output("crowding.coordinates").items.sort("micrograph_name", "x", "y")
    far = float(np.hypot(190.5, 210.25))
    assert rows["neighbour_distance"].to_list() == pytest.approx([SIZE * 80, SIZE * 50, SIZE * 50, SIZE * far, None], nan_ok=True)
    assert rows["neighbour_angle"].to_list()[:3] == pytest.approx([0.0, 90.0, -90.0])
    assert rows["enabled"].to_list() == [True, False, False, True, True]
    assert set(rows.filter(~pl.col("enabled"))["fail_reason"]) == {"another pick within 90 Å"}


def test_its_panel_is_in_the_report(plugin, project, tmp_path):
    plugin.cryoloom("report", project, "crowding", "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert '<p class="about">1 run, cryoloom' in page
    assert "<h3>Directions</h3>" in page and "Lobes are packing" in page and page.count("<svg") == 2


def test_its_format_carries_positions_there_and_back(plugin, project, tmp_path):
    assert "napari (coordinates)" in " ".join(plugin.cryoloom("export", "--help").split())
    plugin.cryoloom("export", project, "crowding.coordinates", tmp_path / "out", "--format", "napari")
    kept = [("m1", 30.0, 40.0), ("m1", 300.5, 300.25), ("m2", 50.0, 60.0)]
    assert (tmp_path / "out/m1.csv").read_text().splitlines() == ["index,axis-0,axis-1", "0,40.0,30.0", "1,300.25,300.5"]
    back = ("--path", tmp_path / "out/*.csv", "--input-micrographs", "images.micrographs", "--name", "back")
    plugin.cryoloom("run", project, "import.coordinates", *back)
    rows = open_project(project).output("back.coordinates").items.sort("micrograph_name", "x")
    assert rows.select("micrograph_name", "x", "y").rows() == kept


def test_a_project_opens_without_it(plugin, project):
    """What its runs made is data like any other; that only its wheel can make it again is said."""
    assert "crowding" in plugin.cryoloom("status", project, there=False)
    assert "neighbour_distance" in plugin.cryoloom("show", project, "crowding.coordinates", there=False)
