"""volumes.align brings maps of any place, hand and sampling onto a reference."""

import numpy as np
import pytest

from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.protocols.volumes.align import Align


def test_turned_mirrored_and_rescaled_maps_lie_on_the_reference(job, stored, particle):
    rng = np.random.default_rng(3)
    one, two = random_rotations(2, rng)
    reference = particle()
    maps = stored(
        particle(one, (6.0, -9.0, 4.0), box=50, pixel_size=4.4),
        particle(two, mirrored=True, box=50, pixel_size=4.4),
        pixel_size=4.4,
        halves=True,
    )
    protocol = Align(volume=maps, reference=stored(reference))
    out = protocol.run(job)
    assert out.volume.items["mirrored"].to_list() == [False, True]
    assert out.volume.meta["pixel_size"] == 5.0
    for row in out.volume.items.iter_rows(named=True):
        made, half = (read_mrc(out.volume.file(row[name])).data for name in ("volume_path", "half_map1_path"))
        assert made.shape == reference.shape
        assert fourier_shell_correlation(made, reference)[1:12].min() > 0.98
        assert np.allclose(half, 0.9 * made, atol=1e-3 * made.max())
        assert row["map_correlation"] > 0.99 > row["other_hand"]
    assert [warning.split(" of ")[-1] for warning in job.warnings] == ["50 voxels at 4.4 Å is rescaled to 44 at 5 Å."] * 2
    assert {panel.title for panel in protocol.report(out)} >= {"Before", "After", "Reference", "Maps and reference", "Places"}
    assert all(panel.html() for panel in protocol.report(out))
    assert protocol.summary(out)["mirrored"] == "map 2"


def test_a_hand_that_is_known_is_kept_and_strangers_are_named(job, stored, particle):
    noise = np.random.default_rng(0).standard_normal((44, 44, 44), np.float32)
    out = Align(volume=stored(noise), reference=stored(particle()), hand=False).run(job)
    assert out.volume.items["mirrored"].to_list() == [False]
    assert out.volume.items["other_hand"].to_list() == [None]
    assert "hardly the same particle" in job.warnings[0]


@pytest.mark.parametrize(("values", "parameter"), [({"symmetry": "Q"}, "symmetry"), ({"low_pass": 6.0}, "low_pass")])
def test_what_cannot_be_is_said(stored, particle, values, parameter):
    (hint,) = Align(volume=stored(particle()), reference=stored(particle()), **values).check()
    assert hint.parameter == parameter
