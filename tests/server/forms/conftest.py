"""A served project with planted sets: a micrograph of dark discs, where they are, the discs cut out, and a map of a ball."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from planted import BOX, ball, publish, written

from cryoloom.app.session import Project, create_project
from cryoloom.data import Coordinates, Micrographs, Particles, Volume
from cryoloom.formats.stack import write_stack
from cryoloom.server.app import make_app

PIXEL = 2.0
SIDE = 640
DIAMETER = 60.0
PLACES = [(x, y) for x in range(70, SIDE - 60, 100) for y in range(70, SIDE - 60, 100)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create_project(tmp_path / "projects/project")


def discs() -> np.ndarray:
    image, (y, x) = np.random.default_rng(2).normal(50, 2, (SIDE, SIDE)).astype(np.float32), np.indices((SIDE, SIDE))
    for at_x, at_y in PLACES:
        image[(x - at_x) ** 2 + (y - at_y) ** 2 < (DIAMETER / 2 / PIXEL) ** 2] -= 6
    return image


@pytest.fixture
def micrographs(project):
    optics = [{"optics_group": 1, "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
    row = {
        "id": 7,
        "micrograph_name": "m",
        "micrograph_path": written(project, "m.mrc", discs(), pixel_size=PIXEL),
        "width": SIDE,
        "height": SIDE,
    }
    items = pl.DataFrame([row | {"optics_group": 1, "enabled": True, "fail_reason": ""}])
    return publish(project, Micrographs(items, project.root, optics=optics), "motion.correlation")


@pytest.fixture
def coordinates(project, micrographs):
    x, y = zip(*PLACES, strict=True)
    rows = {"id": range(1, len(PLACES) + 1), "x": [float(each) for each in x], "y": [float(each) for each in y]}
    items = pl.DataFrame({name: list(value) for name, value in rows.items()})
    items = items.with_columns(micrograph_id=pl.lit(7), micrograph_name=pl.lit("m"), score=pl.lit(1.0), optics_group=pl.lit(1))
    optics = [{"optics_group": 1, "pixel_size": PIXEL}]
    return publish(project, Coordinates(items, project.root, optics=optics, meta={"diameter": DIAMETER}), "pick.blob", [micrographs])


@pytest.fixture
def particles(project):
    y, x = np.indices((48, 48)) - 24
    (project.root / "data").mkdir(exist_ok=True)
    stack = np.repeat((np.hypot(x, y) < DIAMETER / 2 / PIXEL).astype(np.float32)[None], 20, axis=0)
    write_stack(project.root / "data/p.mrcs", stack, PIXEL)
    items = pl.DataFrame({"id": list(range(1, 21)), "stack_index": list(range(20))})
    items = items.with_columns(stack_path=pl.lit("data/p.mrcs"), micrograph_id=pl.lit(7), optics_group=pl.lit(1))
    optics = [{"optics_group": 1, "pixel_size": PIXEL, "box_size": 48}]
    return publish(project, Particles(items, project.root, optics=optics, meta={"diameter": DIAMETER}), "particles.extract")


@pytest.fixture
def volume(project):
    rows = {"id": [1], "volume_path": [written(project, "map.mrc", ball(), volume=True, pixel_size=PIXEL)], "box_size": [BOX]}
    return publish(project, Volume(pl.DataFrame(rows), project.root, meta={"pixel_size": PIXEL}), "refine.auto")


@pytest.fixture
def client(project, monkeypatch):
    """Return a client of a server that shows the project; the user's home is empty."""
    home = project.root.parent.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with TestClient(make_app(project.root.parent)) as made:
        yield made


@pytest.fixture
def ask(client):
    """Return a function that posts to a form of the project and returns status and answer."""

    def post(protocol: str, rest: str, **body):
        answer = client.post(f"/api/projects/project/forms/{protocol}/{rest}", json=body)
        return answer.status_code, answer.json()

    return post
