"""volumes.resize keeps places, values and half maps through changes of pixel size and box."""

import numpy as np
import pytest

from cryoloom.data import Mask
from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.masks.soft import cosine_edge
from cryoloom.protocols.volumes.resize import Resize

PLACE = np.array([11.3, -17.9, 23.1])
"""Å from the centre."""


def blob(box, pixel_size, width=12.0):
    """A Gaussian at `PLACE`, analytically."""
    axis = (np.arange(box) - box // 2) * pixel_size
    x, y, z = (np.exp(-((axis - each) ** 2) / (2 * width**2)) for each in PLACE)
    return (z[:, None, None] * y[None, :, None] * x[None, None, :]).astype(np.float32)


def place_of(volume, pixel_size):
    """The blob's centre, Å from the box's centre."""
    axis = (np.arange(len(volume)) - len(volume) // 2) * pixel_size
    weights = volume.astype(np.float64).clip(0)
    return np.array([weights.sum(axis=others) @ axis / weights.sum() for others in ((0, 1), (0, 2), (1, 2))])


def resized(job, maps, **values):
    out = Resize(volume=maps, **values).run(job)
    made = out.mask if out.volume is None else out.volume
    row = made.items.row(0, named=True)
    image = read_mrc(made.file(row.get("volume_path") or row["mask_path"]))
    assert image.pixel_size == pytest.approx(made.meta["pixel_size"], rel=1e-6)
    assert row["box_size"] == len(image.data)
    return made, image


@pytest.mark.parametrize("box", [40, 41])
@pytest.mark.parametrize(
    "ways",
    [
        [{"pixel_size": 2.0}, {"pixel_size": 6.0}],
        [{"pixel_size": 3.17}, {"pixel_size": 4.0}],
        [{"scaled_size": 61}, {"scaled_size": 40}],
        [{"factor": 1.7}, {"resize": "pyramid", "level": -1}],
        [{"window_size": 57}, {"crop_size": 3}, {"window_size": 40}],
    ],
)
def test_a_blob_stays_where_it_is_through_any_chain(job, stored, box, ways):
    maps = stored(blob(box, 4.0), pixel_size=4.0)
    for way in ways:
        maps, image = resized(job, maps, **way)
        pixel_size = maps.meta["pixel_size"]
        assert np.abs(place_of(image.data, pixel_size) - PLACE).max() < 0.02 * pixel_size
        # What the header says of a place is true in both: the origin moved with the centre.
        for each in image.header.origin:
            assert each + pixel_size * (len(image.data) // 2) == pytest.approx(4.0 * (box // 2), abs=1e-3)


@pytest.mark.parametrize(("box", "fine", "coarse"), [(40, 1.34, 4.02), (41, 1.9, 4.0), (40, 2.5, 3.0)])
def test_up_and_down_again_gives_the_same_map(job, stored, box, fine, coarse):
    data = sum(weight * np.roll(blob(box, coarse, 2.0 * coarse), shift, (0, 1, 2)) for weight, shift in ((1, 0), (-0.7, 3), (0.4, -5)))
    large, _ = resized(job, stored(data, pixel_size=coarse), pixel_size=fine)
    _, image = resized(job, large, pixel_size=coarse, window_size=box)
    assert np.linalg.norm(image.data - data) / np.linalg.norm(data) < 1e-5
    fsc = fourier_shell_correlation(image.data, data)
    assert fsc[1 : int(0.9 * box / 2)].min() >= 0.999


def test_noise_survives_up_and_down_to_nine_tenths_of_nyquist(job, stored):
    data = np.random.default_rng(3).standard_normal((32, 32, 32), np.float32)
    large, _ = resized(job, stored(data), factor=1.5)
    _, image = resized(job, large, scaled_size=32)
    assert fourier_shell_correlation(image.data, data)[1 : int(0.9 * 16) + 1].min() >= 0.999


def test_half_maps_are_kept_in_step_for_every_map_of_a_set(job, stored):
    maps = stored(blob(32, 4.0), 2 * blob(32, 4.0), pixel_size=4.0, halves=True)
    made = Resize(volume=maps, pixel_size=2.0, window_size=48).run(job).volume
    assert made.items["id"].to_list() == [1, 2]
    for number, row in enumerate(made.items.iter_rows(named=True), 1):
        whole, one, two = (read_mrc(made.file(row[name])).data for name in ("volume_path", "half_map1_path", "half_map2_path"))
        assert whole.shape == one.shape == two.shape == (48, 48, 48)
        assert np.allclose(one, 0.9 * whole, atol=1e-5)
        assert np.allclose(two, 1.1 * whole, atol=1e-5)
        assert whole.max() == pytest.approx(number, rel=0.05)
    assert len(job.warnings) == 0


def test_new_voxels_take_the_mean_of_the_rim(job, stored):
    _, image = resized(job, stored(blob(32, 4.0) + 3.0, pixel_size=4.0), window_size=48)
    assert image.data[0, 0, 0] == pytest.approx(3.0, abs=0.01)
    assert np.ptp(image.data[:8]) < 0.01


@pytest.mark.parametrize("interpolation", ["fourier", "linear"])
def test_masks_stay_masks(job, stored, interpolation):
    axis = np.arange(32) - 16
    ball = cosine_edge(np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2) - 8, 4)
    made, image = resized(job, stored(ball, kind=Mask, column="mask_path"), factor=1.5, window_size=60, interpolation=interpolation)
    assert isinstance(made, Mask)
    assert image.data.min() == 0.0
    assert image.data.max() <= 1.0
    assert image.data.sum() / 1.5**3 == pytest.approx(ball.sum(), rel=0.02)
    assert image.data[0].max() == 0.0


def test_the_form_tells_what_will_be_made(stored):
    maps = stored(blob(40, 4.02), pixel_size=4.02)
    told = Resize(volume=maps, pixel_size=1.34).preview()
    assert (told["box (px)"], told["pixel size (Å)"], told["finest detail (Å)"]) == (120, 1.34, 8.04)


@pytest.mark.parametrize(
    ("values", "parameter", "words"),
    [
        ({}, "pixel_size", "has to be given"),
        ({"resize": "none"}, "resize", "changes nothing"),
        ({"pixel_size": 20.0}, "pixel_size", "a box of 8 px; a map needs 16"),
        ({"crop_size": 15}, "crop_size", "a box of 10 px"),
        ({"factor": 19.0, "window_size": 64}, "window_size", ""),
        ({"pixel_size": 0.05}, "pixel_size", "GB of memory"),
    ],
)
def test_what_cannot_be_is_said(stored, values, parameter, words):
    found = list(Resize(volume=stored(blob(40, 4.0), pixel_size=4.0), **values).check())
    if not words:
        assert found == []
    else:
        assert found[0].parameter == parameter
        assert words in found[0].message


def test_the_report_shows_before_and_after(job, stored):
    protocol = Resize(volume=stored(blob(32, 4.0), pixel_size=4.0), pixel_size=2.0)
    out = protocol.run(job)
    assert [panel.title for panel in protocol.report(out)] == ["Before", "After", "Amplitude by resolution"]
    assert all(panel.html() for panel in protocol.report(out))
    assert protocol.summary(out)["to"] == "64³ at 2 Å"
    assert "in Fourier space" in protocol.methods(out)
