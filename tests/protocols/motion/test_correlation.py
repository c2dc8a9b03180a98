"""motion.correlation on simulated movies whose motion is known."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from blake3 import blake3
from scipy.ndimage import gaussian_filter

from cryoloom.app.session import create_project
from cryoloom.app.simulation import simulate
from cryoloom.data import Movies
from cryoloom.data.movie_alignment import warn_of
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.motion import rigid
from cryoloom.numerics.motion.search import Found
from cryoloom.protocols.motion.correlation import Correlation
from cryoloom.report.motion import outliers
from cryoloom.spec import CryoloomError, Item
from cryoloom.tables.storage import PIECE


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    simulate(folder / "data", "tiny", 11, overrides={"movies": 3, "frames": 7, "width": 640, "height": 512, "format": "tiff-lzw"})
    acquisition = json.loads((folder / "data/acquisition.json").read_text())
    broken = sorted((folder / "data/movies").iterdir())[0]
    (broken.parent / "zz_cut.tif").write_bytes(broken.read_bytes()[:20_000])
    project = create_project(folder / "project")
    values = {name: acquisition[name] for name in ("pixel_size", "voltage", "cs", "amplitude_contrast", "dose_per_frame")}
    movies = project.run("import.movies", pattern=str(folder / "data/movies/*"), gain=str(folder / "data" / acquisition["gain"]), **values)
    return folder, project, movies, project.run("motion.correlation", movies=movies.outputs.movies, threads=2)


def test_global_motion_is_found_to_a_tenth_of_a_pixel_with_relions_sign(aligned):
    folder, _, _, run = aligned
    rows = run.outputs.micrographs.enabled()
    assert rows.height == 3
    for row in rows.iter_rows(named=True):
        truth = read_star(folder / f"data/truth/motion/{row['micrograph_name']}.star")["global_shift"]
        for axis in "xy":
            error = np.asarray(row[f"shift_{axis}"]) - truth[f"rlnMicrographShift{axis.upper()}"].to_numpy()
            assert np.sqrt(np.mean((error - error.mean()) ** 2)) < 0.15


def test_both_sums_are_written_with_the_frames_mean_and_without_hot_pixels(aligned):
    _, _, _, run = aligned
    micrographs = run.outputs.micrographs
    row = micrographs.enabled().row(0, named=True)
    plain, weighted = (read_mrc(micrographs.file(row[name])) for name in ("micrograph_path", "weighted_path"))
    assert plain.data.shape == weighted.data.shape == (512, 640)
    assert weighted.data.mean() == pytest.approx(plain.data.mean(), rel=1e-3)
    assert np.abs(plain.data - plain.data.mean()).max() < 12 * plain.data.std()
    assert row["motion_total"] == pytest.approx(row["motion_early"] + row["motion_late"])


def test_the_cut_movie_is_a_disabled_row(aligned):
    _, _, movies, run = aligned
    assert len(run.outputs.micrographs.items) == 4
    bad = run.outputs.micrographs.items.filter(~run.outputs.micrographs.items["enabled"])
    assert bad["micrograph_name"].to_list() == ["zz_cut"] and bad["fail_reason"][0]
    assert movies.outputs.movies.count == 4


def test_threads_do_not_change_a_bit_and_parameters_do(aligned):
    _, project, movies, run = aligned
    again = create_project(project.root.parent / "again")
    parameters = {**movies.parameters, "pattern": movies.parameters["pattern"]}
    same = again.run("motion.correlation", movies=again.run("import.movies", **parameters).outputs.movies, threads=1)
    assert same.outputs.micrographs.hash == run.outputs.micrographs.hash
    rigid = again.run("motion.correlation", movies="r001.movies", patches=1, last_frame=5, bin_factor=2, dose_weighting="no")
    row = rigid.outputs.micrographs.enabled().row(0, named=True)
    assert row["weighted_path"] is None and row["motion_model"] is None and len(row["shift_x"]) == 5
    assert (row["width"], row["height"]) == (320, 256)
    assert rigid.outputs.micrographs.optics[0]["pixel_size"] == pytest.approx(2 * run.outputs.micrographs.optics[0]["pixel_size"])


def test_nothing_but_noise_is_summed_as_it_is_and_a_constant_movie_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    write_mrc(tmp_path / "noise.mrc", rng.poisson(4.0, (6, 256, 256)).astype(np.float32), 2.0, stack=True)
    write_mrc(tmp_path / "constant.mrc", np.full((6, 256, 256), 3.0, np.float32), 2.0, stack=True)
    project = create_project(tmp_path / "project")
    movies = project.run("import.movies", pattern=str(tmp_path / "*.mrc"), pixel_size=2.0, voltage=300, cs=2.7).outputs.movies
    rows = project.run("motion.correlation", movies=movies).outputs.micrographs.items
    noise, constant = (rows.filter(rows["micrograph_name"] == name).row(0, named=True) for name in ("noise", "constant"))
    assert noise["motion_sure"] is False and noise["motion_total"] == 0.0
    assert constant["enabled"] is False and "constant" in constant["fail_reason"]


def test_a_movie_is_hashed_whole_by_the_step_that_reads_it(tmp_path):
    movie = tmp_path / "noise.mrc"
    write_mrc(movie, np.random.default_rng(0).poisson(4.0, (6, 256, 256)).astype(np.float32), 2.0, stack=True)
    digest = blake3(movie.read_bytes()).hexdigest()
    project = create_project(tmp_path / "project")
    movies = project.run("import.movies", pattern=str(movie), pixel_size=2.0).outputs.movies
    source, found = project.trace(movies)["sources"][0], project.verify(movies)
    assert source["blake3"] is None and source["quick_hash"] == movies.items["movie_quick"][0] and source["size"] == movie.stat().st_size
    assert found.ok and found.quick == [source["path"]]
    aligned = project.run("motion.correlation", movies=movies, threads=1).outputs.micrographs
    for output in (movies, aligned):
        assert project.trace(output)["sources"][0]["blake3"] == digest and project.verify(output).quick == []
    with movie.open("r+b") as handle:
        handle.seek(PIECE + 100)
        handle.write(b"\1")
    assert project.verify(movies).changed == project.verify(aligned).changed == [source["path"]], "a byte that the quick hash does not see"


def align_one(folder, name, **meta):
    """Align a movie of 4 × 128 × 160 px in this process; return the protocol and the row."""
    optics = {"optics_group": 1, "pixel_size": 2.0, "voltage": 300.0, "dose_per_frame": None, "pre_exposure": 0.0}
    row = {"id": 1, "movie_name": name, "movie_path": f"{name}.mrc", "frames": 4, "width": 160, "height": 128, "optics_group": 1}
    movies = Movies(pl.DataFrame({**row, "enabled": True, "fail_reason": ""}), folder, optics=[optics], meta=meta)
    form = Correlation(movies=movies, patches=1)
    return form, form.align(Item(movies.to_polars().row(0, named=True), folder, folder, 0))


def test_a_motion_worse_than_none_is_refused_and_told(tmp_path, monkeypatch):
    """A specimen that stays where it is, and a search that goes astray: frames are summed as they were recorded, and all say so."""
    rng = np.random.default_rng(6)
    still = 1 + 0.2 * gaussian_filter(rng.normal(size=(128, 160)), 1.0) / 0.28
    counts = rng.poisson(8.0 * still.clip(0.05), (4, 128, 160)).astype(np.float32)
    write_mrc(tmp_path / "still.mrc", counts, 2.0, stack=True)
    astray = torch.tensor([[6.0, -5.0], [-7.0, 4.0], [9.0, 8.0], [-8.0, -7.0]])
    monkeypatch.setattr(rigid, "search", lambda *_: Found(astray, 50.0))
    form, row = align_one(tmp_path, "still")
    assert row["motion_refused"] and not row["motion_sure"] and row["motion_error"] is None and row["motion_total"] == 0.0
    np.testing.assert_allclose(read_mrc(row["micrograph_path"]).data, counts.mean(0), atol=1e-4)
    told, rows = [], pl.DataFrame([{**row, "micrograph_name": "still"}])
    warn_of(SimpleNamespace(warn=told.append), form, rows)
    assert len(told) == 1 and told[0].startswith("1 movies agree less when moved back by the motion found")
    assert outliers(rows, 2.0).columns["why"] == ["the motion found was worse than none, and refused"]


def test_a_dark_reference_is_taken_off_before_the_gain(tmp_path):
    rng = np.random.default_rng(4)
    counts, gain = rng.poisson(6.0, (4, 128, 160)).astype(np.float32), rng.uniform(0.8, 1.2, (128, 160)).astype(np.float32)
    dark = rng.integers(2, 60, (128, 160)).astype(np.float32)
    for name, image in (("plain", counts), ("darker", counts + dark), ("dark", dark), ("gain", gain)):
        write_mrc(tmp_path / f"{name}.mrc", image, 2.0, stack=image.ndim == 3)

    def summed(name, **meta):
        return read_mrc(align_one(tmp_path, name, gain_path="gain.mrc", **meta)[1]["micrograph_path"]).data

    plain = summed("plain")
    assert summed("darker", dark_path="dark.mrc") == pytest.approx(plain, abs=1e-3)
    assert np.abs(summed("darker") - plain).max() > 10, "the dark matters"


def test_hints_before_anything_runs(aligned):
    _, project, movies, _ = aligned
    for wrong in ({"first_frame": 5, "last_frame": 3}, {"patches": 2}):
        with pytest.raises(CryoloomError):
            project.run("motion.correlation", movies=movies.outputs.movies, **wrong)
