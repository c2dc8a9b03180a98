"""volumes.symmetrize on maps with, and without, the group that is imposed."""

from dataclasses import replace

import numpy as np
import pytest

from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.simulate.phantom import p80, symmetrised
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.volumes.symmetrize import Symmetrize


def made_by(job, maps, **values):
    protocol = Symmetrize(volume=maps, **values)
    out = protocol.run(job)
    rows = list(out.volume.items.iter_rows(named=True))
    return protocol, out, [read_mrc(out.volume.file(row["volume_path"])).data for row in rows], rows


def interior(volume, radius=18):
    axis = np.arange(len(volume)) - len(volume) // 2
    return volume[axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2 <= radius**2]


@pytest.mark.parametrize("name", ["D2", "I2"])
def test_a_map_that_has_the_group_stays_as_it_is(job, stored, name):
    # Up to Nyquist: what lies in the corners of the transform has no symmetry that is not the cube's.
    data = lowpass(density(symmetrised(p80(), name), 44, 5.0), 5.0, 10.5)
    _, _, (made,), rows = made_by(job, stored(data), symmetry=name, find_axes=False)
    assert np.corrcoef(interior(made), interior(data))[0, 1] > 0.999
    assert rows[0]["symmetry_correlation"] > 0.95
    assert job.warnings == []


def test_axes_are_found_and_half_maps_go_along(job, stored, particle):
    turn = random_rotations(1, np.random.default_rng(4))[0]
    phantom = symmetrised(p80(), "D2")
    data = density(replace(phantom, positions=phantom.positions @ turn.T + 4.0), 44, 5.0)
    _, out, (made,), rows = made_by(job, stored(data, halves=True), symmetry="D2")
    assert rows[0]["symmetry_correlation"] > 0.9
    turned = made[:, ::-1, ::-1]
    assert np.corrcoef(interior(np.roll(turned, (1, 1), (1, 2))), interior(made))[0, 1] > 0.999
    half = read_mrc(out.volume.file(rows[0]["half_map1_path"])).data
    assert np.allclose(half, 0.9 * made, atol=1e-3 * made.max())


def test_a_group_that_a_map_does_not_have_is_called_so(job, stored, particle):
    protocol, out, _, rows = made_by(job, stored(particle()), symmetry="D2")
    assert rows[0]["symmetry_correlation"] < 0.9
    assert "symmetry D2 is not supported by the map: CC between it and its symmetrised copy = 0." in job.warnings[0]
    assert [panel.title for panel in protocol.report(out)] == ["Before", "After", "Map and symmetrised map"]
    assert all(panel.html() for panel in protocol.report(out))
    assert protocol.summary(out)["symmetry"] == "D2"


@pytest.mark.parametrize(
    ("name", "words"), [("I5", "none defines it"), ("D2h", "mirrors"), ("X", "no such point group"), ("C1", "changes nothing")]
)
def test_groups_that_cannot_be_imposed_are_refused(stored, particle, name, words):
    (hint,) = Symmetrize(volume=stored(particle()), symmetry=name).check()
    assert hint.parameter == "symmetry"
    assert words in hint.message
