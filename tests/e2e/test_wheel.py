"""The wheel, in an environment of its own on a machine without Node.js, shows the page."""

import os
import re
import subprocess
import sys
import urllib.request
import venv
import zipfile
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    words = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("cryoloom-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return the programs' folder of an environment with the wheel; what it depends on is borrowed, for it is large."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    words = (sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_wheel_carries_the_page_and_none_of_its_sources(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    page = [name for name in names if name.startswith("cryoloom/server/static/")]
    assert {"index.html", "licences.txt"} <= {name.rpartition("/")[2] for name in page} and any(name.endswith(".js") for name in page)
    assert not [name for name in names if name.endswith((".ts", ".tsx")) or "node_modules" in name]


def test_a_machine_without_node_serves_the_page(installed, serve, tmp_path):
    (tmp_path / "projects").mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NODE_PATH")} | {"PATH": str(installed)}
    where = subprocess.run(
        [installed / "python", "-c", "import cryoloom; print(cryoloom.__file__)"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed.parent))
    with serve(tmp_path / "projects", tmp_path, [str(installed / "cryoloom")], environment) as served:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        shown = opener.open(served.address).read().decode()
        scripts = re.findall(r'src="(/assets/[^"]+\.js)"', shown)
        assert scripts and all(len(opener.open(served.origin + script).read()) > 1000 for script in scripts)
