"""Bad gain references and defect maps: named with what is wrong, and the run can be made again with good ones."""

import numpy as np
import pytest

from cryoloom.formats.mrc import write_mrc


def ones(shape=(96, 128), **values):
    image = np.ones(shape, np.float32)
    image[3, 4] = values.get("hole", 1)
    return image


@pytest.mark.parametrize(
    ("gain", "code", "says"),
    [
        (ones(hole=np.nan), "gain-invalid", ["1 values", "NaN", "x 4, y 3", "Take a new reference"]),
        (ones((64, 64)), "gain-shape", ["64 × 64 px", "movies of 128 × 96 px", "recorded with these movies"]),
        (ones((128, 96)), "gain-shape", ["96 × 128 px", "rotation of 90 or 270°"]),
        (0 * ones(), "gain-invalid", ["no value of the gain reference is above 0", "Check"]),
    ],
    ids=["nan", "shape", "turned", "zeros"],
)
def test_a_gain_that_cannot_be_used(tmp_path, movies, importing, refused, gain, code, says):
    path = tmp_path / "gain.mrc"
    write_mrc(path, gain, 1.5)
    refused(1, code, ["r001", str(path), *says], *importing(movies / "*.mrc", "--gain", path))


def test_process_with_a_bad_gain_takes_the_good_one_in_the_same_folder(tmp_path, movies, processing, refused, cryoloom):
    bad, good = tmp_path / "bad.mrc", tmp_path / "good.mrc"
    write_mrc(bad, ones(hole=np.inf), 1.5)
    write_mrc(good, ones(hole=0.9), 1.5)
    refused(1, "gain-invalid", [str(bad), "infinite"], *processing(movies / "*.mrc", "--gain", bad))
    assert cryoloom(*processing(movies / "*.mrc", "--gain", good)).returncode == 0
    refused(2, "project-exists", ["gain was", "bad.mrc"], *processing(movies / "*.mrc", "--gain", bad))


def test_process_takes_defects(tmp_path, movies, processing, refused, finished):
    path = tmp_path / "defects.txt"
    path.write_text("3 4 2 1\n")
    done = finished(*processing(movies / "*.mrc", "--defects", path))
    imported = finished("show", done["project"], "movies")
    assert imported["parameters"]["defects"] == str(path)
    refused(2, "project-exists", ["defects was", "defects.txt"], *processing(movies / "*.mrc"))


def test_process_takes_a_dark_and_finds_how_the_gain_lies(tmp_path, processing, refused, finished):
    rng = np.random.default_rng(2)
    camera, dark = rng.uniform(0.8, 1.2, (96, 128)).astype(np.float32), rng.uniform(0, 40, (96, 128)).astype(np.float32)
    (tmp_path / "m").mkdir()
    for name in "ab":
        write_mrc(tmp_path / f"m/{name}.mrc", (rng.poisson(8 / camera, (40, 96, 128)) + dark).astype(np.float32), 1.5)
    write_mrc(tmp_path / "gain.mrc", camera[::-1], 1.5)
    write_mrc(tmp_path / "dark.mrc", dark[::-1], 1.5)
    words = processing(tmp_path / "m/*.mrc", "--gain", tmp_path / "gain.mrc", "--dark", tmp_path / "dark.mrc")
    refused(2, "bad-parameter", ["gain_orientation is 'sideways'"], *words, "--gain-orientation", "sideways")
    done = finished(*words, "--gain-orientation", "auto")
    assert done["runs"][0]["summary"]["gain"] == "turned by 0° and flipped upside-down"
    imported = finished("show", done["project"], "movies")["parameters"]
    assert imported["dark"] == str(tmp_path / "dark.mrc") and imported["gain_orientation"] == "auto"
    refused(2, "project-exists", ["gain_orientation was auto, now given"], *words)
    refused(
        2, "project-exists", ["gain_flip was none, now upside-down"], *words, "--gain-orientation", "auto", "--gain-flip", "upside-down"
    )


def test_a_gain_that_is_not_there_is_no_image_or_is_a_movie(tmp_path, movies, importing, processing, refused, finished, project):
    for words in (importing, processing):
        nowhere = tmp_path / "nowhere.mrc"
        refused(2, "bad-parameter", [f"gain {nowhere}: there is no such file"], *words(movies / "*.mrc", "--gain", nowhere))
    refused(2, "bad-parameter", [f"{movies} is a folder, not a file"], *importing(movies / "*.mrc", "--gain", movies))
    assert finished("status", project) == []
    (tmp_path / "text.mrc").write_text("not a gain " * 200)
    refused(1, "mrc-invalid", ["text.mrc: not an MRC file"], *importing(movies / "*.mrc", "--gain", tmp_path / "text.mrc"))
    refused(1, "gain-invalid", ["a.mrc: 4 images", "not a movie"], *importing(movies / "[bc].mrc", "--gain", movies / "a.mrc"))
