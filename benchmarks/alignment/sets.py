"""The particle sets of the comparison, small enough that RELION ends in minutes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.app.simulation import simulate
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.geometry.euler import euler_to_matrix

MASK_DIAMETER = 170.0
"""Å: the phantom and a tenth."""


@dataclass(frozen=True)
class Case:
    """One set and what is done with it.

    Attributes
    ----------
    preset, changes, seed
        As for ``cryoloom simulate``.
    task
        ``refine``, ``classify3d``, ``classify2d`` or ``initial``.
    classes, iterations
        Of the classifications; RELION's iterations.
    lowpass
        Å, of the truth that 3D tasks start from.
    """

    preset: str
    changes: dict[str, Any]
    task: str
    classes: int = 1
    iterations: int = 25
    lowpass: float = 40.0
    seed: int = 3


CASES = {
    "refine-snr05": Case("s8", {"particles": 800, "snr": 0.05}, "refine"),
    "refine-snr03": Case("s8", {"particles": 1500, "snr": 0.03}, "refine"),
    "refine-d2": Case("s1", {"particles": 500, "symmetry": "D2"}, "refine"),
    "classify3d": Case("s4", {"particles": 600}, "classify3d", classes=3, lowpass=30.0),
    "classify2d": Case("s1", {"particles": 1000}, "classify2d", classes=10),
    "initial": Case("s1", {"particles": 1000}, "initial"),
}  # fmt: skip

LONG = {
    "refine-s8": Case("s8", {}, "refine", seed=23),
    "refine-s5": Case("s5", {}, "refine", seed=23),
}
"""Whole sets, hours for RELION: only where they are named."""


@dataclass(frozen=True)
class Truth:
    """What is known of a set: poses ``(n, 3, 3)``, origins in Å ``(n, 2)``, states ``(n,)`` from 0, which are junk, and the map of state 0."""

    rotations: NDArray[np.float64]
    origins: NDArray[np.float64]
    state: NDArray[np.int64]
    junk: NDArray[np.bool_]
    volume: NDArray[np.float32]
    pixel_size: float


def made(name: str, case: Case, folder: Path) -> Path:
    """Simulate the set of a case under `folder`, unless it is there, and return its place."""
    place = folder / name
    if not (place / "particles.star").exists():
        simulate(place, case.preset, case.seed, overrides=case.changes, threads=1)
        (place / "case.json").write_text(json.dumps({"preset": case.preset, **case.changes, "seed": case.seed}) + "\n")
    return place


def truth_of(place: Path) -> Truth:
    """Read the truth beside a set, in the order of its particles."""
    star = read_star(place / "truth/particles.star")
    table: pl.DataFrame = star["particles"]
    return Truth(
        euler_to_matrix(*(table[f"rlnAngle{name}"].to_numpy() for name in ("Rot", "Tilt", "Psi"))),
        table.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy(),
        table["rlnClassNumber"].to_numpy().astype(np.int64) - 1,
        table["cryoloomJunk"].to_numpy() != 0,
        read_mrc(place / "truth/volume.mrc").data.astype(np.float32),
        float(star["optics"]["rlnImagePixelSize"][0]),
    )
