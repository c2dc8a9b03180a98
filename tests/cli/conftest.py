"""The command line in a process of its own, what it must say of bad input, and small files to give it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryoloom.formats.mrc import write_mrc


def command(*words, cwd=None, before=()):
    return subprocess.run(
        [*before, sys.executable, "-m", "cryoloom.cli.main", *map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=300,
        env={**os.environ, "COLUMNS": "200"}, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def cryoloom():
    """Return a function that runs `cryoloom` with some words and returns the ended process."""
    return command


@pytest.fixture(scope="session")
def refused():
    """Return a function that runs `cryoloom` and demands a refusal: exit code, code, and words in one paragraph without a traceback."""

    def run(exit_code, code, says, *words, **how):
        done = command(*words, **how)
        assert done.returncode == exit_code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr + done.stdout
        told = done.stderr.strip().splitlines()[-1]
        assert told.startswith("cryoloom") and told.endswith(f"[CL-{code}]"), told
        for each in says:
            assert each in told, f"{each!r} is not in: {told}"
        return done

    return run


@pytest.fixture(scope="session")
def finished():
    """Return a function that runs `cryoloom`, demands success and returns what `--json` says."""

    def run(*words, cwd=None):
        done = command(*words, "--json", cwd=cwd)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def write_movie():
    """Return a writer of movies of Poisson noise: 4 frames of 96 rows and 128 columns, 1.5 Å/px."""

    def write(path: Path, *, frames=4, shape=(96, 128), pixel_size=1.5, spoil=None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.random.default_rng(len(path.name)).poisson(5, (frames, *shape)).astype(np.float32)
        if spoil is not None:
            data[spoil] = np.nan
        write_mrc(path, data, pixel_size)
        return path

    return write


@pytest.fixture
def movies(tmp_path, write_movie):
    """Return a folder with three good movies, a.mrc to c.mrc."""
    for name in "abc":
        write_movie(tmp_path / "movies" / f"{name}.mrc")
    return tmp_path / "movies"


ACQUISITION = ("--pixel-size", 1.5, "--voltage", 300, "--cs", 2.7)


@pytest.fixture(scope="session")
def acquisition():
    """Return the flags that say how the movies of `write_movie` were taken."""
    return ACQUISITION


@pytest.fixture
def project(tmp_path):
    """Return an empty project."""
    assert command("project", "new", tmp_path / "project").returncode == 0
    return tmp_path / "project"


@pytest.fixture
def importing(project, acquisition):
    """Return the words that import what a pattern matches into the project."""
    return lambda pattern, *more: ("run", project, "import.movies", "--threads", 1, "--pattern", pattern, *acquisition, *more)


@pytest.fixture
def processing(tmp_path, acquisition):
    """Return the words that process what a pattern matches in a new project, up to the import unless said otherwise."""
    words = ("process", "-o", tmp_path / "whole", "--threads", 1, *acquisition)
    return lambda pattern, *more, diameter=30, until="import.movies": (*words, "--diameter", diameter, "--until", until, pattern, *more)
