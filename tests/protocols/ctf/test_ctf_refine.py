import numpy as np
import polars as pl
import pytest
from ctf_project import PIXEL_SIZE, registered
from plain_job import PlainJob
from thon_micrographs import Optics, Truth, micrograph

from cryoloom.data import CTFs
from cryoloom.formats.mrc import read_mrc
from cryoloom.protocols.ctf.refine import CTFRefine

TRUTHS = {1: Truth(15300, 14900, 30), 2: Truth(9000, 8500, -60), 3: Truth(22000, 21900, 0), 4: Truth(18000, 17600, 80)}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Four good micrographs, one of noise, one that does not vary."""
    images = {number: micrograph((700, 800), truth, Optics(pixel_size=PIXEL_SIZE), number, dose=40) for number, truth in TRUTHS.items()}
    images[5] = np.random.default_rng(4).poisson(60, (700, 800)).astype(np.float32)
    images[6] = np.full((700, 800), 7, np.float32)
    return registered(tmp_path_factory.mktemp("project"), images)


def priors(project, factor=1.05, ids=(1, 2, 3, 5)):
    """Return CTFs off by `factor` and 10°; of 3 it is disabled, of 4 and 6 there is none."""
    truths = {**TRUTHS, 5: Truth(15000, 15000)}
    rows = [
        {
            "id": number, "micrograph_id": number, "micrograph_name": f"m{number}", "optics_group": 1, "enabled": number != 3, "fail_reason": "",
            "defocus_u": truths[number].u * factor, "defocus_v": truths[number].v * factor, "defocus_angle": truths[number].angle + 10.0,
            "phase_shift": 0.0,
        }
        for number in ids
    ]  # fmt: skip
    return CTFs(pl.DataFrame(rows), project.root, optics=project.optics)


def run_of(project, name, **values):
    folder = project.root / "runs" / name
    folder.mkdir(parents=True)
    job = PlainJob(folder, project.root)
    protocol = CTFRefine(micrographs=project, **values)
    assert not [hint for hint in protocol.check() if hint.error]
    return protocol, job, protocol.run(job)


@pytest.fixture(scope="module")
def refined(project):
    return run_of(project, "refined", ctfs=priors(project))


def test_a_prior_five_per_cent_off_is_corrected(refined):
    rows = refined[2].ctfs.items
    for row in rows.head(4).iter_rows(named=True):
        truth = TRUTHS[row["id"]]
        assert 0.5 * (row["defocus_u"] + row["defocus_v"]) == pytest.approx(truth.mean, abs=60)
        assert row["enabled"] and not row["prior_kept"], row["fail_reason"]
        assert row["ctf_corr13"] > 0.27 and row["ctf_margin"] > 1 and row["ctf_envelope_resolution"] < 20
    assert rows["ctf_disagreement"].is_not_null().to_list() == [True, True, False, False, True, False]
    assert rows["ctf_disagreement"][0] == pytest.approx(rows["ctf_first_zero"][0] * 0.025, rel=0.3)


def test_the_missing_and_the_bad_are_told(refined):
    _, job, out = refined
    reasons = dict(out.ctfs.items.select("id", "fail_reason").rows())
    assert "no Thon rings" in reasons[5] and "ctf_corr13" in reasons[5]
    assert "no variance" in reasons[6]
    assert out.ctfs.items["enabled"].to_list() == [True] * 4 + [False] * 2
    assert any("3 of 6 micrographs have no believed earlier CTF" in warning for warning in job.warnings)


def test_a_ctf_may_stay_as_it_is(project):
    earlier = priors(project, factor=1.0, ids=(1, 2))
    out = run_of(project.select([1, 2]), "judged", ctfs=earlier, optimise=False, reject=False)[2]
    for column in ("defocus_u", "defocus_v", "defocus_angle"):
        assert out.ctfs.items[column].to_list() == pytest.approx(earlier.items[column].to_list())
    assert out.ctfs.items["ctf_disagreement"].to_list() == pytest.approx([0, 0], abs=1e-9)


def test_what_is_shown(refined):
    protocol, _, out = refined
    row = out.ctfs.items.row(0, named=True)
    assert len(row["ctf_band"]) == len(row["ctf_power"]) == len(row["ctf_background"]) == len(row["ctf_envelope"]) > 50
    crests = np.add(row["ctf_background"], row["ctf_envelope"])
    assert np.all(np.array(row["ctf_background"]) > 0) and np.mean(np.array(row["ctf_power"]) < crests * 1.02) > 0.9
    assert read_mrc(out.ctfs.file(row["enhanced_path"])).data.shape[0] == read_mrc(out.ctfs.file(row["enhanced_path"])).data.shape[1]
    panels = protocol.report(out)
    assert [panel.title for panel in panels][:3] == ["Power spectra", "Background and envelope of m1", "Fit of m1"]
    assert all(panel.html() for panel in panels)
    summary = protocol.summary(out)
    assert summary["micrographs"] == 4 and summary["rejected"] == 2


def test_priors_of_other_micrographs_are_refused(project):
    earlier = priors(project)
    others = earlier.with_columns(earlier.items.select("id", micrograph_name=pl.lit("x")))
    assert [hint.parameter for hint in CTFRefine(micrographs=project, ctfs=others).check()] == ["ctfs"]
    assert list(CTFRefine(micrographs=project).check()) == []
