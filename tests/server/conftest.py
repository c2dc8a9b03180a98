"""A folder of projects of toy runs, and a client of the server that shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from toy_project import find_toys, until  # noqa: F401

from cryoloom.app.session import Project, create_project
from cryoloom.engine.state import ACTIVE
from cryoloom.server.app import make_app


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return an empty project in a folder of projects; its runs are stopped afterwards."""
    find_toys(monkeypatch)
    project = create_project(tmp_path / "projects" / "toys", "Toys")
    yield project
    for run in project.runs():
        if run.state in ACTIVE:
            run.stop()


@pytest.fixture
def client(toys: Project) -> Iterator[TestClient]:
    """Return a client of the server of that folder, which lets everybody in."""
    with TestClient(make_app(toys.root.parent)) as asking:
        yield asking
