"""Orientation of gain references and of TIFF rows, as RELION has them."""

import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
from scipy.ndimage import gaussian_filter

from cryoloom.formats.gain import oriented, read_gain
from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import write_star
from cryoloom.formats.tiff import write_tiff

pytestmark = [pytest.mark.relion, pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="RELION is not installed")]

SHAPE = (96, 128)
FLIPS = ("none", "upside-down", "left-right")


def sum_by_relion(folder, movie, *options):
    optics = {"rlnOpticsGroupName": "o", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": 1.5, "rlnVoltage": 300.0,
              "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}  # fmt: skip
    movies = pl.DataFrame({"rlnMicrographMovieName": [movie], "rlnOpticsGroup": [1]})
    write_star(folder / "movies.star", {"optics": pl.DataFrame([optics]), "movies": movies})
    command = ["relion_run_motioncorr", "--i", "movies.star", "--o", "mc/", "--use_own", "--j", "1", "--dose_per_frame", "1", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    return read_mrc(folder / "mc" / f"{movie.rsplit('.', 1)[0]}.mrc").data


def correlation(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


@pytest.fixture
def scene():
    return 50 + 20 * gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 3) / 0.1


@pytest.mark.parametrize(
    ("rotation", "flip"), [(0, "upside-down"), (90, "none"), (180, "left-right"), (270, "upside-down"), (90, "left-right")]
)
def test_gain_is_turned_as_relion_turns_it(tmp_path, scene, rotation, flip):
    shape = SHAPE if rotation in (0, 180) else SHAPE[::-1]
    reference = np.random.default_rng(2).uniform(0.6, 1.4, size=shape).astype(np.float32)
    write_mrc(tmp_path / "gain.mrc", reference, 1.5)
    factors = read_gain(tmp_path / "gain.mrc", SHAPE, rotation, flip).factors
    frames = np.repeat((scene / factors)[None], 4, axis=0)
    write_mrc(tmp_path / "m.mrcs", frames, 1.5)
    options = ["--gainref", "gain.mrc", "--gain_rot", str(rotation // 90), "--gain_flip", str(FLIPS.index(flip))]
    assert correlation(sum_by_relion(tmp_path, "m.mrcs", *options), scene) > 0.999
    other = oriented(reference, (rotation + 180) % 360, flip)
    assert correlation(scene / factors * other, scene) < 0.9, "another orientation would be seen"


def test_tiff_rows_run_as_in_relion(tmp_path, scene):
    counts = np.random.default_rng(3).poisson(np.clip(scene, 1, None), size=(4, *SHAPE)).astype(np.uint16)
    write_tiff(tmp_path / "t.tif", counts)
    write_mrc(tmp_path / "m.mrcs", counts, 1.5, mode=6)
    of_tiff, of_mrc = sum_by_relion(tmp_path, "t.tif"), sum_by_relion(tmp_path, "m.mrcs")
    assert np.allclose(of_tiff, of_mrc, atol=1e-3)
    assert correlation(of_tiff, open_movie(tmp_path / "t.tif").read().sum(axis=0)) > 0.9
    assert correlation(of_tiff, open_movie(tmp_path / "t.tif", flip_rows=False).read().sum(axis=0)) < 0.5
