"""First maps from simulated class averages whose poses are known."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes2D
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.compare import compare_poses
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.symmetry import turned_map
from cryoloom.numerics.simulate.phantom import random_phantom, symmetrised
from cryoloom.numerics.simulate.poses import uniform_poses
from cryoloom.numerics.simulate.projection import density, project
from cryoloom.protocols.initial.significant import Significant

BOX, PIXEL = 40, 6.0
QUICK = {"iterations": 10, "starts": 3, "mask_diameter": 170.0, "max_resolution": 18.0, "angular_step": 8.0, "neighbourhood": 16.0}


@dataclass(frozen=True)
class Views:
    classes: Classes2D
    density: np.ndarray
    matrices: np.ndarray


@pytest.fixture
def averages(tmp_path):
    """Return a maker of class averages of a random phantom, almost without noise, off-centre by a pixel or so."""

    def make(count=40, *, symmetry="C1", seed=3, images=None, **columns):
        rng = np.random.default_rng(seed)
        phantom = symmetrised(random_phantom(seed, 150.0), symmetry)
        matrices = euler_to_matrix(*uniform_poses(count, rng).T)
        clean = np.stack([project(phantom, pose, BOX, PIXEL, tuple(rng.normal(size=2) * 4.0)) for pose in matrices])
        clean += rng.normal(size=clean.shape).astype(np.float32) * clean.std() / 2
        (tmp_path / "data").mkdir(exist_ok=True)
        write_stack(tmp_path / "data/averages.mrcs", clean if images is None else images(clean), PIXEL)
        numbers = np.arange(1, count + 1)
        table = {"id": numbers, "class_id": numbers, "stack_path": ["data/averages.mrcs"] * count, "stack_index": numbers - 1}
        table |= {"count": np.full(count, 100)} | columns
        return Views(Classes2D(pl.DataFrame(table), tmp_path, meta={"pixel_size": PIXEL}), density(phantom, BOX, PIXEL), matrices)

    return make


def agreement(out, truth, symmetry="C1"):
    """Return the resolution to which the map agrees with the truth in its better hand, and the median error of poses."""
    table = out.classes.enabled().filter(pl.col("rot").is_not_null())
    poses = euler_to_matrix(*(table[name].to_numpy() for name in ("rot", "tilt", "psi")))
    found = compare_poses(
        poses, np.zeros((len(poses), 2)), truth.matrices[table["id"].to_numpy() - 1], np.zeros((len(poses), 2)), group=point_group(symmetry)
    )
    hand = np.roll(truth.density[::-1], 1, axis=0) if found.mirrored else truth.density
    turned = turned_map(hand, found.rotation).astype(np.float32)
    volume = read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data.astype(np.float32)
    cross = np.fft.irfftn(np.fft.rfftn(volume) * np.conj(np.fft.rfftn(turned)), volume.shape, axes=(0, 1, 2))
    turned = np.roll(turned, np.unravel_index(cross.argmax(), cross.shape), axis=(0, 1, 2))
    return resolution_at(fourier_shell_correlation(volume, turned), 0.5, BOX, PIXEL), float(np.median(found.angles))


@pytest.mark.slow
@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_a_map_from_averages_alone(averages, checkpoint_job, symmetry):
    truth = averages(symmetry=symmetry)
    job = checkpoint_job()
    out = Significant(averages=truth.classes, symmetry=symmetry, **QUICK).run(job)
    resolution, angle = agreement(out, truth, symmetry)
    assert resolution <= 25.0 and angle < 10.0
    assert not job.warnings and len(out.volume.meta["starts"]) == 3 and out.particles is None
    titles = [panel.title for panel in Significant.report(None, out)]
    assert titles == ["The map", "Averages and reprojections", "Likeness", "Directions", "Viewing directions", "Iterations", "Averages"]
    assert all(panel.html() for panel in Significant.report(None, out))
