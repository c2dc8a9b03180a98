import numpy as np
import polars as pl
import pytest
from ctf_project import PIXEL_SIZE, registered
from plain_job import PlainJob
from pydantic import ValidationError
from thon_micrographs import Optics, Truth, micrograph

from cryoloom.data import CTFs
from cryoloom.formats.mrc import read_mrc
from cryoloom.protocols.ctf.estimate import CTFEstimate, Estimated
from cryoloom.protocols.ctf.refine import CTFRefine

DEFOCI = {1: (15300, 14900, 30), 2: (9000, 8500, -60), 3: (22000, 21900, 0)}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Three good micrographs, one of noise, one not finite, one that was disabled before."""
    root = tmp_path_factory.mktemp("project")
    images = {
        number: micrograph((700, 800), Truth(*defocus), Optics(pixel_size=PIXEL_SIZE), number, dose=30)
        for number, defocus in DEFOCI.items()
    }
    images[4] = np.random.default_rng(4).poisson(60, (700, 800)).astype(np.float32)
    images[5] = np.full((700, 800), np.nan, np.float32)
    images[6] = images[1]
    return registered(root, images).disable({6: "no ice"})


@pytest.fixture(scope="module")
def run(project):
    folder = project.root / "runs" / "r001"
    folder.mkdir(parents=True)
    job = PlainJob(folder, project.root)
    protocol = CTFEstimate(micrographs=project)
    return protocol, job, protocol.run(job)


def test_every_micrograph_has_a_row_and_the_good_ones_their_defocus(run):
    _, _, out = run
    rows = out.ctfs.items
    assert rows["id"].to_list() == rows["micrograph_id"].to_list() == [1, 2, 3, 4, 5, 6]
    assert rows["enabled"].to_list() == [True, True, True, False, False, False]
    assert out.ctfs.optics[0]["pixel_size"] == PIXEL_SIZE
    for row in rows.head(3).iter_rows(named=True):
        u, v, angle = DEFOCI[row["id"]]
        assert 0.5 * (row["defocus_u"] + row["defocus_v"]) == pytest.approx(0.5 * (u + v), abs=60)
        assert row["defocus_u"] - row["defocus_v"] == pytest.approx(row["astigmatism"])
        if u - v > 300:
            assert abs((row["defocus_angle"] - angle + 90) % 180 - 90) < 10
        assert row["phase_shift"] == 0
        assert row["ctf_resolution"] < 7
        assert row["micrograph_name"] == f"m{row['id']}"


def test_the_bad_ones_say_why(run):
    _, job, out = run
    reasons = dict(out.ctfs.items.select("id", "fail_reason").rows())
    assert "no Thon rings" in reasons[4]
    assert "score" in reasons[4]
    assert "not finite" in reasons[5]
    assert reasons[6] == "no ice"
    assert out.ctfs.items.filter(pl.col("id") >= 5)["defocus_u"].null_count() == 2
    assert any("1 of 4" in warning for warning in job.warnings)


def test_some_are_fitted_anew_and_the_rest_is_kept(run, project):
    """Micrograph 3 is given another range, which it is not in; 6 is disabled and keeps its row."""
    earlier = run[2].ctfs
    folder = project.root / "runs/anew"
    folder.mkdir(exist_ok=True)
    chosen = CTFEstimate(micrographs=project, ctfs=earlier, recompute="id in (3, 6)", max_defocus=18000)
    assert list(chosen.check()) == [] and chosen.preview() == {"fitted anew": 1, "kept": 5}
    found = chosen.run(PlainJob(folder, project.root)).ctfs
    assert found.items["id"].to_list() == [1, 2, 3, 4, 5, 6]
    same = found.items["id"] != 3
    assert found.items.filter(same).drop("enabled").equals(earlier.items.filter(same).drop("enabled"), null_equal=True)
    assert not found.items["enabled"][2] and found.items["enabled"][:2].all()
    assert found.optics == earlier.optics
    listed = CTFEstimate(micrographs=project.select([1, 2]), ctfs=earlier.select([2, 3]))
    assert listed.preview() == {"fitted anew": 2, "kept": 1}
    assert listed.run(PlainJob(folder, project.root)).ctfs.items["id"].to_list() == [1, 2, 3]


def test_earlier_ctfs_must_be_of_the_same_micrographs(run, project):
    ctfs = run[2].ctfs
    others = ctfs.with_columns(ctfs.items.select("id", micrograph_name=pl.lit("other")))
    assert [hint.parameter for hint in CTFEstimate(micrographs=project, ctfs=others).check()] == ["ctfs"]
    for rule in ("defocus > 3", "id == 99"):
        assert [hint.parameter for hint in CTFEstimate(micrographs=project, ctfs=ctfs, recompute=rule).check()] == ["recompute"]
    assert [hint.parameter for hint in CTFEstimate(micrographs=project, recompute="id == 1").check()] == ["recompute"]


@pytest.mark.parametrize("low_res", [30.0, 0.07])
def test_faint_rings_keep_their_micrograph_and_are_told(run, project, monkeypatch, low_res):
    """Whether the band is given in Å or as a part of the sampling rate."""
    assert not any("too faint" in warning for warning in run[1].warnings)
    monkeypatch.setattr("cryoloom.numerics.ctf.estimate.CLEAR_GAIN", 1e9)
    one = project.select(project.items["id"].head(1))
    folder = project.root / f"runs/faint-{low_res:g}"
    folder.mkdir()
    job = PlainJob(folder, project.root)
    out = CTFEstimate(micrographs=one, low_res=low_res).run(job)
    assert out.ctfs.items["enabled"].all() and "faint" not in out.ctfs.items.columns
    coarse = low_res if low_res > 1 else PIXEL_SIZE / low_res
    assert out.ctfs.items["ctf_resolution"][0] == pytest.approx(coarse)
    assert any("1 micrographs show rings too faint" in warning and f"ctf_resolution < {coarse:.4g}" in warning for warning in job.warnings)


def test_picture_and_curves(run):
    _, _, out = run
    row = out.ctfs.items.row(0, named=True)
    picture = read_mrc(out.ctfs.file(row["psd_path"]))
    assert picture.data.shape[0] == picture.data.shape[1] <= 512
    assert 0 <= picture.data.min() < picture.data.max() <= 127
    nyquist_of_picture = 0.5 / picture.pixel_size
    assert 1 / 5.0 < nyquist_of_picture < 1.3 / 5.0
    lengths = {len(row[name]) for name in ("ctf_frequency", "ctf_rotational", "ctf_equiphase", "ctf_fit", "ctf_quality")}
    assert len(lengths) == 1
    assert row["ctf_frequency"][-1] == pytest.approx(0.5 / PIXEL_SIZE, rel=0.02)


def test_summary_and_report(run):
    protocol, _, out = run
    summary = protocol.summary(out)
    assert summary["micrographs"] == 3
    assert summary["without a believable fit"] == 3
    panels = protocol.report(out)
    titles = [panel.title for panel in panels]
    assert titles[:3] == ["Power spectra", "Fit of m1", "Defocus over the session"]
    outliers = panels[titles.index("Outliers")].columns
    assert outliers["micrograph"] == ["m4", "m5", "m6"] and "no Thon rings" in outliers["why"][0]
    assert all(panel.html() for panel in panels)


def test_what_stands_out_is_named(run):
    ctfs = run[2].ctfs
    many = pl.concat([ctfs.items.head(1).with_columns(id=pl.lit(n, pl.Int64), micrograph_name=pl.lit(f"n{n}")) for n in range(1, 11)])
    many = many.with_columns(ctf_iceness=pl.when(pl.col("id") == 7).then(1.6).otherwise(0.9 + 0.001 * pl.col("id")))
    panels = run[0].report(Estimated(CTFs(many, ctfs.root, optics=ctfs.optics)))
    outliers = next(panel for panel in panels if panel.title == "Outliers").columns
    assert outliers["micrograph"] == ["n7"] and "iceness 1.6" in outliers["why"][0]


def test_scipion_s_numbers_mean_the_same(project):
    ours = CTFEstimate(micrographs=project, bin_factor=1.5, low_res=50, high_res=2.4 * 1.5 / 0.42, min_defocus=2500, max_defocus=40000)
    theirs = CTFEstimate(micrographs=project, bin_factor=1.5, low_res=0.06, high_res=0.42, min_defocus=0.25, max_defocus=4.0)
    assert theirs._settings(PIXEL_SIZE) == ours._settings(PIXEL_SIZE)


def test_a_phase_plate_s_range(project):
    settings = CTFEstimate(
        micrographs=project, find_phase_shift=True, min_phase_shift=30, max_phase_shift=150, phase_shift_step=25
    )._settings(1)
    np.testing.assert_allclose(np.rad2deg(settings.plates), [30, 54, 78, 102, 126, 150])


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"low_res": 5.0, "high_res": 8.0}, "high_res"),
        ({"low_res": 0.4, "high_res": 0.1}, "high_res"),
        ({"bin_factor": 6.0}, "bin_factor"),
        ({"min_defocus": 20000, "max_defocus": 10000}, "max_defocus"),
        ({"recompute": "id == 1"}, "recompute"),
        ({"find_phase_shift": True, "min_phase_shift": 90, "max_phase_shift": 30}, "max_phase_shift"),
    ],
)
def test_contradictions_are_found_before_the_run(project, values, parameter):
    hints = list(CTFEstimate(micrographs=project, **values).check())
    assert [hint.parameter for hint in hints if hint.error] == [parameter]
    assert CTFEstimate(micrographs=project, **{**values, parameter: hints[0].fix}).model_fields_set


@pytest.mark.parametrize(
    "wrong",
    [
        {"cs": -1.0},
        {"voltage": None},
        {"voltage": 300_000.0},
        {"pixel_size": None},
        {"pixel_size": 0.0},
        {"pixel_size": -1.2},
        {"pixel_size": 1200.0},
        {"pixel_size": float("nan")},
    ],
)
def test_bad_optics_are_found_before_the_run(tmp_path, wrong):
    bad = registered(tmp_path, {1: np.zeros((64, 64), np.float32)}, **wrong)
    for protocol in (CTFEstimate, CTFRefine):
        hints = list(protocol(micrographs=bad).check())
        assert [(hint.parameter, hint.error) for hint in hints] == [("micrographs", True)] and next(iter(wrong)) in hints[0].message
    missing = registered(tmp_path / "missing", {1: np.zeros((64, 64), np.float32)})
    assert list(CTFEstimate(micrographs=missing).check()) == []
    del missing.optics[0][next(iter(wrong))]
    assert [hint.parameter for hint in CTFEstimate(micrographs=missing).check()] == ["micrographs"]


@pytest.mark.parametrize("protocol", [CTFEstimate, CTFRefine])
def test_images_that_hold_nothing_or_less_than_the_window_cost_only_themselves(tmp_path, protocol):
    images = {
        1: np.full((128, 128), 7, np.float32),
        2: np.full((128, 128), np.nan, np.float32),
        3: np.random.default_rng(3).poisson(60, (20, 24)).astype(np.float32),
        4: micrograph((360, 300), Truth(15100, 14900), Optics(pixel_size=PIXEL_SIZE), 4, dose=200, particles=9),
    }
    job = PlainJob(tmp_path, tmp_path)
    rows = protocol(micrographs=registered(tmp_path, images), window=512).run(job).ctfs.items
    assert rows["enabled"].to_list() == [False, False, False, True], rows["fail_reason"].to_list()
    for reason, word in zip(rows["fail_reason"], ("no variance", "not finite", "at least 32 px"), strict=False):
        assert word in reason
    assert 0.5 * (rows["defocus_u"][3] + rows["defocus_v"][3]) == pytest.approx(15000, abs=200)


def test_impossible_values_are_refused(project):
    for values in ({"window": 100.5}, {"window": 65}, {"low_res": -3}, {"bin_factor": 0.5}, {"resolution": 5}):
        with pytest.raises(ValidationError):
            CTFEstimate(micrographs=project, **values)


def test_defaults_pass_and_a_limit_asked_for_beyond_nyquist_is_told(project, run, tmp_path):
    assert list(CTFEstimate(micrographs=project).check()) == []
    assert not any("Nyquist" in warning for warning in run[1].warnings)
    one = registered(tmp_path / "p", {1: micrograph((400, 400), Truth(12000, 12000), Optics(pixel_size=PIXEL_SIZE), 1)})
    job = PlainJob(tmp_path / "p", tmp_path / "p")
    CTFEstimate(micrographs=one, high_res=3.0).run(job)
    assert any("Nyquist" in warning for warning in job.warnings)
