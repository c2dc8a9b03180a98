"""Fixtures for tests that run toy protocols in real run processes."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def find_toys(patch: pytest.MonkeyPatch) -> None:
    """Let the catalogue, here and in run processes, find the toy protocols."""
    patch.setenv("CRYOLOOM_PLUGINS", "toys")
    patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    find_toys(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[object]:
    """Return an empty project whose runs are stopped afterwards."""
    from cryoloom.app.session import create_project
    from cryoloom.engine.state import ACTIVE

    made = create_project(tmp_path / "project")
    yield made
    for run in made.runs():
        if run.state in ACTIVE:
            run.stop()


@pytest.fixture
def until() -> Callable[..., None]:
    """Return a function that waits for a condition and says which one never came."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}")
            time.sleep(0.02)

    return wait
