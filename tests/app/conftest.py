"""The toy protocols for all tests here, and projects of them: made once a module, copied for every test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import _toys, find_toys, until  # noqa: F401

from cryoloom.app.session import Project, create_project, open_project


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return an empty project."""
    with pytest.MonkeyPatch.context() as patch:
        find_toys(patch)
        yield create_project(tmp_path_factory.mktemp("made") / "project", "Toys")


@pytest.fixture(scope="module")
def made(empty: Project) -> Project:
    """Return what `project` is a copy of; a module that wants runs in it overrides this and fills `empty`."""
    return empty


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """Return a copy of the module's project, in another place."""
    shutil.copytree(made.root, tmp_path / "project")
    return open_project(tmp_path / "project")
