import numpy as np
import polars as pl
import pytest

from cryoloom.data import Mask, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.reconstruct.symmetry import turned_map
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.initial.swarm import SwarmConsensus
from cryoloom.spec import Failure

SMALL = {"count": 300, "box": 32, "pixel_size": 7.0, "snr": 0.4}
QUICK = {"mask_diameter": 170.0, "resolution": 20.0, "min_angle": 20.0, "train": 120, "test": 40, "polish": False}


@pytest.fixture
def volumes(tmp_path):
    """Return a function that writes maps as one set."""

    def make(*maps, pixel_size=7.0):
        paths = [f"data/candidate{number}.mrc" for number in range(len(maps))]
        for path, one in zip(paths, maps, strict=True):
            write_mrc(tmp_path / path, np.ascontiguousarray(one, np.float32), pixel_size, volume=True)
        table = pl.DataFrame({"id": np.arange(1, len(maps) + 1), "volume_path": paths, "box_size": [len(maps[0])] * len(maps)})
        return (Volume(table, tmp_path, meta={"pixel_size": pixel_size}),)

    return make


def rough(data, seed, detail=30.0):
    """Return the truth at 30 Å with as coarse a noise, six tenths as strong."""
    noise = np.random.default_rng(seed).normal(size=data.density.shape).astype(np.float32)
    coarse, noise = lowpass(data.density, 7.0, detail), lowpass(noise, 7.0, detail) * spherical_mask(32, 12.0, 3.0)
    return coarse + noise * np.float32(0.6 * coarse.std() / noise.std())


def map_of(out, column="volume_path"):
    return read_mrc(out.file(out.items.item(0, column))).data


@pytest.mark.slow
def test_of_two_rough_maps_comes_a_better_one_and_a_kill_or_threads_change_no_bit(simulated, volumes, checkpoint_job, stopped):
    data = simulated(**SMALL)
    given = volumes(rough(data, 1), rough(data, 2))
    protocol = SwarmConsensus(particles=data.particles, volumes=given, iterations=3, **QUICK)
    assert not list(protocol.check())
    out = protocol.run(checkpoint_job())

    def worth(volume):
        return fourier_shell_correlation(volume, data.density)[1:12].mean()

    found = map_of(out.volume)
    assert worth(found) > 1.2 * max(worth(rough(data, seed)) for seed in (1, 2))
    table = out.members.items
    assert table["fitness"].min() > table["fitness_at_start"].max() and table["best_iteration"].min() > 0
    assert out.volume.meta["iterations"][-1]["correlation"][0][1] > out.volume.meta["iterations"][0]["correlation"][0][1]
    titles = [panel.title for panel in protocol.report(out)]
    assert titles == ["Result", "Best by volume", "Fitness", "Do they converge?", "Volumes before and after", "Agreement of halves"]
    assert all("<svg" in panel.html() or "<img" in panel.html() or "<table" in panel.html() for panel in protocol.report(out))
    assert protocol.summary(out)["far worse at the start"] == "none" and protocol.methods(out).startswith("2 first maps were")
    killed = checkpoint_job("r2", kill_after=1, threads=2)
    with pytest.raises(stopped):
        protocol.run(killed)
    again = protocol.run(checkpoint_job("r3", resume=killed.last, threads=2))
    assert np.array_equal(map_of(again.volume), found) and again.volume.meta["iterations"] == out.volume.meta["iterations"]


@pytest.mark.slow
def test_a_wrong_volume_is_named_and_the_polished_map_shows_nothing_of_it(simulated, volumes, checkpoint_job, stopped):
    data = simulated(**SMALL | {"count": 200})
    wrong = density(random_phantom(9, 120.0), 32, 7.0) * 7.0
    job = checkpoint_job()
    values = QUICK | {"polish": True}
    right = [rough(data, seed, 20.0) for seed in (1, 2)]
    given = volumes(*right, lowpass(wrong, 7.0, 20.0))
    protocol = SwarmConsensus(particles=data.particles, volumes=given, iterations=2, **values)
    out = protocol.run(job)
    assert any(warning.startswith("Volume 3 explained the particles far worse") for warning in job.warnings)
    assert out.volume.meta["wrong"] == [3]
    found = map_of(out.volume)
    assert fourier_shell_correlation(found, data.density)[1:9].mean() > 0.9
    assert len(out.volume.meta["views"]["rot"]) in (0, 150)
    killed = checkpoint_job("killed", kill_after=1, resume={"swarm": job.last["swarm"]})
    with pytest.raises(stopped):
        protocol.run(killed)
    assert "polish" in killed.last and not killed.last["polish"]["settled"]
    assert np.array_equal(map_of(protocol.run(checkpoint_job("rest", resume=killed.last)).volume), found)


@pytest.mark.slow
def test_opposite_hands_are_refused_by_name_or_turned(simulated, volumes, checkpoint_job):
    data = simulated(**SMALL | {"count": 120})
    fine = lowpass(data.density, 7.0, 16.0)
    given = volumes(fine, mirrored_map(rough(data, 3, 16.0)))
    values = QUICK | {"iterations": 1}
    with pytest.raises(Failure, match=r"Volume 1 explains .* only as mirror images: volume 2 ") as refused:
        SwarmConsensus(particles=data.particles, volumes=given, **values).run(checkpoint_job())
    assert "volumes.flip_hand" in refused.value.cure
    job = checkpoint_job("r2")
    out = SwarmConsensus(particles=data.particles, volumes=given, hands="flip", **values).run(job)
    assert any("Volume 2 has the opposite hand of volume 1" in warning for warning in job.warnings)
    assert out.volume.meta["iterations"][0]["correlation"][0][1] > 0.6


@pytest.mark.slow
def test_symmetry_and_mask_are_imposed(simulated, volumes, checkpoint_job, tmp_path):
    data = simulated(**SMALL | {"count": 120, "symmetry": "C3"})
    mask = spherical_mask(32, 9.5, 2.0)
    write_mrc(tmp_path / "data/mask.mrc", mask, 7.0, volume=True)
    given = Mask(pl.DataFrame({"id": [1], "mask_path": ["data/mask.mrc"], "box_size": [32]}), tmp_path, meta={"pixel_size": 7.0})
    protocol = SwarmConsensus(
        particles=data.particles, volumes=volumes(rough(data, 1), rough(data, 2)), mask=given, symmetry="C3", iterations=1, **QUICK
    )
    found = map_of(protocol.run(checkpoint_job()).volume)
    assert fourier_shell_correlation(found, data.density * mask)[1:9].mean() > 0.85
    third = turned_map(found, rotation_from_vector(np.array([0.0, 0.0, 2 * np.pi / 3])))
    assert np.corrcoef(third.ravel(), found.ravel())[0, 1] > 0.98
    outside = mask < 0.01
    assert np.abs(found[outside]).max() < 0.05 * found.max()


def test_what_cannot_be_done_is_refused_and_what_can_be_mended_is_said(simulated, volumes, checkpoint_job):
    data = simulated(**SMALL | {"count": 120})
    one = volumes(data.density)

    def hints(**values):
        protocol = SwarmConsensus(**{"particles": data.particles, "volumes": one, "mask_diameter": 170.0, "train": 60} | values)
        return {hint.parameter: hint for hint in protocol.check()}

    alone = hints()["volumes"]
    assert not alone.error and "nothing for it to agree with" in alone.message
    assert not hints(volumes=volumes(data.density, data.density))
    assert hints(train=500)["train"].fix == 60 and not hints(train=500)["train"].error
    assert hints(symmetry="D0")["symmetry"].error
    assert "100 or more" in hints(particles=simulated(**SMALL | {"count": 60}).particles)["particles"].message
    broken = data.density.copy()
    broken[3, 4, 5] = np.nan
    data = simulated(**SMALL | {"count": 120})
    job = checkpoint_job()
    with pytest.raises(Failure, match="constant or holds values that are not finite"):
        SwarmConsensus(particles=data.particles, volumes=volumes(broken), iterations=1, **QUICK).run(job)
    with pytest.raises(Failure, match="volume 1: the images agree with the negative"):
        SwarmConsensus(particles=data.particles, volumes=volumes(-data.density[4:28, 4:28, 4:28]), iterations=1, **QUICK).run(job)
    assert any("24 voxels at 7 Å is resampled to 32" in warning for warning in job.warnings)
