"""Maps of a known particle as stored sets."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import density

BOX, PIXEL = 44, 5.0


@pytest.fixture
def job(tmp_path):
    return PlainJob(tmp_path / "runs" / "r009", tmp_path)


@pytest.fixture
def particle():
    """Return the map of P80 turned by a matrix and moved (Å)."""

    def make(rotation=None, shift=(0.0, 0.0, 0.0), *, mirrored=False, box=BOX, pixel_size=PIXEL):
        positions = p80().positions @ (np.eye(3) if rotation is None else rotation).T + np.asarray(shift)
        phantom = replace(p80(), positions=positions)
        return density(phantom.mirrored() if mirrored else phantom, box, pixel_size)

    return make


@pytest.fixture
def stored(tmp_path):
    """Return a function that stores maps as a set; of ``halves`` each map has two of its own."""
    count = iter(range(1, 100))

    def save(*maps, pixel_size=PIXEL, halves=False, origin=(0.0, 0.0, 0.0), kind=Volume, column="volume_path"):
        folder = tmp_path / "maps" / str(next(count))
        folder.mkdir(parents=True)
        rows = []
        for number, data in enumerate(maps, 1):
            row = {"id": number, "box_size": len(data)}
            names = [column, "half_map1_path", "half_map2_path"] if halves else [column]
            for scale, name in zip((1.0, 0.9, 1.1), names, strict=False):
                path = folder / f"{number}_{name}.mrc"
                write_mrc(path, np.float32(scale) * data, pixel_size, volume=True, origin=origin)
                row[name] = path.relative_to(tmp_path).as_posix()
            rows.append(row)
        return kind(pl.DataFrame(rows), tmp_path, meta={"pixel_size": pixel_size})

    return save
