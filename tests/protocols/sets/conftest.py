"""Small stored sets of every family."""

import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Coordinates, Micrographs, Particles
from cryoloom.data.identity import new_id_space
from cryoloom.tables import Dataset

OPTICS = {
    "optics_group": 1, "optics_group_name": "opticsGroup1", "pixel_size": 3.0, "micrograph_pixel_size": 1.0, "box_size": 64, "voltage": 300.0,
    "cs": 2.7, "amplitude_contrast": 0.1, "contrast": "bright",
}  # fmt: skip


@pytest.fixture
def job(tmp_path):
    return PlainJob(tmp_path, tmp_path)


def rows_of(micrographs, each, *, dx=0.0, session="s"):
    """Return the columns of `each` picks on micrographs of these numbers, their places moved by `dx` px."""
    numbers = [(m, k) for m in micrographs for k in range(each)]
    return pl.DataFrame(
        {
            "id": [(m << 20) + k for m, k in numbers],
            "micrograph_id": [m for m, _ in numbers],
            "micrograph_name": [f"{session}{m}" for m, _ in numbers],
            "x": [100.0 + 300.0 * k + dx for _, k in numbers],
            "y": [200.0 + 150.0 * ((k * 7) % each) for _, k in numbers],
            "score": [k / each for _, k in numbers],
            "optics_group": [1] * len(numbers),
            "enabled": [True] * len(numbers),
            "fail_reason": [""] * len(numbers),
        }
    )


@pytest.fixture
def stored(tmp_path):
    """Return a function that saves a set as the output of a run and opens it again."""
    count = iter(range(1, 1000))

    def save(dataset):
        return Dataset.load(dataset.save(tmp_path / "runs" / f"r{next(count):03d}", dataset.kind), tmp_path)

    return save


@pytest.fixture
def picks(tmp_path, stored):
    """Return a maker of stored particles (or coordinates) of a picking: 4 on each of 3 micrographs unless said otherwise."""

    def make(micrographs=(1, 2, 3), each=4, *, dx=0.0, session="s", kind=Particles, told=True, more=(), **optics):
        rows = rows_of(micrographs, each, dx=dx, session=session)
        if kind is Particles:
            rows = rows.with_columns(stack_path=pl.lit("stack.mrcs"), stack_index=pl.int_range(pl.len()))
        rows = rows.with_columns(*more)
        meta = {"diameter": 150.0, "failed_micrographs": 3} | ({"id_space": new_id_space(rows)} if told else {})
        group = {**OPTICS, **optics}
        if kind is Coordinates:
            group = {**group, "pixel_size": group["micrograph_pixel_size"]}
        return stored(kind(rows, tmp_path, optics=[group], meta=meta))

    return make


@pytest.fixture
def micrographs(tmp_path, stored):
    """Return a maker of stored micrographs of these numbers."""

    def make(numbers=(1, 2, 3), *, session="s", bad=()):
        count = len(numbers)
        rows = pl.DataFrame(
            {
                "id": numbers, "micrograph_name": [f"{session}{n}" for n in numbers], "micrograph_path": [f"{session}{n}.mrc" for n in numbers],
                "width": [4000] * count, "height": [4000] * count, "optics_group": [1] * count,
                "enabled": [n not in bad for n in numbers], "fail_reason": ["bad" if n in bad else "" for n in numbers],
            }
        )  # fmt: skip
        return stored(Micrographs(rows, tmp_path, optics=[{"optics_group": 1, "pixel_size": 1.0}]))

    return make


@pytest.fixture
def hints():
    """Return a function that gives what a protocol's check says, as text."""
    return lambda protocol: " | ".join(f"{hint.parameter} {hint.message}" for hint in protocol.check())
