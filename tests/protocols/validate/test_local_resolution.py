"""validate.local_resolution on maps of which every place has a resolution that is known."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Mask, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre
from cryoloom.numerics.simulate.local_blur import locally_low_passed
from cryoloom.protocols.validate.local_resolution import LocalResolution
from cryoloom.spec import Failure

BOX, PIXEL = 64, 1.5
RADIUS = 22
FINE, COARSE = 4.0, 8.0
SEAM = 6
"""px beside the seam of the two halves that are not judged."""


def two_halves(snr=30.0, fine=FINE, coarse=COARSE, seed=0):
    """White detail in a ball, to 4 Å where x > 0 and to 8 Å where x < 0; its half maps with white noise."""
    rng = np.random.default_rng(seed)
    x = np.arange(BOX) - BOX // 2
    resolution = np.broadcast_to(np.where(x > 0, fine, coarse).astype(np.float32), (BOX,) * 3)
    detail = rng.standard_normal((BOX,) * 3).astype(np.float32)
    each = [locally_low_passed(detail, PIXEL, np.full_like(detail, value)) for value in (fine, coarse)]
    truth = np.where(resolution == fine, each[0] / each[0].std(), each[1] / each[1].std()) * cosine_edge(
        radius_from_centre(BOX) - RADIUS, 4.0
    )
    halves = [truth + np.sqrt(2 / snr) * rng.standard_normal(truth.shape) for _ in range(2)]
    return truth.astype(np.float32), [each.astype(np.float32) for each in halves], resolution


def ball():
    return (radius_from_centre(BOX) < RADIUS).astype(np.float32)


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes maps as a set of one volume; and one mask."""

    def save(halves=(), whole=None, *, mask=None, pixel_size=PIXEL, **meta):
        folder = tmp_path / "maps"
        folder.mkdir(exist_ok=True)
        if mask is not None:
            write_mrc(folder / "mask.mrc", mask, pixel_size, volume=True)
            rows = pl.DataFrame({"id": [1], "box_size": [len(mask)], "mask_path": ["maps/mask.mrc"]})
            return Mask(rows, tmp_path, meta={"pixel_size": pixel_size})
        names = {"volume_path": np.mean(halves, axis=0, dtype=np.float32) if whole is None else whole}
        names |= {f"half_map{number}_path": half for number, half in enumerate(halves, 1)}
        for name, data in names.items():
            write_mrc(folder / f"{name}.mrc", data, pixel_size, volume=True)
        rows = {"id": [1], "box_size": [BOX], **{name: [f"maps/{name}.mrc"] for name in names}}
        return Volume(pl.DataFrame(rows), tmp_path, meta={"pixel_size": pixel_size, **meta})

    return save


def measured(job, stored, halves, **values):
    """Run the protocol under the ball; return the map of resolutions, 0 outside, and the output."""
    out = LocalResolution(volume=stored(halves), mask=stored(mask=ball()), **{"low": 14.0, **values}).run(job)
    return read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data, out


def errors(found, resolution):
    x = np.broadcast_to(np.arange(BOX) - BOX // 2, found.shape)
    judged = (found > 0) & (np.abs(x) > SEAM)
    return {side: np.median(found[judged & (resolution == side)]) for side in (FINE, COARSE)}, (found < 6) == (resolution < 6), judged


@pytest.mark.parametrize(("snr", "fine", "coarse"), [(30.0, FINE, COARSE), (5.0, 4.4, 8.6)])
def test_each_half_has_its_resolution(checkpoint_job, stored, snr, fine, coarse):
    _, halves, resolution = two_halves(snr)
    job = checkpoint_job()
    found, out = measured(job, stored, halves)
    medians, right, judged = errors(found, resolution)
    assert medians[FINE] == pytest.approx(fine, rel=0.12)
    assert medians[COARSE] == pytest.approx(coarse, rel=0.12)
    assert right[judged].mean() >= 0.97
    assert not job.warnings
    assert out.volume.meta["steps"]["shell"] == sorted(set(out.volume.meta["steps"]["shell"]))
