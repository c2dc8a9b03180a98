"""Consensus and screening of estimates that are written down, not fitted."""

import math

import polars as pl
import pytest

from cryoloom.data import CTFs, Micrographs
from cryoloom.protocols.ctf.consensus import CTFConsensus

OPTICS = [{"optics_group": 1, "optics_group_name": "one", "pixel_size": 1.3, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
WAVELENGTH = 0.0196875


class Said:
    """A job that keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def fits(root, rows, **more):
    """Return CTFs of `rows`: id to (u, v, angle) or (u, v, angle, plate); None for one that was not fitted."""
    table = pl.DataFrame(
        {
            "id": list(rows),
            "micrograph_id": list(rows),
            "micrograph_name": [f"m{number}" for number in rows],
            "optics_group": [1] * len(rows),
            "enabled": [row is not None for row in rows.values()],
            "fail_reason": ["" if row is not None else "no rings" for row in rows.values()],
            **{
                name: pl.Series([None if row is None else float((*row, 0.0)[place]) for row in rows.values()], dtype=pl.Float64)
                for place, name in enumerate(("defocus_u", "defocus_v", "defocus_angle", "phase_shift"))
            },
            **more,
        }
    ).with_columns(astigmatism=pl.col("defocus_u") - pl.col("defocus_v"))
    return CTFs(table, root, optics=OPTICS)


def reasons(out):
    return {} if out.discarded is None else dict(out.discarded.items.select("id", "fail_reason").rows())


@pytest.fixture
def two(tmp_path):
    one = {1: (15300, 15000, 10), 2: (15300, 15000, 10), 3: (15300, 15000, 10), 4: None, 5: (15300, 15000, 10)}
    other = {1: (15330, 15030, 10), 2: (21300, 21000, 10), 3: None, 4: (15300, 15000, 10), 5: (15300, 15000, 100)}
    return fits(tmp_path, one), fits(tmp_path, other)


def test_what_agrees_is_kept(two):
    protocol = CTFConsensus(ctfs=two)
    assert list(protocol.check()) == []
    out = protocol.run(Said())
    assert out.ctfs.items["id"].to_list() == [1, 5]
    agreed = dict(out.ctfs.items.select("id", "agreement_resolution").rows())
    assert agreed[1] == pytest.approx(math.sqrt(2 * WAVELENGTH * 30), rel=1e-4)
    assert agreed[5] == pytest.approx(math.sqrt(2 * WAVELENGTH * 300), rel=1e-4)  # U of one lies along V of the other
    assert reasons(out) == {2: "estimates agree only to 15.4 Å", 3: "no believed fit in set 2", 4: "no rings"}
    assert out.ctfs.items["defocus_u"][0] == 15300
    assert protocol.summary(out)["accepted"] == 2
    assert all(panel.html() for panel in protocol.report(out))
    only = CTFConsensus(ctfs=two, missing="accept", max_agreement=16).run(Said())
    assert only.ctfs.items["id"].to_list() == [1, 2, 3, 5]


def test_the_average_is_taken_along_every_azimuth(two):
    items = CTFConsensus(ctfs=two, defocus_from="average").run(Said()).ctfs.items
    assert items.row(0, named=True)["defocus_u"] == pytest.approx(15315)
    round_one = items.filter(pl.col("id") == 5).row(0, named=True)
    assert round_one["astigmatism"] == pytest.approx(0, abs=1e-6)
    assert round_one["defocus_u"] == pytest.approx(15150)


def test_phase_plates_count_too(tmp_path):
    """Plates 30° apart leave 60° to the defocus; 170° and 10° are 20° apart but for a sign of the whole."""
    one = fits(tmp_path, {1: (15000, 15000, 0, 60), 2: (15000, 15000, 0, 170)})
    two = fits(tmp_path, {1: (14900, 14900, 0, 30), 2: (15000, 15000, 0, 10)})
    rows = CTFConsensus(ctfs=(one, two), defocus_from="average").run(Said()).ctfs.items
    assert rows["agreement_resolution"].to_list() == pytest.approx([math.sqrt(3 * WAVELENGTH * 100), 0], rel=1e-4)
    assert rows["phase_shift"].to_list() == pytest.approx([45, 180])


def test_screening_by_the_limits_of_the_field(tmp_path):
    rows = {
        1: (15000, 15000, 0),
        2: (3900, 3800, 0),
        3: (41000, 40500, 0),
        4: (16000, 14000, 0),
        5: (15000, 15000, 0),
        6: (15000, 15000, 0),
    }
    more = {"ctf_resolution": [4.0, 4.0, 4.0, 4.0, 18.0, 4.0], "ctf_iceness": [None, 1.0, 1.0, 1.0, 1.0, 1.2], "ctf_corr13": [0.6] * 6}
    one = fits(tmp_path, rows, **more)
    out = CTFConsensus(ctfs=(one,)).run(Said())
    assert out.ctfs.items["id"].to_list() == [1]
    told = reasons(out)
    assert "out of range" in told[2] and "out of range" in told[3] and "astigmatism 2000" in told[4]
    assert told[5].startswith("ctf_resolution 18") and told[6].startswith("ctf_iceness 1.2")
    wide = CTFConsensus(ctfs=(one,), min_defocus=0.3, max_defocus=5, max_astigmatism=2500, max_resolution=20, use_criteria=False).run(
        Said()
    )
    assert len(wide.ctfs) == 6 and wide.discarded is None


def test_micrographs_are_divided_too(two, tmp_path):
    items = two[0].items.select("id", "micrograph_name", "optics_group").with_columns(enabled=pl.lit(True), fail_reason=pl.lit(""))
    items = pl.concat([items, items.head(1).with_columns(id=pl.lit(9, pl.Int64), micrograph_name=pl.lit("m9"))])
    items = items.with_columns(micrograph_path=pl.lit(""), width=pl.lit(64), height=pl.lit(64))
    out = CTFConsensus(ctfs=two, micrographs=Micrographs(items, tmp_path, optics=OPTICS)).run(Said())
    assert out.micrographs.items["id"].to_list() == [1, 5] and out.micrographs.items["enabled"].all()
    discarded = out.discarded_micrographs.items
    assert discarded["id"].to_list() == [2, 3, 4, 9] and not discarded["enabled"].any()
    assert discarded["fail_reason"].to_list()[-1] == "no CTF"


def test_nothing_accepted_and_others_left_out_are_told(tmp_path):
    one, two = fits(tmp_path, {1: (15000, 15000, 0)}), fits(tmp_path, {1: (30000, 30000, 0), 2: (15000, 15000, 0)})
    job = Said()
    out = CTFConsensus(ctfs=(one, two)).run(job)
    assert out.ctfs is None and len(out.discarded) == 1
    assert any("No micrograph is accepted" in each for each in job.warnings) and any("later sets only" in each for each in job.warnings)


def test_sets_of_other_micrographs_are_refused(two, tmp_path):
    renamed = two[1].with_columns(two[1].items.select("id", micrograph_name=pl.lit("x")))
    apart = fits(tmp_path, {11: (15000, 15000, 0)})
    for other in (renamed, apart):
        assert [hint.parameter for hint in CTFConsensus(ctfs=(two[0], other)).check()] == ["ctfs"]
    assert [hint.parameter for hint in CTFConsensus(ctfs=(two[0],), min_defocus=5).check()] == ["max_defocus"]
