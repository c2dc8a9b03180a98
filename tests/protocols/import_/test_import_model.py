"""import.model keeps what it read, and says what it left out."""

import numpy as np
import pytest
from plain_job import PlainJob

from cryoloom.formats.atomic_model import read_model, traced_model
from cryoloom.protocols.import_.model import ImportModel


@pytest.fixture
def predicted(tmp_path):
    """Write a model of 20 residues, the last five of little confidence."""
    path = tmp_path / "predicted.cif"
    confidence = np.where(np.arange(20) < 15, 90.0, 30.0)
    traced_model(np.arange(60.0).reshape(20, 3), np.repeat([0, 1], 10), confidence).write(path)
    return path


def test_a_model_becomes_a_set(tmp_path, predicted):
    job = PlainJob(tmp_path / "runs" / "r001", tmp_path)
    protocol = ImportModel(path=str(predicted), least_confidence=50)
    out = protocol.run(job)
    assert protocol.summary(out) == {"atoms": 15, "residues": 15, "chains": 2}
    kept = read_model(out.model.file(out.model.items["model_path"][0]))
    assert np.array_equal(kept.positions, np.arange(45.0).reshape(15, 3))
    assert job.warnings == ["predicted.cif: 5 residues with a confidence below 50 are left out."]
    assert "15 residues in 2 chains" in protocol.methods(out)
    assert protocol.report(out)[0].columns["to"] == ["10", "5"]


def test_the_same_file_gives_the_same_bytes(tmp_path, predicted):
    files = []
    for name in ("r001", "r002"):
        out = ImportModel(path=str(predicted)).run(PlainJob(tmp_path / "runs" / name, tmp_path))
        files.append(out.model.file(out.model.items["model_path"][0]).read_bytes())
    assert files[0] == files[1]


def test_a_file_that_is_not_there_is_said_before_the_run(tmp_path):
    (hint,) = ImportModel(path=str(tmp_path / "none.cif")).check()
    assert hint.parameter == "path"
