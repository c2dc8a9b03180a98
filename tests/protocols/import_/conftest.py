import pytest
from plain_job import PlainJob


@pytest.fixture
def job(tmp_path):
    return PlainJob(tmp_path / "project" / "runs" / "r001", tmp_path / "project")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder
