"""A project with outputs of every kind that pictures are made of, planted so that what must be seen is known."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from planted import BOX, ODD, PIXEL, ball, beside, micrograph, publish, written

from cryoloom.app.session import Project, create_project
from cryoloom.data import Classes2D, Classes3D, Coordinates, CTFs, Mask, Micrographs, Volume
from cryoloom.formats.stack import write_stack
from cryoloom.server.app import make_app


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project."""
    return create_project(tmp_path / "project")


@pytest.fixture
def micrographs(project):
    """Return two aligned micrographs, the second of which has no file."""
    optics = [{"optics_group": 1, "pixel_size": PIXEL, "movie_pixel_size": 0.75, "voltage": 300.0}]
    path = written(project, "m1.mrc", micrograph())
    rows = {
        "id": [1, 2], "micrograph_name": ["m1", "m2"], "micrograph_path": [path, "data/absent.mrc"], "width": [ODD[1]] * 2, "height": [ODD[0]] * 2,
        "optics_group": [1, 1], "enabled": [True, True], "fail_reason": ["", ""],
        "shift_x": [[0.0, 1.0, 3.0]] * 2, "shift_y": [[0.5, 0.0, -1.0]] * 2, "first_frame": [2, 2], "motion_model": [None, None],
        "motion_total": [4.0, 4.0],
    }  # fmt: skip
    return publish(project, Micrographs(pl.DataFrame(rows), project.root, optics=optics), "motion.correlation")


@pytest.fixture
def ctfs(project, micrographs):
    """Return their transfer functions, the second not fitted; the picture is bright in the upper right, its model dark."""
    picture = np.full((64, 64), 60.0, dtype=np.float32)
    picture[:32, 32:] = 120.0
    picture[32:, :32] = 0.0
    rows = {
        "id": [1, 2], "micrograph_id": [1, 2], "micrograph_name": ["m1", "m2"], "defocus_u": [15000.0, None], "defocus_v": [14000.0, None],
        "defocus_angle": [30.0, None], "phase_shift": [0.0, None], "ctf_resolution": [4.5, None], "optics_group": [1, 1],
        "psd_path": [written(project, "psd.mrc", picture, mode=0, pixel_size=3.0), None], "fail_reason": ["", "no rings"],
        "ctf_frequency": [[0.0, 0.1, 0.2], None], "ctf_fit": [[0.0, 1.0, float("nan")], None], "ctf_rotational": [[0.1, 0.9, 0.2], None],
    }  # fmt: skip
    optics = [{"optics_group": 1, "pixel_size": PIXEL}]
    return publish(project, CTFs(pl.DataFrame(rows, strict=False), project.root, optics=optics), "ctf.estimate", [micrographs])


@pytest.fixture
def coordinates(project, micrographs):
    """Return three picks, scored, the first in the bright corner."""
    rows = {
        "id": [11, 12, 13], "micrograph_id": [1] * 3, "micrograph_name": ["m1"] * 3, "x": [4.0, 400.0, 900.0], "y": [4.0, 500.0, 1000.0],
        "score": [0.1, 0.9, 0.5], "optics_group": [1] * 3,
    }  # fmt: skip
    optics = [{"optics_group": 1, "pixel_size": PIXEL}]
    return publish(
        project, Coordinates(pl.DataFrame(rows), project.root, optics=optics, meta={"diameter": 60.0}), "pick.blob", [micrographs]
    )


@pytest.fixture
def classes(project):
    """Return 128 class averages: number n has its upper n + 1 of 128 rows of a band bright; the last is the largest."""
    (project.root / "data").mkdir(exist_ok=True)
    stack = np.zeros((128, 32, 32), dtype=np.float32)
    for number, image in enumerate(stack):
        image[number % 32, :] = 1.0
    write_stack(project.root / "data" / "averages.mrcs", stack, 3.0)
    rows = {
        "id": range(1, 129), "class_id": range(1, 129), "count": range(128), "stack_path": ["data/averages.mrcs"] * 128, "stack_index": range(128),
        "estimated_resolution": [10.0] * 128,
    }  # fmt: skip
    return publish(project, Classes2D(pl.DataFrame({name: list(value) for name, value in rows.items()}), project.root), "classify2d.em")


@pytest.fixture
def volume(project):
    """Return a map with half maps."""
    paths = {
        name: written(project, f"{name}.mrc", ball() * factor, volume=True) for name, factor in (("map", 1), ("half1", 2), ("half2", 3))
    }
    rows = {
        "id": [1],
        "volume_path": [paths["map"]],
        "half_map1_path": [paths["half1"]],
        "half_map2_path": [paths["half2"]],
        "box_size": [BOX],
    }
    return publish(project, Volume(pl.DataFrame(rows), project.root, meta={"pixel_size": PIXEL}), "refine.auto")


@pytest.fixture
def mask(project):
    """Return a mask."""
    rows = {"id": [1], "mask_path": [written(project, "mask.mrc", beside(), volume=True)], "box_size": [BOX]}
    return publish(project, Mask(pl.DataFrame(rows), project.root), "postprocess.mask")


@pytest.fixture
def classes3d(project):
    """Return two class maps."""
    paths = [written(project, f"class{number}.mrc", ball() * number, volume=True) for number in (1, 2)]
    rows = {"id": [1, 2], "class_id": [1, 2], "volume_path": paths, "count": [70, 30]}
    return publish(project, Classes3D(pl.DataFrame(rows), project.root, meta={"pixel_size": PIXEL}), "classify3d.em")


@pytest.fixture
def get(project, tmp_path, monkeypatch):
    """Return a function that asks for something of an output; pictures are kept in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = TestClient(make_app(project.root))

    def ask(output, rest: str, *, headers=None, **query):
        return client.get(f"/api/projects/{project.root.name}/outputs/{output}/{rest}", params=query, headers=headers)

    return ask
