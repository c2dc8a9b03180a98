"""Columns in bins and as points, and curves of resolution: sums and ends follow from what was planted."""

import numpy as np
import planted_tables as planted
import polars as pl
import pytest
from fastapi.testclient import TestClient
from planted import publish

from cryoloom.app import columns, fsc
from cryoloom.app.session import create_project
from cryoloom.data import FSC
from cryoloom.server.app import make_app
from cryoloom.spec import WrongUse


@pytest.fixture
def project(tmp_path):
    return create_project(tmp_path / "p")


@pytest.fixture
def picks(project):
    return planted.coordinates(project, planted.micrographs(project))


def test_bins_count_all_rows_and_those_that_stay(picks):
    found = columns.histograms(picks, ["score", "strength"], bins=10, where="score > 0.75")
    assert (found["of"], found["count"]) == (1000, 250)
    score, strength = found["columns"]
    assert score["edges"][0] == 0.001 and score["edges"][-1] == 1.0 and len(score["edges"]) == 11
    assert sum(score["counts"]) == 1000 and sum(score["kept"]) == 250 and score["kept"][:7] == [0] * 7
    assert (strength["empty"], strength["empty_kept"]) == (100, 25) and sum(strength["counts"]) == 900


def test_whole_numbers_have_a_bin_each(picks):
    (found,) = columns.histograms(picks, ["micrograph_id"], bins=20)["columns"]
    assert found["edges"] == [each + 0.5 for each in range(11)] and found["counts"] == [100] * 10


def test_few_rows_are_points_as_they_are(picks):
    found = columns.points(picks, "strength", "score", where="score <= 0.1")
    assert found["count"] == 100 and found["empty"] == 10 and found["weight"] == [1] * 90
    rows = picks.items.filter(pl.col("score") <= 0.1, pl.col("strength").is_not_null())
    assert found["id"] == rows["id"].to_list() and found["ys"] == rows["strength"].to_list()


def test_many_rows_are_thinned_out_and_outliers_stay(project):
    picks = planted.coordinates(project, planted.micrographs(project), 20_000)
    found = columns.points(picks, "y", "x", limit=500)
    assert 100 <= len(found["xs"]) <= 500 and sum(found["weight"]) == 20_000 and found["xs"] == sorted(found["xs"])
    over_rows = columns.points(picks, "score", limit=100)
    assert len(over_rows["xs"]) <= 100 and sum(over_rows["weight"]) == 20_000
    assert over_rows["ys"][0] == 1 / 20_000 and over_rows["ys"][-1] == 1.0 and over_rows["xs"][-1] == 19_999


def test_one_far_row_of_many_is_seen():
    rng = np.random.default_rng(3)
    xs, ys = rng.normal(size=50_000), rng.normal(size=50_000)
    xs[777], ys[777] = 40.0, -40.0
    chosen, weight = columns._thinned(xs, ys, 1000, lines=False)
    assert 777 in chosen and len(chosen) <= 1000 and weight.sum() == 50_000


@pytest.mark.parametrize(
    ("rest", "query", "code"),
    [
        ("histograms", {"column": ["micrograph_name"]}, "no-numbers"),
        ("histograms", {"column": ["beauty"]}, "unknown-column"),
        ("histograms", {"column": ["score"], "bins": 100_000}, "bad-bins"),
        ("histograms", {"column": ["score"], "where": "score >"}, "rule"),
        ("points", {"y": "score", "limit": 1_000_000}, "bad-limit"),
        ("fsc", {}, "no-fsc"),
    ],
)
def test_errors_say_what_is_wrong(project, picks, rest, query, code):
    with TestClient(make_app(project.root)) as client:
        answer = client.get(f"/api/projects/p/outputs/{picks}/{rest}", params=query)
    assert answer.status_code == 422 and answer.json()["error"]["code"] == f"CL-{code}"


def test_a_column_without_any_value_has_no_bins_to_speak_of(project):
    ctfs = planted.ctfs(project, planted.micrographs(project))
    (found,) = columns.histograms(ctfs, ["ctf_resolution"], where="id == 10")["columns"]
    assert sum(found["counts"]) == 9 and sum(found["kept"]) == 0 and (found["empty"], found["empty_kept"]) == (1, 1)


def test_curves_cross_at_the_last_shell_before_they_fall(project):
    frequency = np.arange(11) / 100.0
    rows = {
        "id": range(11),
        "shell": range(11),
        "frequency": frequency,
        "fsc": np.linspace(1.0, 0.0, 11),
        "fsc_masked": [1.0] * 5 + [0.2] * 4 + [0.1] * 2,
    }
    table = pl.DataFrame({name: list(values) for name, values in rows.items()})
    output = publish(project, FSC(table, project.root, meta={"resolution": 12.5}), "postprocess.sharpen")
    found = fsc.curves(output)
    corrected, masked = found["curves"]
    assert found["resolution"] == corrected["crossings"]["0.143"] == pytest.approx(12.5)  # 0.2 at shell 8, 0.1 at shell 9
    assert corrected["crossings"]["0.5"] == pytest.approx(20.0)
    assert masked["crossings"] == pytest.approx({"0.143": 12.5, "0.5": 25.0}) and masked["title"] == "masked"


def test_a_curve_that_never_falls_crosses_nowhere(project):
    table = pl.DataFrame({"id": [0, 1, 2], "shell": [0, 1, 2], "frequency": [0.0, 0.1, 0.2], "fsc": [1.0, 0.9, 0.8]})
    (curve,) = fsc.curves(publish(project, FSC(table, project.root, meta={}), "refine.auto"))["curves"]
    assert curve["crossings"] == {"0.143": None, "0.5": None}


def test_curves_are_of_fsc_only(picks):
    with pytest.raises(WrongUse, match="coordinates"):
        fsc.curves(picks)
