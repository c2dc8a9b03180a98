"""motion.optical_flow and motion.consensus on simulated movies whose motion is known."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from cryoloom.app.export import export
from cryoloom.app.session import create_project
from cryoloom.app.simulation import simulate
from cryoloom.formats.motion_fields import displacements
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.motion.field import from_relion_polynomial
from cryoloom.spec import CryoloomError

SIDE, FRAMES = 25, 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    changes = {"movies": 2, "frames": FRAMES, "width": 640, "height": 512, "drift_local": 4.0, "particles_per_movie": 25}
    simulate(folder / "data", "tiny", 21, overrides=changes)
    acquisition = json.loads((folder / "data/acquisition.json").read_text())
    values = {name: acquisition[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame")}
    whole = sorted((folder / "data/movies").iterdir())[0]
    (whole.parent / "zz_cut.mrc").write_bytes(whole.read_bytes()[:200_000])
    values |= {"pattern": str(folder / "data/movies/*"), "gain": str(folder / "data" / acquisition["gain"])}
    project = create_project(folder / "project")
    movies = project.run("import.movies", **values).outputs.movies
    flow = project.run("motion.optical_flow", movies=movies, halves=True, threads=2).outputs.micrographs
    patches = project.run("motion.correlation", movies=movies).outputs.micrographs
    return folder, values, project, movies, flow, patches


def truth(folder, name):
    tables = read_star(folder / f"data/truth/motion/{name}.star")
    shifts = torch.from_numpy(tables["global_shift"].select("rlnMicrographShiftX", "rlnMicrographShiftY").to_numpy().copy())
    return from_relion_polynomial(torch.from_numpy(tables["local_motion_model"]["rlnMotionModelCoeff"].to_numpy().astype(float)), shifts)


def errors(folder, micrographs):
    """RMSE px per axis at the particles, means over frames removed, of the fields as written."""
    off = []
    for row in micrographs.enabled().iter_rows(named=True):
        particles = read_star(folder / "data/truth/particles.star")["particles"]
        here = particles.filter(pl.col("rlnMicrographName").str.contains(row["micrograph_name"]))
        x, y = (torch.from_numpy(here[f"rlnCoordinate{axis}"].to_numpy().astype(float)) for axis in "XY")
        x, y = x / row["width"], y / row["height"]
        field = truth(folder, row["micrograph_name"])
        found = displacements(row, micrographs.dataset.root, SIDE)
        places = ((y * SIDE).long().clamp(0, SIDE - 1), (x * SIDE).long().clamp(0, SIDE - 1))
        true = torch.stack([field.at(f, *((each.double() + 0.5) / SIDE - 0.5 for each in places[::-1])) for f in range(FRAMES)])
        error = found[:, places[0], places[1]] - true
        off.append((error - error.mean(0)).square().mean())
    assert len(off) == 2
    return float(torch.stack(off).mean().sqrt())


def test_displacements_at_particles_are_as_good_as_those_of_patches(made):
    folder, _, _, _, flow, patches = made
    found = errors(folder, flow)
    assert found < 0.2
    assert found < 1.2 * errors(folder, patches) + 0.01


def test_columns_and_files_are_those_of_correlation_and_the_flows_own(made):
    _, _, _, _, flow, patches = made
    assert set(patches.items.columns) <= set(flow.items.columns)
    row = flow.enabled().row(0, named=True)
    assert row["motion_model"] is not None and len(row["motion_model"]) == 36
    for name in ("micrograph_path", "weighted_path", "odd_path", "even_path"):
        assert read_mrc(flow.file(row[name])).data.shape == (512, 640)
    plain, odd, even = (read_mrc(flow.file(row[name])).data for name in ("micrograph_path", "odd_path", "even_path"))
    np.testing.assert_allclose(plain, (4 * odd + 3 * even) / 7, atol=2e-4 * plain.std() + 1e-4)
    for axis in "xy":
        shifts, mean, std = (np.asarray(row[name]) for name in (f"shift_{axis}", f"flow_mean_{axis}", f"flow_std_{axis}"))
        assert mean[0] == std[0] == 0.0 and (mean >= np.abs(np.diff(shifts, prepend=shifts[0])) - 1e-3).all() and std[1:].min() > 0


def test_the_field_as_written_is_the_one_relions_model_tells(made):
    _, _, _, _, flow, _ = made
    for row in flow.enabled().iter_rows(named=True):
        apart = displacements(row, flow.dataset.root, SIDE) - displacements({**row, "flow_path": None}, flow.dataset.root, SIDE)
        assert float((apart - apart.mean(0)).square().mean().sqrt()) < 0.06


def test_the_cut_movie_is_a_disabled_row(made):
    _, _, _, movies, flow, _ = made
    bad = flow.items.filter(~pl.col("enabled"))
    assert movies.count == 3 and bad["micrograph_name"].to_list() == ["zz_cut"] and bad["fail_reason"][0]


def test_threads_do_not_change_a_bit(made):
    folder, values, _, _, flow, _ = made
    again = create_project(folder / "again")
    movies = again.run("import.movies", **values).outputs.movies
    assert again.run("motion.optical_flow", movies=movies, halves=True, threads=1).outputs.micrographs.hash == flow.hash


def test_a_part_of_frames_and_of_the_picture_is_aligned_and_summed(made):
    _, _, project, movies, _, patches = made
    settings = {"first_frame": 2, "last_frame": 6, "sum_range": "chosen", "first_summed": 3, "last_summed": 6}
    region = {"crop_x": 40, "crop_y": 20, "crop_width": 480, "crop_height": 440}
    run = project.run(
        "motion.optical_flow", movies=movies, alignment=patches, bin_factor=2, dose_weighting="no", group_size=2, **settings, **region
    )
    row = run.outputs.micrographs.enabled().row(0, named=True)
    assert (row["width"], row["height"], row["crop_x"], row["crop_y"]) == (240, 220, 40, 20)
    assert len(row["shift_x"]) == 5 and row["first_frame"] == 2 and row["weighted_path"] is None
    before = patches.enabled().row(0, named=True)
    for axis in "xy":
        apart = np.asarray(row[f"shift_{axis}"]) - np.asarray(before[f"shift_{axis}"])[1:6]
        assert np.std(apart) < 0.3


def test_bad_movies_are_rows_with_a_reason(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(4.0, (6, 420, 440)).astype(np.float32)
    spoilt = counts.copy()
    spoilt[3] = 2.0
    for name, frames in {"noise": counts, "single": counts[:1], "constant": spoilt}.items():
        write_mrc(tmp_path / f"{name}.mrc", frames, 2.0, stack=True)
    project = create_project(tmp_path / "project")
    movies = project.run("import.movies", pattern=str(tmp_path / "*.mrc"), pixel_size=2.0, voltage=300, cs=2.7).outputs.movies
    rows = {row["micrograph_name"]: row for row in _rows(project.run("motion.optical_flow", movies=movies))}
    assert rows["noise"]["motion_sure"] is False and rows["noise"]["motion_total"] == 0.0 and rows["noise"]["motion_model"] is None
    assert rows["single"]["enabled"] and rows["single"]["shift_x"] == [0.0]
    assert not rows["constant"]["enabled"] and "frame 4 is constant" in rows["constant"]["fail_reason"]
    late = {
        row["micrograph_name"]: row
        for row in _rows(project.run("motion.optical_flow", movies=movies, last_frame=6, crop_width=430, crop_height=420))
    }
    assert late["noise"]["enabled"] and "has 1 frames" in late["single"]["fail_reason"]
    for wrong in (
        {"first_frame": 5, "last_frame": 3},
        {"dose_weighting": "yes"},
        {"crop_width": 100},
        {"crop_x": 10},
        {"use_alignment": "yes"},
        {"sum_range": "chosen", "first_frame": 3, "first_summed": 2},
        {"sum_range": "chosen", "last_frame": 5, "last_summed": 6},
    ):
        with pytest.raises(CryoloomError):
            project.run("motion.optical_flow", movies=movies, **wrong)


def _rows(run):
    return run.outputs.micrographs.items.iter_rows(named=True)


def test_the_motion_goes_to_relion(made, tmp_path):
    _, _, project, _, flow, _ = made
    export(project, "r002.micrographs", tmp_path / "out", "relion")
    name = flow.enabled()["micrograph_name"][0]
    tables = read_star(tmp_path / f"out/motion/{name}.star")
    assert len(tables["global_shift"]) == FRAMES and len(tables["local_motion_model"]) == 36


def test_alignments_that_agree_are_kept(made):
    _, _, project, _, _, _ = made
    run = project.run("motion.consensus", micrographs=["r002.micrographs", "r003.micrographs"])
    rows = run.outputs.micrographs.enabled()
    assert rows.height == 2 and rows["agree"].all()
    assert rows["motion_difference"].max() < 0.8 and rows["sums_resolution"].max() < 7.0
    assert len(run.outputs.micrographs.items) == 3


def test_where_alignments_differ_micrographs_are_disabled_and_the_better_sum_is_told(made):
    folder, _, project, movies, _, _ = made
    project.run("motion.correlation", movies=movies, patches=1, name="whole")
    run = project.run("motion.consensus", micrographs=["whole.micrographs", "r002.micrographs"], max_difference=0.4)
    rows = run.outputs.micrographs.items.filter(pl.col("agree").is_not_null())
    assert not rows["agree"].any() and not rows["enabled"].any()
    assert all("differ by" in reason for reason in rows["fail_reason"])
    assert (rows["local_difference"] > 0.4).all() and (rows["signal_ratio"] < 0).all() and rows["alignment"].to_list() == [2, 2]
    assert all("r002" in path for path in rows["micrograph_path"])
    kept = project.run("motion.consensus", micrographs=["whole.micrographs", "r002.micrographs"], keep="first", max_difference=50.0)
    assert kept.outputs.micrographs.enabled().height == 2
    assert not any("r002" in path for path in kept.outputs.micrographs.enabled()["micrograph_path"])


def test_sets_that_cannot_be_compared_are_refused(made, tmp_path):
    _, _, project, movies, _, _ = made
    for wrong in (
        ["r002.micrographs"],
        ["r002.micrographs", "r002.micrographs"],
        ["r002.micrographs", "r003.micrographs", "r003.micrographs"],
    ):
        with pytest.raises(CryoloomError):
            project.run("motion.consensus", micrographs=wrong)
    rng = np.random.default_rng(1)
    write_mrc(tmp_path / "other.mrc", rng.poisson(4.0, (3, 256, 256)).astype(np.float32), 2.68, stack=True)
    other = project.run("import.movies", pattern=str(tmp_path / "*.mrc"), pixel_size=2.68, voltage=300, cs=2.0)
    project.run("motion.correlation", movies=other.outputs.movies, name="other")
    with pytest.raises(CryoloomError, match="not of the same movies"):
        project.run("motion.consensus", micrographs=["r002.micrographs", "other.micrographs"])
