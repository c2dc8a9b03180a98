"""Values that make no sense, names that do not exist, diameters that do not fit: refused before any work, with what would do."""

import numpy as np
import pytest

from cryoloom.formats.mrc import write_mrc


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (("--diameter", -5), "bad-parameter", ["diameter is -5.0 Å, but must be above 0 Å"]),
        (("--diameter", 0), "bad-parameter", ["diameter is 0.0 Å"]),
        (("--diameter", "wide"), "usage", ["'--diameter'", "a valid number", "cryoloom process --help"]),
        (("--symmetry", "D9x"), "bad-parameter", ["symmetry D9x", "D9 would do"]),
        (("--symmetry", "I5"), "bad-parameter", ["symmetry I5", "none defines it", "I2 would do"]),
        (("--symmetry", "Oh"), "bad-parameter", ["symmetry Oh", "mirrors", "O would do"]),
        (("--until", "pick.blub"), "unknown-step", ["--until pick.blub", "Did you mean pick.blob"]),
        (("--voltage", -300), "bad-parameter", ["voltage is -300.0 kV, but must be above 0 kV"]),
        (("--threads", -2), "usage", ["'--threads'", "0"]),
        (("--dose-per-fram", 2), "usage", ["--dose-per-fram", "--dose-per-frame"]),
    ],
)
def test_process_refuses_before_any_work(tmp_path, movies, processing, refused, finished, change, code, says):
    refused(2, code, says, *processing(movies / "*.mrc", *change))
    whole = tmp_path / "whole"
    assert not whole.exists() or finished("status", whole) == []


def test_a_diameter_that_does_not_fit_can_be_put_right_in_the_same_project(movies, processing, refused, cryoloom):
    says = ["--diameter 90 Å is larger than half the micrographs", "144 Å (96 px of 1.5 Å)", "check the pixel size"]
    refused(2, "diameter-too-large", says, *processing(movies / "*.mrc", diameter=90, until="ctf.estimate"))
    done = cryoloom(*processing(movies / "*.mrc", diameter=60))
    assert done.returncode == 0 and "(done before)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["import.movie", "--pattern", "x"], "unknown-protocol", ["'import.movie'", "Did you mean import.movies"]),
        (["import.movies", "--pattern", "x", "--pixel-siz", 1], "unknown-parameter", ["pixel_siz", "Did you mean pixel_size?"]),
        (["import.movies", "--pattern", "x", "--pixel-size", "one"], "bad-parameter", ["pixel_size is 'one' Å/px, but must be a number"]),
        (["import.movies", "--pattern", "x", "--pixel-size", "nan"], "bad-parameter", ["pixel_size is 'nan' Å/px"]),
        (["import.movies", "--pattern", "x", "--pixel-size", 1, "--pixel-size", 2], "given-twice", ["one value, not 2: 1, 2"]),
        (["import.movies", "--pattern", "x", "--pixel-size", 1, "--gain-rotation", 45], "bad-parameter", ["45", "0, 90, 180 or 270"]),
        (["import.movies", "--pattern", "x", "--pixel-size", 1, "--copy-files", "maybe"], "bad-parameter", ["must be yes or no"]),
        (["import.micrographs", "--pattern", "x"], "bad-parameter", ["pixel_size has to be given"]),
        (["import.movies", "stray"], "stray-argument", ["«stray»", "--name value"]),
    ],
)
def test_run_refuses_what_it_does_not_know(project, refused, finished, words, code, says):
    refused(2, code, says, "run", project, *words)
    assert finished("status", project) == []


def test_commands_that_are_written_wrongly(project, refused):
    refused(2, "usage", ["cryoloom: No such command 'runn'", "'run'"], "runn")
    refused(2, "usage", ["cryoloom run: Missing argument 'PROTOCOL'", "Usage: cryoloom run"], "run", project)
    refused(2, "project-missing", ["import.movies stands where", "run PROJECT import.movies"], "run", "import.movies", "--pattern", "x")
    refused(2, "no-project", ["is not a project", "cryoloom project new"], "status", project / "none")
    refused(2, "simulate-override", ["'movie'", "Did you mean movies"], "simulate", project / "set", "--set", "movie=3")


def test_diameters_and_kinds_on_micrographs(tmp_path, project, acquisition, refused, finished):
    write_mrc(tmp_path / "mic.mrc", np.random.default_rng(0).normal(size=(200, 300)).astype(np.float32), 1.5)
    words = ("--pattern", tmp_path / "mic.mrc", "--name", "mics", *acquisition)
    finished("run", project, "import.micrographs", *words)
    pick = ("run", project, "pick.blob", "--input-micrographs", "mics", "--diameter")
    for diameter in (160, 900):
        says = [f"diameter {diameter} Å is larger than half the micrograph, whose short side is 300 Å", "150.0 would do"]
        refused(2, "bad-parameter", says, *pick, diameter)
    for diameter in (0, -20, "nan"):
        refused(2, "bad-parameter", [f"diameter is '{diameter}' Å, but must be above 0 Å"], *pick, diameter)
    refused(2, "wrong-kind", ["takes movies", "is micrographs"], "run", project, "motion.correlation", "--input-movies", "mics")
    rule = ("run", project, "sets.select", "--input-items", "mics", "--where")
    refused(2, "bad-parameter", ["there is no column 'widht'", "Did you mean width"], *rule, "widht > 3")
    refused(2, "bad-parameter", ["'width >': not understood"], *rule, "width >")
