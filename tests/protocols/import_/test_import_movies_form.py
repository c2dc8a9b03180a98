"""What the form of import.movies can do beside linking files: frames one by one, references, ids, rules, doses."""

import os
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from cryoloom.data import Movies
from cryoloom.formats.gain import oriented
from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.tiff import write_tiff
from cryoloom.protocols.import_.movies import ImportMovies
from cryoloom.spec import Failure, WrongUse

RNG = np.random.default_rng(0)


def movie(path, data=None, pixel_size=1.34):
    path.parent.mkdir(exist_ok=True)
    data = RNG.integers(0, 30, size=(4, 6, 8)).astype(np.int16) if data is None else data
    if path.suffix == ".tif":
        write_tiff(path, data)
    else:
        write_mrc(path, data, pixel_size, mode=1, stack=True)
    return data


def protocol(pattern, **parameters):
    return ImportMovies(pattern=str(pattern), **{"pixel_size": 1.34, **parameters})


def names(movies):
    return movies.items["movie_name"].to_list()


# -- ids and names ----------------------------------------------------------------------------------------------


def test_digits_of_the_pattern_are_ids(job, raw):
    for name in ("m007.mrc", "m012.mrc", "m100.mrc"):
        movie(raw / name)
    movies = protocol(raw / "m###.mrc").run(job).movies
    assert dict(movies.items.select("movie_name", "id").rows()) == {"m007": 7, "m012": 12, "m100": 100}
    assert movies.items.schema["id"] == pl.Int64
    assert protocol(raw / "m*.mrc").run(job).movies.items["id"].to_list() == [1, 2, 3]
    again = protocol(raw / "m###.mrc", exclude=("m012.mrc",)).run(job).movies
    assert again.items["id"].to_list() == [7, 100], "an id does not depend on what else there is"


def test_digits_in_several_folders(job, raw):
    movie(raw / "g1" / "m2.mrc")
    movie(raw / "g2" / "m2.mrc")
    assert protocol(raw / "**" / "g#" / "m#.mrc").run(job).movies.items["id"].to_list() == [12, 22]
    with pytest.raises(WrongUse, match=r"m2\.mrc and m2\.mrc both have the id 2"):
        protocol(raw / "g*" / "m#.mrc").run(job)
    movie(raw / "x1234567890123.mrc")
    with pytest.raises(WrongUse, match="too long for an id"):
        protocol(raw / "x#############.mrc").run(job)


def test_percent_is_the_name(job, raw):
    for name in ("grid_a b_frames.mrc", "grid_c_frames.mrc"):
        movie(raw / name)
    assert names(protocol(raw / "grid_%_frames.mrc").run(job).movies) == ["a_b", "c"]
    movie(raw / "other_c_frames.mrc")
    with pytest.raises(WrongUse, match="several files would be called c"):
        protocol(raw / "[go]*_%%_frames.mrc").run(job)


# -- frames one by one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
def test_single_frames_become_stacks(job, raw, suffix):
    whole = {name: RNG.integers(0, 30, size=(11, 6, 8)).astype(np.int16) for name in ("mov_1", "mov_2")}
    for name, frames in whole.items():
        for number, frame in enumerate(frames, 1):
            movie(raw / f"{name}_frame_{number}{suffix}", frame[None])
    made = protocol(raw / f"*{suffix}", individual_frames=True)
    movies = made.run(job).movies
    assert names(movies) == ["mov_1", "mov_2"] and movies.items["frames"].to_list() == [11, 11]
    for name, path in movies.items.select("movie_name", "movie_path").rows():
        found = open_movie(movies.file(path))
        assert np.array_equal(found.read(), whole[name]), "frame 10 comes after frame 9"
        assert found.dtype == np.int16 and path.endswith(f"{name}_frames.mrcs") and not movies.file(path).is_symlink()
    assert made.preview() | {"first": "", "last": ""} == {
        "files": 22, "first": "", "last": "", "movies": 2, "frames": 11, "size (px)": "8 × 6", "pixel size (Å)": 1.34,
    }  # fmt: skip
    assert sum(path.suffix == suffix for path in raw.iterdir()) == 22, "the frames stay where they are"


def test_movies_that_miss_frames_are_disabled(job, raw):
    for name, count in (("a", 3), ("b", 2), ("c", 3)):
        for number in range(count):
            movie(raw / f"{name}-{number:03d}.mrc", np.ones((1, 6, 8)))
    movie(raw / "c-001.mrc", np.ones((1, 6, 9)))
    items = protocol(raw / "*.mrc", individual_frames=True).run(job).movies.items
    assert items["enabled"].to_list() == [True, False, False]
    assert "expected 3 frames, found 2" in items["fail_reason"][1]
    assert "c-001.mrc: 1 image(s) of 9 × 6 px, not one of 8 × 6 px" in items["fail_reason"][2]
    items = protocol(raw / "[ab]*.mrc", individual_frames=True, frames_per_movie=2).run(job).movies.items
    assert items["enabled"].to_list() == [False, True]


def test_frames_in_folders_and_without_numbers(job, raw):
    for folder in ("x", "y"):
        for number in (1, 2):
            movie(raw / folder / f"{number}.mrc", np.ones((1, 6, 8)))
    assert names(protocol(raw / "*" / "*.mrc", individual_frames=True).run(job).movies) == ["x", "y"]
    movie(raw / "plain.mrc")
    with pytest.raises(Failure, match=r"plain\.mrc: the name of a frame ends with its number"):
        protocol(raw / "*.mrc", individual_frames=True).run(job)
    assert [hint.parameter for hint in protocol(raw / "%.mrc", individual_frames=True, watch=True).check()] == [
        "pattern",
        "individual_frames",
    ]


# -- what to leave out ------------------------------------------------------------------------------------------


def test_rules_for_what_is_left_out(job, raw):
    for number, name in enumerate(("a1.mrc", "a2.mrc", "b1.mrc", "b2.mrc")):
        movie(raw / name)
        changed = datetime(2026, 3, 1 + number, 12).timestamp()
        os.utime(raw / name, (changed, changed))
    (raw / "list.txt").write_text("# bad ice\n\na1\nb1.mrc\n")
    assert names(protocol(raw / "*.mrc", exclude_list=str(raw / "list.txt")).run(job).movies) == ["a2", "b2"]
    (raw / "list.txt").write_text("a*.mrc\n")
    assert names(protocol(raw / "*.mrc", exclude=("b1.mrc",), exclude_list=str(raw / "list.txt")).run(job).movies) == ["b2"]
    (raw / "list.txt").write_text(r"/[ab]2\.")
    assert names(protocol(raw / "*.mrc", exclude_list=str(raw / "list.txt"), exclude_regexps=True).run(job).movies) == ["a1", "b1"]
    assert names(protocol(raw / "*.mrc", exclude_from="2026-03-02", exclude_to="2026-03-03 13:00:00").run(job).movies) == ["a1", "b2"]
    assert names(protocol(raw / "*.mrc", exclude_from="2026-03-03").run(job).movies) == ["a1", "a2"]
    known = protocol(raw / "a*.mrc").run(job).movies
    assert isinstance(known, Movies)
    assert names(protocol(raw / "*.mrc", exclude_movies=known).run(job).movies) == ["b1", "b2"]
    with pytest.raises(WrongUse, match="all 4 files that match are left out"):
        protocol(raw / "*.mrc", exclude_to="2027-01-01").run(job)
    with pytest.raises(ValidationError):
        protocol(raw / "*.mrc", exclude_from="yesterday")
    (raw / "list.txt").write_text("(")
    with pytest.raises(WrongUse, match="no regular expression"):
        protocol(raw / "*.mrc", exclude_list=str(raw / "list.txt"), exclude_regexps=True).run(job)


# -- pixel size and dose ----------------------------------------------------------------------------------------


def test_the_pixel_size_of_a_scanner(job, raw):
    movie(raw / "a.tif")
    scanned = {"pixel_size": None, "pixel_size_mode": "scanner", "scanned_pixel_size": 14.0}
    optics = protocol(raw / "a.tif", **scanned, magnification=50000.0).run(job).movies.optics[0]
    assert optics["pixel_size"] == pytest.approx(2.8) and optics["magnification"] == 50000.0
    assert [hint.parameter for hint in protocol(raw / "a.tif", **scanned).check()] == ["magnification"]
    movie(raw / "b.mrc", pixel_size=1.34)
    with pytest.raises(Failure, match="header of b.mrc says 1.34 Å/px"):
        protocol(raw / "b.mrc", **scanned, magnification=50000.0).run(job)


def test_dose_rate_and_exposure_make_a_dose(job, raw):
    movie(raw / "a.mrc", pixel_size=2.0)
    made = protocol(raw / "a.mrc", pixel_size=2.0, dose_rate=16.0, exposure=3.0, pre_exposure=1.0)
    assert made.run(job).movies.optics[0]["dose_per_frame"] == pytest.approx(16 * 3 / 4 / 2.0**2)
    assert made.preview()["dose per frame (e/Å²)"] == 3.0 and made.preview()["total dose (e/Å²)"] == 13.0
    assert "3 e/Å² per frame, 13 e/Å² in all" in made.methods(made.run(job))
    assert (
        protocol(raw / "a.mrc", pixel_size=2.0, dose_rate=16.0, exposure=3.0, dose_per_frame=1.5)
        .run(job)
        .movies.optics[0]["dose_per_frame"]
        == 1.5
    )
    assert [hint.parameter for hint in protocol(raw / "a.mrc", dose_rate=16.0).check()] == ["exposure"]


# -- references -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def camera():
    return RNG.uniform(0.8, 1.2, (96, 96)).astype(np.float32)


def counts(camera, dose=4.0, frames=10, dark=0.0):
    return RNG.poisson(dose / camera, (frames, *camera.shape)) + dark


def test_the_orientation_of_a_gain_is_found(job, raw, camera):
    for number in range(6):
        movie(raw / f"m{number}.mrc", counts(camera))
    write_mrc(raw / "gain.mrc", oriented(camera, 90), 1.34)  # a quarter turn further brings it back after three
    made = protocol(raw / "m*.mrc", gain=str(raw / "ga*.mrc"), gain_orientation="auto")
    movies = made.run(job).movies
    assert movies.meta["gain_orientation"] == "turned by 270°" == made.preview()["gain"] == made.summary(made.run(job))["gain"]
    assert made.preview()["σ above the next"] > 5
    assert read_mrc(movies.file(movies.meta["gain_path"])).data == pytest.approx(camera / camera.mean(), rel=1e-5)
    assert "turned by 270°, which fits the movies" in job.warnings[0] and "leaves a fixed pattern" not in " ".join(job.warnings)
    panels = made.report(type("Out", (), {"movies": movies}))
    raw_average, _, product = panels[0].images
    assert product.std() < 0.6 * raw_average.std(), "flat where the gain lies right"


def test_a_wrong_orientation_is_told(job, raw, camera):
    for number in range(6):
        movie(raw / f"m{number}.mrc", counts(camera))
    write_mrc(raw / "gain.mrc", camera, 1.34)
    protocol(raw / "m*.mrc", gain=str(raw / "gain.mrc")).run(job)
    assert not job.warnings, "it lies right, and leaves nothing"
    protocol(raw / "m*.mrc", gain=str(raw / "gain.mrc"), gain_flip="left-right").run(job)
    assert "σ better turned by 0° than turned by 0° and flipped left-right" in job.warnings[0]
    assert "leaves a fixed pattern of" in job.warnings[1]
    write_mrc(raw / "gain.mrc", 1 / camera, 1.34)
    movies = protocol(raw / "m*.mrc", gain=str(raw / "gain.mrc"), gain_orientation="auto").run(job).movies
    assert movies.meta["gain_orientation"] == "turned by 0°, as a divisor,"
    assert read_mrc(movies.file(movies.meta["gain_path"])).data == pytest.approx(camera / camera.mean(), rel=1e-4)


def test_an_orientation_that_cannot_be_told_is_not_guessed(job, raw, camera):
    movie(raw / "m.mrc", counts(np.ones_like(camera)))
    write_mrc(raw / "gain.mrc", camera, 1.34)
    made = protocol(raw / "m.mrc", gain=str(raw / "gain.mrc"), gain_orientation="auto")
    with pytest.raises(Failure, match="cannot be told") as caught:
        made.run(job)
    assert caught.value.code == "gain-undecided" and "--gain-rotation" in caught.value.cure
    assert made.preview()["gain"].startswith("undecided")
    assert [
        hint.parameter for hint in protocol(raw / "m.mrc", gain=str(raw / "gain.mrc"), gain_orientation="auto", watch=True).check()
    ] == ["gain_orientation"]


def test_several_files_for_one_gain_are_refused(raw):
    for name in ("g1.mrc", "g2.mrc"):
        write_mrc(raw / name, np.ones((6, 8)), 1.0)
    hints = list(protocol(raw / "m.mrc", gain=str(raw / "g*.mrc")).check())
    assert [(hint.parameter, "matches 2 files" in hint.message) for hint in hints] == [("gain", True)]


def test_dark_references_lie_as_the_gain_does(job, raw, camera):
    dark = RNG.uniform(5, 9, camera.shape).astype(np.float32)
    for number in range(4):
        movie(raw / f"m{number}.mrc", np.rint(counts(camera, dark=dark)))
    write_mrc(raw / "dark.mrc", dark[::-1], 1.34)
    write_mrc(raw / "gain.mrc", camera[::-1], 1.34)
    references = {"gain": str(raw / "gain.mrc"), "dark": str(raw / "dark.mrc"), "gain_flip": "upside-down"}
    movies = protocol(raw / "m*.mrc", **references).run(job).movies
    assert len(movies) == 4, "the dark is no movie"
    assert np.array_equal(read_mrc(movies.file(movies.meta["dark_path"])).data, dark)
    assert len(movies.meta["dark_blake3"]) == 64
    write_mrc(raw / "dark.mrc", np.ones((6, 8)), 1.34)
    with pytest.raises(Failure, match="dark reference of 8 × 6 px") as caught:
        protocol(raw / "m*.mrc", **references).run(job)
    assert caught.value.code == "dark-shape"


def test_eer_movies_without_a_gain_are_warned_of(job, raw, eer_file):
    (raw / "a.eer").write_bytes(eer_file(16, [[(20 * frame + 3, 3, 0)] for frame in range(7)]))
    protocol(raw / "*.eer", pixel_size=None, eer_grouping=2).run(job)
    assert any("never corrected by the camera" in warning and "--gain" in warning for warning in job.warnings)
