"""volumes.flip_hand against the projections of a mirrored particle."""

import numpy as np
import polars as pl

from cryoloom.data import Particles
from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.geometry.euler import euler_to_matrix, matrix_to_euler, random_rotations
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import project
from cryoloom.protocols.volumes.flip_hand import FlipHand


def test_the_map_is_that_of_the_mirrored_particle(job, stored, particle):
    maps = stored(particle(), particle(shift=(3.0, 1.0, -9.0)), halves=True)
    protocol = FlipHand(volume=maps)
    out = protocol.run(job)
    for row, shift in zip(out.volume.items.iter_rows(named=True), ((0, 0, 0), (3.0, 1.0, -9.0)), strict=True):
        truth = particle(shift=shift, mirrored=True)
        made, half = (read_mrc(out.volume.file(row[name])).data for name in ("volume_path", "half_map1_path"))
        assert np.abs(made - truth).max() < 1e-5 * truth.max()
        assert np.allclose(half, 0.9 * made, atol=1e-6)
    assert [panel.title for panel in protocol.report(out)] == ["Before", "After"]
    assert "inverted" in protocol.methods(out)


def test_poses_turned_along_show_the_same_images(job, stored, particle):
    rotations = random_rotations(5, np.random.default_rng(1))
    rot, tilt, psi = matrix_to_euler(rotations)
    rows = pl.DataFrame(
        {"id": range(1, 6), "micrograph_id": [1] * 5, "stack_path": ["a.mrcs"] * 5, "stack_index": range(5), "optics_group": [1] * 5}
    )
    particles = Particles(rows.with_columns(rot=rot, tilt=tilt, psi=psi), job.root, optics=[{"optics_group": 1}])
    out = FlipHand(volume=stored(particle()), particles=particles).run(job)
    turned = euler_to_matrix(*(out.particles.items[name].to_numpy() for name in ("rot", "tilt", "psi")))
    for before, after in zip(rotations, turned, strict=True):
        one, two = project(p80(), before, 32, 7.0), project(p80().mirrored(), after, 32, 7.0)
        assert np.abs(one - two).max() < 1e-5 * one.max()


def test_particles_without_poses_are_refused(job, stored, particle):
    rows = pl.DataFrame({"id": [1], "micrograph_id": [1], "stack_path": ["a.mrcs"], "stack_index": [0], "optics_group": [1]})
    (hint,) = FlipHand(volume=stored(particle()), particles=Particles(rows, job.root, optics=[{"optics_group": 1}])).check()
    assert "no poses" in hint.message
