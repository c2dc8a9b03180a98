"""Particles with their true poses and halves."""

import numpy as np
import polars as pl
import pytest

from cryoloom.numerics.geometry.euler import matrix_to_euler


def posed(data, *, rotations=None, **columns):
    """Return the particles of a simulated set with poses, the true ones by default, and halves by turns."""
    rot, tilt, psi = matrix_to_euler(data.matrices if rotations is None else rotations)
    count = len(data.particles)
    poses = {
        "id": data.particles.items["id"], "rot": rot, "tilt": tilt, "psi": psi, "origin_x": data.origins[:, 0], "origin_y": data.origins[:, 1],
        "half_set": np.arange(count) % 2 + 1,
    }  # fmt: skip
    return data.particles.with_columns(pl.DataFrame(poses | columns))


@pytest.fixture(name="posed", scope="session")
def posed_fixture():
    return posed
