"""volumes.filter does to every shell what it says."""

import numpy as np
import pytest

from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.filters.maps import shell_amplitude
from cryoloom.protocols.volumes.filter import Filter
from cryoloom.spec import Failure

BOX, PIXEL = 44, 5.0


def ratio(job, stored, **values):
    """Filter noise; return by what the amplitude of each shell was multiplied, and the output."""
    data = np.random.default_rng(0).standard_normal((BOX,) * 3).astype(np.float32)
    maps = stored(data, halves=True)
    out = Filter(volume=maps, **values).run(job).volume
    row = out.items.row(0, named=True)
    assert row["half_map1_path"] == maps.items["half_map1_path"][0], "half maps stay as they were"
    return shell_amplitude(read_mrc(out.file(row["volume_path"])).data) / shell_amplitude(data), maps


def shell(angstrom):
    return BOX * PIXEL / angstrom


@pytest.mark.parametrize(
    ("values", "kept", "gone"),
    [
        ({"fine": 20.0}, (0, 9), (13, 22)),
        ({"band": "high-pass", "coarse": 40.0}, (8, 22), (0, 4)),
        ({"band": "band-pass", "fine": 15.0, "coarse": 50.0}, (6, 13), (17, 22)),
    ],
)
def test_shells_are_kept_or_gone(job, stored, values, kept, gone):
    factor, _ = ratio(job, stored, **values)
    assert factor[slice(*kept)] == pytest.approx(1.0, abs=0.01)
    assert np.abs(factor[slice(*gone)]).max() < 0.01


def test_a_b_factor_weighs_amplitudes(job, stored):
    factor, _ = ratio(job, stored, band="none", b_factor=400.0)
    frequency = np.arange(23) / (BOX * PIXEL)
    assert factor[1:22] == pytest.approx(np.exp(-100 * frequency[1:22] ** 2), rel=0.02)


def test_the_report_shows_the_filter(job, stored, particle):
    protocol = Filter(volume=stored(particle(), particle(shift=(5, 5, 5))), b_factor=-100.0)
    out = protocol.run(job)
    panels = protocol.report(out)
    assert [panel.title for panel in panels] == ["Before", "After", "Filter", "Amplitude by resolution"]
    assert all(panel.html() for panel in panels)
    assert protocol.methods(out) == "Maps were low-passed at 20 Å and weighted with a B-factor of -100 Å²."


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"band": "none"}, "band"),
        ({"band": "band-pass", "fine": 50.0, "coarse": 40.0}, "coarse"),
        ({"fine": 9.0}, "fine"),
        ({"fine": 300.0}, "fine"),
        ({"band": "high-pass", "coarse": 500.0}, "coarse"),
    ],
)
def test_what_cannot_be_is_said(stored, particle, values, parameter):
    assert [hint.parameter for hint in Filter(volume=stored(particle()), **values).check()] == [parameter]


@pytest.mark.parametrize(("spoil", "code"), [(np.nan, "map-nan"), (None, "map-empty")])
def test_maps_that_are_none_are_refused(job, stored, particle, spoil, code):
    data = particle()
    if spoil is None:
        data[:] = 1.0
    else:
        data[3, 3, 3] = spoil
    with pytest.raises(Failure) as refused:
        Filter(volume=stored(data)).run(job)
    assert refused.value.code == code
