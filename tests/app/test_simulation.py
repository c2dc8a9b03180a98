import json
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import polars as pl
import pytest
import tifffile

from cryoloom.app.simulation import PRESETS, simulate
from cryoloom.app.simulation.presets import MoviePreset, preset_named
from cryoloom.formats.star import read_star, write_star
from cryoloom.spec.errors import WrongUse

MOVIES = {"movies": 2, "frames": 4, "width": 224, "height": 192, "pixel_size": 4.0, "particles_per_movie": 6, "contaminants": 0.5}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulation") / "movies"
    simulate(folder, "tiny", 3, overrides=MOVIES | {"junk_fraction": 0.2, "conformations": 2, "bad_column": True})
    return folder


@pytest.fixture(scope="module")
def particles(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulation") / "particles"
    simulate(folder, "s5", 3, overrides={"particles": 300})
    return folder


def test_every_preset_is_sound():
    assert {"tiny", "demo", "80s-like", "full", *(f"s{number}" for number in range(9))} == set(PRESETS)
    demo = PRESETS["demo"]
    assert isinstance(demo, MoviePreset)
    assert demo.movies * demo.particles_per_movie * (1.0 - demo.junk_fraction) > 1550
    assert 25.0 <= demo.frames * demo.dose_per_frame <= 40.0


@pytest.mark.parametrize(
    ("preset", "overrides"), [("tiny", MOVIES), ("s1", {"particles": 150}), ("s6", {"particles": 10}), ("s7", {"box": 32, "radius": 10.0})]
)
def test_same_seed_same_bytes_for_any_threads(tmp_path, preset, overrides):
    for name, seed, threads in [("a", 5, 1), ("b", 5, 3), ("c", 6, 2)]:
        simulate(tmp_path / name, preset, seed, overrides=overrides, threads=threads)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys() and a != c
    assert not [path for path in tmp_path.iterdir() if path.name not in "abc"]


def test_wrong_use_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    cases = [
        ("full", "tiny", {}, "simulate-directory"),
        ("x", "s9", {}, "simulate-preset"),
        ("x", "tiny", {"colour": 1}, "simulate-override"),
        ("x", "tiny", {"movies": 1.5}, "simulate-override"),
        ("x", "tiny", {"movies": True}, "simulate-override"),
        ("x", "tiny", {"pixel_size": 0}, "simulate-override"),
        ("x", "tiny", {"ice": -1.0}, "simulate-override"),
        ("x", "tiny", {"dose_per_frame": float("nan")}, "simulate-override"),
        ("x", "tiny", {"amplitude_contrast": 1.5}, "simulate-override"),
        ("x", "tiny", {"defocus_min": 30000.0}, "simulate-override"),
        ("x", "s6", {"snr": 20.0}, "simulate-override"),
        ("x", "tiny", {"width": 60}, "simulate-room"),
        ("x", "tiny", {"phantom_atoms": 5}, "simulate-phantom"),
        ("x", "tiny", {"format": "png"}, "simulate-format"),
        ("x", "tiny", {"dose_per_frame": 100.0}, "simulate-format"),
        ("x", "tiny", {"particles_per_movie": 500}, "simulate-room"),
        ("x", "s1", {"box": 32}, "simulate-box"),
        ("x", "s1", {"box": 65}, "simulate-box"),
        ("x", "s1", {"symmetry": "I5"}, "simulate-phantom"),
        ("x", "s1", {"phantom_diameter": 100.0, "phantom_shape": "cube"}, "simulate-phantom"),
        ("x", "s1", {"conformations": 4}, "simulate-conformations"),
    ]
    for name, preset, overrides, code in cases:
        with pytest.raises(WrongUse) as caught:
            simulate(tmp_path / name, preset, 0, overrides=overrides)
        assert caught.value.code == code, overrides
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_movie_may_be_empty(tmp_path):
    result = simulate(tmp_path / "set", "tiny", 0, overrides=MOVIES | {"particles_per_movie": 0, "contaminants": 0.0})
    assert result["particles"] == 0
    assert "rlnAngleRot" in (tmp_path / "set/truth/particles.star").read_text()


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(WrongUse, match="seed"):
        simulate(tmp_path / "set", "tiny", -1)


def test_texts_are_read_as_values():
    preset = preset_named("tiny", {"movies": "3", "pixel_size": 2, "bad_column": "yes", "phantom_diameter": "none"})
    assert isinstance(preset, MoviePreset)
    assert (preset.movies, preset.pixel_size, preset.bad_column, preset.phantom_diameter) == (3, 2.0, True, None)


def test_movies_and_their_acquisition(movies):
    acquisition = json.loads((movies / "acquisition.json").read_text())
    assert acquisition["pixel_size"] == 4.0 and acquisition["gain"] == "gain.mrc" and acquisition["diameter"] == 150.0
    paths = sorted(movies.glob(acquisition["pattern"]))
    assert len(paths) == acquisition["movies"] == 2
    with mrcfile.open(paths[0]) as file:
        assert file.data.shape == (4, 192, 224) and file.is_image_stack() and float(file.voxel_size.x) == 4.0
    gain = mrcfile.read(movies / "gain.mrc")
    assert gain.shape == (192, 224) and gain[gain > 0].mean() == pytest.approx(1.0, abs=1e-3)
    bad = np.zeros(gain.shape, dtype=bool)
    for line in (movies / "defects.txt").read_text().splitlines():
        x, y, width, height = map(int, line.split())
        bad[y : y + height, x : x + width] = True
    counts = np.sum([mrcfile.read(path).sum(axis=0) for path in paths], axis=0)
    assert np.array_equal(counts == 0, bad) and bad[gain == 0].all() and bad.sum() > (gain == 0).sum()
    good = ~bad & (counts < 3 * np.median(counts))
    assert counts[good].mean() == pytest.approx(2 * 4 * 3.0 * 16.0, rel=0.01)
    assert (counts * gain)[good].std() < counts[good].std()


def test_what_covers_the_ice_is_told_by_kind(tmp_path):
    dirty = {"movies": 1, "frames": 2, "border_fraction": 1.0, "sheets": 2.0, "beads": 5.0, "contaminants": 1.0}
    simulate(tmp_path / "set", "tiny", 7, overrides=MOVIES | dirty)
    truth = tmp_path / "set/truth"
    kinds = dict(read_star(truth / "covers.star")["covers"].iter_rows())
    covers = mrcfile.read(truth / "covers/movie_0001.mrc")
    assert np.array_equal(covers > 0, mrcfile.read(truth / "masks/movie_0001.mrc") > 0)
    there = {kinds[number] for number in np.unique(covers[covers > 0])}
    listed = set(read_star(truth / "contaminants.star")["contaminants"]["cryoloomKind"])
    assert there & {"foil", "tear"} and there - {"foil", "tear"} <= listed and {"sheet", "gold"} & listed


def test_truth_of_movies_joins(movies):
    truth = movies / "truth"
    table = read_star(truth / "movies.star")["movies"]
    assert (movies / table["rlnMicrographMovieName"][0]).is_file()
    motion = read_star(movies / table["rlnMicrographMetadata"][0])
    assert motion["general"]["rlnImageSizeZ"][0] == 4 and motion["local_motion_model"].height == 36
    assert motion["global_shift"].row(0) == (1, 0.0, 0.0)
    ctfs = read_star(truth / "micrographs_ctf.star")["micrographs"]
    found = read_star(truth / "particles.star")["particles"]
    assert found.height == 12 and found["cryoloomParticleId"].n_unique() == 12
    assert set(found["rlnClassNumber"]) == {1, 2}
    joined = found.join(ctfs, on="rlnMicrographName", suffix="Micrograph")
    assert joined.height == 12 and (joined["rlnDefocusU"] == joined["rlnDefocusUMicrograph"]).all()
    assert (ctfs["rlnDefocusU"] >= ctfs["rlnDefocusV"]).all()
    assert {"rlnMicrographName", "rlnCoordinateX", "cryoloomKind"} <= set(read_star(truth / "contaminants.star")["contaminants"].columns)
    for name in ("volume.mrc", "volume_class002.mrc", "masks/movie_0001.mrc"):
        assert mrcfile.read(truth / name).ndim in (2, 3)
    atoms = np.load(truth / "atoms.npy")
    assert atoms.shape == (1500, 6)
    volume = mrcfile.read(truth / "volume.mrc")
    assert volume.sum() * 4.0**3 == pytest.approx(atoms[:, 3].sum(), rel=1e-4) and volume.shape[0] * 4.0 >= 1.55 * 143.0


def test_what_the_truth_says_about_motion_aligns_the_frames(tmp_path):
    simulate(
        tmp_path / "set",
        "tiny",
        1,
        overrides=MOVIES | {"movies": 1, "dose_per_frame": 6.0, "drift_local": 0.0, "ice": 0.2, "gain": 0.0, "format": "mrc6"},
    )
    frames = mrcfile.read(tmp_path / "set/movies/movie_0001.mrc").astype(np.float64)
    frames = np.minimum(frames, 3.0 * frames.mean())
    shifts = read_star(tmp_path / "set/truth/motion/movie_0001.star")["global_shift"]
    kx, ky = np.fft.rfftfreq(224)[None, :], np.fft.fftfreq(192)[:, None]
    window = (np.hanning(192)[:, None] * np.hanning(224)[None, :]) * (frames - frames.mean())
    first = np.fft.rfft2(window[0])
    for frame in (1, 3):
        x, y = shifts["rlnMicrographShiftX"][frame], shifts["rlnMicrographShiftY"][frame]
        assert np.hypot(x, y) > 0.5
        spectrum = np.fft.rfft2(window[frame]) * np.conj(first) * ((kx**2 + ky**2) < 0.06)
        aligned = np.fft.irfft2(spectrum * np.exp(-2j * np.pi * (kx * x + ky * y)))
        peak = np.unravel_index(aligned.argmax(), aligned.shape)
        assert all(min(p, n - p) <= 1 for p, n in zip(peak, (192, 224), strict=True))


@pytest.mark.parametrize("kind", ["mrc1", "mrc2", "mrc6", "mrc12", "tiff-lzw", "tiff-deflate"])
def test_formats_hold_the_same_counts(tmp_path, kind):
    small = MOVIES | {"movies": 1, "frames": 2}
    for name, movie_format in [("a", "mrc0"), ("b", kind)]:
        simulate(tmp_path / name, "tiny", 2, overrides=small | {"format": movie_format, "hot_pixels": 0})
    reference = mrcfile.read(tmp_path / "a/movies/movie_0001.mrc")
    if kind.startswith("tiff"):
        with tifffile.TiffFile(tmp_path / "b/movies/movie_0001.tif") as file:
            assert file.pages[0].compression.name == {"tiff-lzw": "LZW", "tiff-deflate": "ADOBE_DEFLATE"}[kind]
            frames = file.asarray()[:, ::-1]
    else:
        frames = mrcfile.read(tmp_path / "b/movies/movie_0001.mrc")
        assert frames.dtype == {"mrc1": np.int16, "mrc2": np.float32, "mrc6": np.uint16, "mrc12": np.float16}[kind]
    assert np.array_equal(frames, reference)


def test_particles_have_unit_noise_and_the_snr(particles):
    stack, table = mrcfile.read(particles / "particles.mrcs"), read_star(particles / "truth/particles.star")["particles"]
    given = read_star(particles / "particles.star")
    assert given["optics"]["rlnImagePixelSize"][0] == 4.0
    assert not [name for name in given["particles"].columns if "Angle" in name and "Defocus" not in name or "Origin" in name]
    assert given["particles"]["rlnImageName"][299] == "000300@particles.mrcs"
    assert given["particles"]["cryoloomParticleId"].to_list() == table["cryoloomParticleId"].to_list()
    junk = table["cryoloomJunk"].to_numpy() == 1
    empty = table["rlnClassNumber"].to_numpy() == 0
    assert 0.12 < empty.mean() < 0.28 and set(table["rlnClassNumber"].to_numpy()[junk]) == {0, 2}
    assert stack[empty].var() == pytest.approx(1.0, abs=0.01)
    assert stack[~junk].var(axis=(1, 2)).mean() - 1.0 == pytest.approx(0.1, rel=0.1)


def test_bad_picks_are_told_by_their_kind(tmp_path):
    shares = {"noise_fraction": 0.1, "pair_fraction": 0.2, "off_centre_fraction": 0.2, "aggregate_fraction": 0.2}
    simulate(tmp_path / "set", "s0", 0, overrides={"particles": 200, "snr": 20.0, **shares})
    simulate(tmp_path / "plain", "s0", 0, overrides={"particles": 200, "snr": 20.0, "noise_fraction": 0.1})
    table, plain = (read_star(tmp_path / name / "truth/particles.star")["particles"] for name in ("set", "plain"))
    kind, images = table["cryoloomJunkKind"].to_numpy(), mrcfile.read(tmp_path / "set/clean.mrcs")
    assert (table["cryoloomJunk"].to_numpy() == (kind != "none")).all() and set(kind) == {
        "none",
        "noise",
        "pair",
        "off-centre",
        "aggregate",
    }
    mass = {each: images[kind == each].sum(axis=(1, 2)).mean() for each in set(kind)}
    assert mass["pair"] == pytest.approx(2 * mass["none"], rel=0.1) and mass["aggregate"] > 2.5 * mass["none"] and mass["noise"] == 0
    off = table.select("rlnOriginXAngst", "rlnOriginYAngst").to_numpy()[kind == "off-centre"]
    assert (np.hypot(*off.T) > 50).all()
    # What was good stays as it was.
    other = kind == "none"
    assert (plain["cryoloomJunkKind"].to_numpy()[other] == "none").all()
    assert np.array_equal(mrcfile.read(tmp_path / "plain/clean.mrcs")[other], images[other])


def test_a_set_may_be_noise_alone(tmp_path):
    simulate(tmp_path / "set", "s1", 0, overrides={"particles": 60, "noise_fraction": 1.0})
    assert mrcfile.read(tmp_path / "set/particles.mrcs").var() == pytest.approx(1.0, abs=0.01)


def test_a_clean_copy_shows_what_the_volume_projects_to(tmp_path):
    simulate(tmp_path / "set", "s0", 0, overrides={"particles": 40})
    clean, noisy = (mrcfile.read(tmp_path / "set" / name) for name in ("clean.mrcs", "particles.mrcs"))
    assert (noisy - clean).var() == pytest.approx(1.0, abs=0.02)
    assert clean.var(axis=(1, 2)).mean() == pytest.approx(0.5, rel=1e-3)
    volume = mrcfile.read(tmp_path / "set/truth/volume.mrc")
    assert clean.sum(axis=(1, 2)) == pytest.approx(np.full(40, volume.sum()), rel=1e-4)


def test_local_map_has_two_resolutions(tmp_path):
    simulate(tmp_path / "set", "s7", 0)
    clean, resolution = (mrcfile.read(tmp_path / "set/truth" / name) for name in ("volume.mrc", "resolution.mrc"))
    halves = [mrcfile.read(tmp_path / "set" / f"map_half{half}_unfil.mrc") for half in (1, 2)]
    noise = (halves[0] - halves[1]).var() / 2.0
    assert clean[resolution > 0].var() / noise == pytest.approx(30.0, rel=0.05)
    s = np.sqrt(sum(np.meshgrid(*[np.fft.fftfreq(80, 1.5) ** 2] * 3, indexing="ij")))
    beyond = [np.abs(np.fft.fftn(clean * (resolution == side)))[(s > 0.16) & (s < 0.22)].mean() for side in (4.0, 8.0)]
    assert beyond[0] > 3.0 * beyond[1]


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_relion_rebuilds_the_phantom_from_its_truth(tmp_path):
    folder = tmp_path / "set"
    simulate(folder, "s1", 2, overrides={"particles": 400, "snr": 0.5})
    command = ["relion_reconstruct", "--i", "truth/particles.star", "--o", "map.mrc", "--ctf", "--angpix", "4"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    found, true = (np.fft.fftn(mrcfile.read(folder / name)) for name in ("map.mrc", "truth/volume.mrc"))
    k = np.fft.fftfreq(64, 1.0 / 64)
    shell = np.rint(np.sqrt(sum(np.meshgrid(*[k**2] * 3, indexing="ij")))).astype(int).ravel()
    cross = np.bincount(shell, (found * true.conj()).real.ravel())
    powers = [np.bincount(shell, np.abs(volume).ravel() ** 2) for volume in (found, true)]
    fsc = cross / np.sqrt(powers[0] * powers[1])
    assert fsc[2:16].min() > 0.97 and fsc[16:26].min() > 0.85
    # The amplitude too: an image is the sum of the map's voxels along its view.
    assert np.median((cross / powers[1])[2:20]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed")
def test_a_beam_tilt_has_relions_sign(tmp_path):
    changes = {"particles": 150, "snr": 2.0, "box": 48, "pixel_size": 2.0, "phantom_diameter": 70.0, "shift_sigma": 2.0}
    simulate(tmp_path / "set", "s1", 2, overrides=changes | {"beam_tilt_x": 3.0, "beam_tilt_y": -2.0})
    true = np.fft.fftn(mrcfile.read(tmp_path / "set/truth/volume.mrc"))
    k = np.fft.fftfreq(48, 1.0 / 48)
    radius = np.sqrt(sum(np.meshgrid(*[k**2] * 3, indexing="ij")))
    fine, alike = (radius > 14) & (radius < 20), {}
    for sign in (1, -1):
        blocks = read_star(tmp_path / "set/truth/particles.star")
        optics = blocks["optics"].with_columns(pl.col("rlnBeamTiltX", "rlnBeamTiltY") * sign)
        write_star(tmp_path / "set/tilted.star", {"optics": optics, "particles": blocks["particles"]})
        command = ["relion_reconstruct", "--i", "tilted.star", "--o", "map.mrc", "--ctf"]
        subprocess.run(command, cwd=tmp_path / "set", check=True, capture_output=True, timeout=300)
        found = np.fft.fftn(mrcfile.read(tmp_path / "set/map.mrc"))
        cross = (found * true.conj()).real[fine].sum()
        alike[sign] = cross / np.sqrt((np.abs(found[fine]) ** 2).sum() * (np.abs(true[fine]) ** 2).sum())
    assert alike[1] > 0.5 and alike[-1] < alike[1] - 0.3


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_run_motioncorr") is None, reason="RELION is not installed")
def test_relion_finds_the_motion_with_the_sign_of_the_truth(tmp_path):
    folder = tmp_path / "set"
    changes = {"movies": 1, "frames": 6, "dose_per_frame": 8.0, "drift_local": 0.0, "contaminants": 0.0, "hot_pixels": 0, "format": "mrc6"}
    simulate(folder, "tiny", 4, overrides=changes)
    options = {"bin_factor": 1, "bfactor": 50, "patch_x": 1, "patch_y": 1, "dose_per_frame": 8, "preexposure": 0, "first_frame_sum": 1}
    options |= {"last_frame_sum": -1, "gainref": "gain.mrc", "gain_rot": 0, "gain_flip": 0, "i": "movies.star", "o": "mc/", "j": 1}
    command = ["relion_run_motioncorr", "--use_own", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    columns = [pl.col("rlnMicrographShiftX"), pl.col("rlnMicrographShiftY")]
    found, true = (
        read_star(folder / place / "movie_0001.star")["global_shift"].select(columns).to_numpy() for place in ("mc/movies", "truth/motion")
    )
    assert np.abs(true).max() > 2.0
    assert np.sqrt(np.mean((found - true) ** 2)) < 0.2
    # Its sum lies in the place of the first frame, as the truth's coordinates do.
    summed = mrcfile.read(folder / "mc/movies/movie_0001.mrc")
    first = mrcfile.read(folder / "movies/movie_0001.mrc")[0] * mrcfile.read(folder / "gain.mrc")
    k = np.fft.rfftfreq(512)[None, :] ** 2 + np.fft.fftfreq(512)[:, None] ** 2
    cross = np.fft.irfft2(np.fft.rfft2(summed - summed.mean()) * np.conj(np.fft.rfft2(first - first.mean())) * np.exp(-100.0 * k))
    assert np.unravel_index(cross.argmax(), cross.shape) == (0, 0)
