"""Workflows on the command line: out, in on other data, carried out, and what is told of foreign ones."""

import json

import numpy as np
import pytest

from cryoloom.formats.mrc import write_mrc


@pytest.fixture
def project(tmp_path, finished):
    """Return the folder of a project that has imported two micrographs of one folder."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            write_mrc(tmp_path / folder / f"{name}.mrc", np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32), 2.0)
    finished("project", "new", tmp_path / "p")
    finished("run", tmp_path / "p", "import.micrographs", "--pattern", "one/*.mrc", "--pixel-size", 2, "--name", "mics", cwd=tmp_path)
    return tmp_path / "p"


def test_out_and_in_on_other_data(project, tmp_path, cryoloom, finished, refused):
    assert cryoloom("workflow", project, "mics", "-o", tmp_path / "steps.json").stdout.strip().endswith("steps.json")
    looked = cryoloom("import-workflow", tmp_path / "q", tmp_path / "steps.json", "--dry-run")
    assert "input pattern (paths): Files" in looked.stdout and not (tmp_path / "q").exists()
    again = ("import-workflow", tmp_path / "q", tmp_path / "steps.json", "--set")
    refused(2, "unknown-input", ["--set patern", "Did you mean pattern"], *again, "patern=x")
    refused(2, "no-files", ["three"], *again, "pattern=three/*", cwd=tmp_path)
    refused(2, "no-workflow", ["gone.json"], "import-workflow", tmp_path / "q", tmp_path / "gone.json")
    assert not (tmp_path / "q").exists(), "nothing is made of what is refused"
    made = finished(*again, "pattern=two/b.mrc", cwd=tmp_path)
    assert made["runs"]["r001"]["state"] == "draft"
    assert [run["state"] for run in finished("resume", tmp_path / "q", "--threads", 1)] == ["finished"]
    assert finished("show", tmp_path / "q", "mics")["outputs"]["micrographs"]["count"] == 1


def test_a_foreign_step_is_shown_and_never_run(tmp_path, cryoloom, finished, refused):
    (tmp_path / "flow.json").write_text(
        json.dumps([{"object.className": "ProtOfNobody", "object.id": "4", "object.label": "mine", "x": 1}])
    )
    told = cryoloom("import-workflow", tmp_path / "q", tmp_path / "flow.json").stdout
    assert "placeholders: 1" in told and "scipion:ProtOfNobody" in told and "needs-you" in told
    assert finished("status", tmp_path / "q")[0]["state"] == "needs-you"
    assert "1 need you: r001" in cryoloom("resume", tmp_path / "q").stdout
    refused(2, "run-needs-you", ["ProtOfNobody"], "resume", tmp_path / "q", "r001")
    back = cryoloom("workflow", tmp_path / "q", "--format", "scipion").stdout
    assert json.loads(back)[0]["x"] == 1
    refused(2, "unknown-format", ["Choose one of cryoloom, scipion"], "workflow", tmp_path / "q", "--format", "nobody")
