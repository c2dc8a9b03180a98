"""Small particle sets with their truth, and a job that keeps checkpoints in memory, for protocols that align."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Particles, Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.particles import Particle, clean_image
from cryoloom.numerics.simulate.phantom import random_phantom, symmetrised
from cryoloom.numerics.simulate.poses import uniform_poses
from cryoloom.numerics.simulate.projection import density


class Stopped(Exception):
    """The job was killed."""


@dataclass
class CheckpointJob(PlainJob):
    """A job whose `iterate` keeps the `last` state of each name, can be killed after some steps in all, and goes on from such states."""

    kill_after: int | None = None
    resume: dict[str, Any] | None = None
    last: dict[str, Any] = field(default_factory=dict)
    steps: int = 0

    def iterate(self, start, step, *, done, name="iterations", total=None):
        before = self.resume or {}
        self.last |= before
        state = before[name] if name in before else start()
        while not done(state):
            if self.steps == self.kill_after:
                raise Stopped
            state = step(copy.deepcopy(state))
            self.steps += 1
            self.last[name] = copy.deepcopy(state)
        return state


@dataclass(frozen=True)
class Simulated:
    particles: Particles
    volume: Volume
    density: np.ndarray
    matrices: np.ndarray
    origins: np.ndarray
    state: np.ndarray


def simulate_set(
    root: Path, *, count, box, pixel_size, snr, diameter=150.0, shift=5.0, noise_only=False, seed=1, symmetry="C1", other=0.0, **optics
) -> Simulated:
    """Write a stack of one random phantom under `root` and return it with its truth; optics keywords override those of the group.

    The part `other` of the images, the last ones, show another random phantom: `state` 1.
    """
    rng = np.random.default_rng(seed)
    phantom, microscope = symmetrised(random_phantom(seed, diameter), symmetry), Microscope(300.0, 2.7, 0.1)
    poses, origins = uniform_poses(count, rng), rng.normal(size=(count, 2)) * shift
    defoci = rng.uniform(8000, 25000, count)
    state = (np.arange(count) >= round((1 - other) * count)).astype(np.int64)
    truth = [
        Particle(int(kind), tuple(pose), tuple(origin), Defocus(d + 150, d - 150, 30.0))
        for kind, pose, origin, d in zip(state, poses, origins, defoci, strict=True)
    ]
    phantoms = [phantom, random_phantom(seed + 1, 0.8 * diameter)]
    clean = np.stack([clean_image(particle, phantoms, microscope, box, pixel_size) for particle in truth])
    scale = np.float32(np.sqrt(snr / clean.var(axis=(1, 2)).mean()))
    images = rng.normal(size=clean.shape).astype(np.float32) + (0 if noise_only else scale * clean)
    folder = root / "data"
    folder.mkdir(parents=True, exist_ok=True)
    write_stack(folder / "particles.mrcs", images, pixel_size)
    volume = density(phantom, box, pixel_size) * scale * pixel_size  # images are sums over voxels
    write_mrc(folder / "truth.mrc", volume, pixel_size, volume=True)
    items = pl.DataFrame(
        {
            "id": np.arange(count) + 1000,
            "micrograph_id": np.arange(count) // 50,
            "stack_path": ["data/particles.mrcs"] * count,
            "stack_index": np.arange(count),
            "optics_group": np.ones(count, np.int64),
            "enabled": np.ones(count, bool),
            "fail_reason": [""] * count,
            "defocus_u": defoci + 150,
            "defocus_v": defoci - 150,
            "defocus_angle": np.full(count, 30.0),
            "phase_shift": np.zeros(count),
        }
    )
    group = {
        "optics_group": 1, "optics_group_name": "one", "pixel_size": pixel_size, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1,
        "box_size": box, "contrast": "bright", "phase_flipped": False, "ctf_premultiplied": False, **optics,
    }  # fmt: skip
    maps = pl.DataFrame({"id": [1], "volume_path": ["data/truth.mrc"], "box_size": [box]})
    return Simulated(
        Particles(items, root, optics=[group]),
        Volume(maps, root, meta={"pixel_size": pixel_size}),
        volume,
        euler_to_matrix(*poses.T),
        origins,
        state,
    )


@pytest.fixture(scope="session")
def simulate():
    """Return `simulate_set`, for sets that the tests of a module share."""
    return simulate_set


@pytest.fixture(scope="session")
def job_in():
    """Return a maker of jobs in the project folder that it is given."""
    return lambda root, name, **settings: CheckpointJob(root / "runs" / name, root, **settings)


@pytest.fixture
def checkpoint_job(tmp_path):
    """Return a maker of jobs in one project folder."""

    def make(name="r001", **settings):
        return CheckpointJob(tmp_path / "runs" / name, tmp_path, **settings)

    return make


@pytest.fixture
def simulated(tmp_path):
    """Return `simulate_set` with the project folder filled in, unless it is given."""
    return lambda root=tmp_path, **settings: simulate_set(root, **settings)


@pytest.fixture(scope="session")
def job_of():
    """Return the class of jobs that keep checkpoints, for runs that several tests share."""
    return CheckpointJob


@pytest.fixture(scope="session")
def stopped():
    return Stopped
