"""Images at their true poses, and half maps of the truth with noise: what is planted is named, and nothing else."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Particles, Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import read_particles, write_stack
from cryoloom.numerics.geometry.euler import matrix_to_euler
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.reconstruct.symmetry import symmetric_map
from cryoloom.protocols.validate.particles import ValidateParticles
from cryoloom.spec import Failure

BOX, SIZE, COUNT = 32, 6.0, 240


@pytest.fixture
def refined(simulated, tmp_path):
    """Return particles with poses and halves, and a map with half maps, as a refinement of `symmetry` would leave them."""

    def make(symmetry="C1", imposed="C1", **settings):
        found = simulated(count=COUNT, box=BOX, pixel_size=SIZE, snr=0.3, symmetry=symmetry, **settings)
        group, rng = point_group(imposed), np.random.default_rng(4)
        poses = np.stack([group.mates(one)[rng.integers(group.order)] for one in found.matrices])
        rot, tilt, psi = matrix_to_euler(poses)
        size = found.particles.optics[0]["pixel_size"]
        half = np.arange(COUNT) % 2 + 1
        columns = pl.DataFrame(
            {
                "id": found.particles.items["id"], "rot": rot, "tilt": tilt, "psi": psi,
                "origin_x": found.origins[:, 0], "origin_y": found.origins[:, 1], "half_set": half,
            }
        )  # fmt: skip
        truth = symmetric_map(found.density.astype(np.float32), group) if group.order > 1 else found.density
        paths = {}
        for name in ("volume", "half_map1", "half_map2"):
            paths[f"{name}_path"] = [f"data/{name}.mrc"]
            noise = rng.normal(size=truth.shape) * 0.2 * truth.std()
            write_mrc(tmp_path / "data" / f"{name}.mrc", (truth + noise).astype(np.float32), size, volume=True)
        meta = {"pixel_size": size, "mask_diameter": 170.0, "symmetry": imposed}
        return found.particles.with_columns(columns, symmetry=imposed), Volume(
            pl.DataFrame({"id": [1], "box_size": [BOX]} | paths), tmp_path, meta=meta
        )

    return make


def verdicts(checkpoint_job, particles, volume):
    out = ValidateParticles(particles=particles, volume=volume).run(checkpoint_job())
    return {row["check"]: row["verdict"] for row in out.checks.items.iter_rows(named=True)} | {"meta": out.checks.meta, "out": out}


def warned(found):
    return {name for name, verdict in found.items() if verdict == "warning"}


def with_images(particles, change, root):
    write_stack(root / "data/particles.mrcs", change(read_particles(particles)), SIZE)
    return particles


def test_nothing_is_wrong_with_a_right_map(refined, checkpoint_job):
    found = verdicts(checkpoint_job, *refined())
    assert not warned(found)
    assert found["phases"] == found["pixel size and defocus"] == found["junk"] == "good"


def test_phases_that_are_not_as_the_table_says_are_named(refined, checkpoint_job):
    assert warned(verdicts(checkpoint_job, *refined(phase_flipped=True))) == {"phases"}


def test_a_wrong_voltage_shows_in_the_defoci(refined, checkpoint_job):
    found = verdicts(checkpoint_job, *refined(voltage=200.0))
    assert "pixel size and defocus" in warned(found)
    best = found["meta"]["factors"][int(np.argmax(found["meta"]["gains"]))]
    # The wavelength of 200 kV is 1.274 times that of 300 kV.
    assert best == pytest.approx(1 / 1.274, rel=0.05)


def test_ctfs_of_other_micrographs_are_named(refined, checkpoint_job):
    particles, volume = refined()
    rolled = [pl.Series(name, np.roll(particles.items[name].to_numpy(), COUNT // 2)) for name in ("defocus_u", "defocus_v")]
    assert "CTFs" in warned(verdicts(checkpoint_job, particles.with_columns(particles.items.select("id").with_columns(rolled)), volume))


def test_junk_is_counted(refined, checkpoint_job, tmp_path):
    particles, volume = refined()
    rng = np.random.default_rng(1)
    junk = rng.random(COUNT) < 0.5
    with_images(particles, lambda images: np.where(junk[:, None, None], rng.normal(size=images.shape), images).astype(np.float32), tmp_path)
    found = verdicts(checkpoint_job, particles, volume)
    assert warned(found) == {"junk"}
    value = next(row["value"] for row in found["out"].checks.items.iter_rows(named=True) if row["check"] == "junk")
    assert value == pytest.approx(junk.mean(), abs=0.12)


def test_noise_shows_no_map(refined, checkpoint_job, tmp_path):
    particles, volume = refined()
    with_images(particles, lambda images: np.random.default_rng(1).normal(size=images.shape).astype(np.float32), tmp_path)
    assert warned(verdicts(checkpoint_job, particles, volume)) == {"images show the map"}


@pytest.mark.parametrize(("symmetry", "imposed", "wrong"), [("C1", "C2", True), ("C2", "C2", False), ("C2", "C4", True)])
def test_a_symmetry_that_images_do_not_support_is_named(refined, checkpoint_job, symmetry, imposed, wrong):
    assert ("symmetry" in warned(verdicts(checkpoint_job, *refined(symmetry=symmetry, imposed=imposed)))) == wrong


def test_threads_change_nothing(refined, checkpoint_job):
    particles, volume = refined()
    one, two = (ValidateParticles(particles=particles, volume=volume).run(checkpoint_job(f"r{n}", threads=n)).checks for n in (1, 2))
    assert one.items.equals(two.items) and one.meta == two.meta


def test_halves_that_are_missing_are_asked_for(refined, checkpoint_job):
    particles, volume = refined()
    alone = Volume(volume.items.drop("half_map1_path", "half_map2_path"), volume.root, meta=volume.meta)
    assert any(hint.error and "half maps" in hint.message for hint in ValidateParticles(particles=particles, volume=alone).check())
    one_half = Particles(particles.items.with_columns(half_set=pl.lit(1)), particles.root, optics=particles.optics)
    with pytest.raises(Failure, match="half_set"):
        ValidateParticles(particles=one_half, volume=volume).run(checkpoint_job())
