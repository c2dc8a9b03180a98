"""postprocess.local_sharpen on a particle of which one side is blurred more than the other."""

import numpy as np
import polars as pl
import pytest
from scipy import ndimage

from cryoloom.data import Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.filters.maps import lowpass, shell_amplitude
from cryoloom.numerics.simulate.local_blur import locally_blurred, locally_low_passed
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.postprocess.local_sharpen import LocalSharpen
from cryoloom.spec import Failure

BOX, PIXEL = 64, 1.5
FINE, COARSE = 4.5, 8.0


@pytest.fixture(scope="module")
def blurred():
    """The sharp particle; blurred by 100 and 300 Å² and cut at 4.5 and 8 Å; its two half maps' mean; the resolutions, 0 outside."""
    sharp = density(random_phantom(0, 64.0).with_b_factor(20.0), BOX, PIXEL)
    sharp /= sharp.std()
    where = np.broadcast_to(np.arange(BOX) - BOX // 2, (BOX,) * 3)
    solvent = ndimage.gaussian_filter(sharp, 2.0)
    inside = solvent > 0.1 * solvent.max()
    resolution = np.where(where > 0, FINE, COARSE).astype(np.float32)
    truth = locally_low_passed(locally_blurred(sharp, PIXEL, np.where(where > 0, 100.0, 300.0).astype(np.float32)), PIXEL, resolution)
    noise = 0.4 * truth[inside].std() * np.random.default_rng(0).standard_normal(truth.shape)
    return sharp, where, (truth + noise).astype(np.float32), ndimage.gaussian_filter(resolution, 2.0) * inside


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes a map as a set of one."""

    def save(data, name="map", pixel_size=PIXEL, **meta):
        folder = tmp_path / "maps"
        folder.mkdir(exist_ok=True)
        write_mrc(folder / f"{name}.mrc", data, pixel_size, volume=True)
        rows = {"id": [1], "box_size": [len(data)], "volume_path": [f"maps/{name}.mrc"]}
        return Volume(pl.DataFrame(rows), tmp_path, meta={"pixel_size": pixel_size, **meta})

    return save


def read(volume):
    return read_mrc(volume.file(volume.items.item(-1, "volume_path"))).data


def test_every_class_of_resolution_comes_nearer_to_the_truth_and_nothing_is_added_beyond(checkpoint_job, stored, blurred):
    sharp, where, before, resolution = blurred
    protocol = LocalSharpen(volume=stored(before), resolution=stored(resolution, "resolution"))
    out = protocol.run(checkpoint_job())
    after = read(out.volume)
    for limit, side in ((FINE, where > 8), (COARSE, where < -8)):
        there = (resolution > 0) & side
        band = [lowpass(each, PIXEL, limit) for each in (before, after, sharp)]
        upper = [low - lowpass(each, PIXEL, 2 * limit) for low, each in zip(band, (before, after, sharp), strict=True)]
        for maps in (band, upper):
            old, new = (np.corrcoef(each[there], maps[2][there])[0, 1] for each in maps[:2])
            assert new > old and (new > old + 0.05 or new > 0.9)
        soft = ndimage.gaussian_filter(there.astype(np.float32), 2.0)
        power = [shell_amplitude(each * soft) ** 2 for each in (before, after)]
        beyond = slice(int(BOX * PIXEL / limit) + 1, BOX // 2 + 1)
        assert power[1][beyond].sum() <= 1.1 * power[0][beyond].sum()
    outside = resolution == 0
    assert after[outside].std() <= 1.001 * before[outside].std()
    ratio = [np.quantile(each[~outside], 0.99) / each[outside].std() for each in (before, after)]
    assert ratio[1] > ratio[0]
    meta = out.volume.meta
    assert len(out.iterations) == len(meta["steps"]) >= 3
    assert np.array_equal(read(out.iterations), after), "the last step is the result"
    panels = protocol.report(out)
    assert all(panel.html() for panel in panels)
    assert protocol.summary(out)["rounds"] == 1 and "LocalDeblur" in protocol.methods(out)


def test_rounds_go_on_and_only_the_last_map_is_kept(checkpoint_job, stored, blurred):
    _, _, before, resolution = blurred
    values = {"volume": stored(before), "resolution": stored(resolution, "resolution"), "keep_iterations": False}
    once, twice = (LocalSharpen(**values, rounds=rounds).run(checkpoint_job(f"r00{rounds}")) for rounds in (1, 2))
    assert [step["round"] for step in twice.volume.meta["steps"]][-1] == 2
    assert len(twice.iterations) == 1 and twice.volume.meta["rms_ratio"] > once.volume.meta["rms_ratio"] > 1
    automatic = LocalSharpen(**values, rounds=-1).run(checkpoint_job("r003"))
    sizes = list(dict.fromkeys(step["lambda"] for step in automatic.volume.meta["steps"]))
    assert len(sizes) == 10 or abs(sizes[-1] - sizes[-2]) <= 0.2


def test_the_same_bits_with_two_threads_and_after_a_kill(checkpoint_job, stored, blurred):
    _, _, before, resolution = blurred
    values = {"volume": stored(before), "resolution": stored(resolution, "resolution")}
    found = read(LocalSharpen(**values).run(checkpoint_job(threads=1)).volume)
    assert np.array_equal(found, read(LocalSharpen(**values).run(checkpoint_job("r002", threads=2)).volume))
    killed = checkpoint_job("r003", kill_after=2)
    with pytest.raises(Exception, match="^$"):
        LocalSharpen(**values).run(killed)
    assert np.array_equal(found, read(LocalSharpen(**values).run(checkpoint_job("r003", resume=killed.last)).volume))


def test_a_filled_solvent_is_solvent(checkpoint_job, stored, blurred):
    _, _, before, resolution = blurred
    filled = np.where(resolution > 0, resolution, np.float32(5.25))
    found = [
        read(LocalSharpen(volume=stored(before), resolution=stored(each, "resolution"), keep_iterations=False).run(checkpoint_job()).volume)
        for each in (resolution, filled)
    ]
    assert np.array_equal(*found)


def test_what_is_no_map_of_resolutions_is_refused(checkpoint_job, stored, blurred):
    _, _, before, resolution = blurred
    cases = {
        "maps-differ": resolution[8:-8, 8:-8, 8:-8].copy(),
        "resolution-negative": resolution - 1,
        "resolution-is-map": before - before.min() + 1,
    }
    for code, data in cases.items():
        with pytest.raises(Failure) as refused:
            LocalSharpen(volume=stored(before), resolution=stored(data, "resolution")).run(checkpoint_job())
        assert refused.value.code == code
    job = checkpoint_job()
    LocalSharpen(volume=stored(before), resolution=stored(resolution, "resolution"), keep_iterations=False).run(job)
    assert not job.warnings
    hints = list(LocalSharpen(volume=stored(before), resolution=stored(resolution, "resolution", median=8.0), rounds=0).check())
    assert [(hint.parameter, hint.error) for hint in hints] == [("rounds", True), ("strength", False)]
