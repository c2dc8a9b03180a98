"""Micrographs made of arrays, with coordinates and CTFs that belong to them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Coordinates, CTFs, Micrographs
from cryoloom.formats.mrc import write_mrc

OPTICS = {"optics_group_name": "a", "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}


@dataclass(frozen=True)
class Scene:
    micrographs: Micrographs
    coordinates: Coordinates
    ctfs: CTFs
    job: PlainJob


@pytest.fixture
def make_scene(tmp_path):
    """Return a maker of scenes: images, the places (x, y) on each, and the pixel size of each."""

    def make(images, places, *, pixel_size=2.0, pixel_sizes=None, diameter=40.0, defocus=(15e3, 14e3, 10.0, 0.0)):
        sizes = list(pixel_sizes or [pixel_size] * len(images))
        groups = {size: number for number, size in enumerate(dict.fromkeys(sizes), 1)}
        optics = [{"optics_group": number, "pixel_size": size, **OPTICS} for size, number in groups.items()]
        rows, points = [], []
        for number, (image, spots, size) in enumerate(zip(images, places, sizes, strict=True), 1):
            write_mrc(tmp_path / f"m{number}.mrc", image.astype(np.float32), size)
            rows.append(
                {"id": number, "micrograph_name": f"m{number}", "micrograph_path": f"m{number}.mrc", "weighted_path": None,
                 "width": image.shape[1], "height": image.shape[0], "optics_group": groups[size], "enabled": True, "fail_reason": ""}
            )  # fmt: skip
            points += [
                {"id": (number << 20) | index, "micrograph_id": number, "micrograph_name": f"m{number}", "x": float(x), "y": float(y),
                 "score": 0.5, "optics_group": groups[size]}
                for index, (x, y) in enumerate(spots)
            ]  # fmt: skip
        numbers = list(range(1, len(images) + 1))
        values = zip(("defocus_u", "defocus_v", "defocus_angle", "phase_shift"), defocus, strict=True)
        ctfs = pl.DataFrame({"id": numbers, "micrograph_id": numbers, **{name: [float(value)] * len(numbers) for name, value in values}})
        return Scene(
            Micrographs(pl.DataFrame(rows, infer_schema_length=None), tmp_path, optics=optics),
            Coordinates(pl.DataFrame(points), tmp_path, optics=optics, meta={"diameter": diameter, "id_space": "one"}),
            CTFs(ctfs, tmp_path, optics=optics),
            PlainJob(tmp_path / "runs" / "r009", tmp_path, seed=3),
        )

    return make


@pytest.fixture
def spots():
    """Return a maker of images of Gaussian spots (σ in px) at places (x, y) on nothing."""

    def make(shape, places, sigma=6.0, height=-1.0):
        y, x = np.indices(shape)
        return sum(height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in places)

    return make
