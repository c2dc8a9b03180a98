import math

import imagecodecs
import numpy as np
import pytest
from planted import ODD, PIXEL, micrograph

from cryoloom.formats.mrc import write_mrc


def raw(answer):
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, np.uint8).reshape(int(answer.headers["X-Height"]), int(answer.headers["X-Width"]))


@pytest.mark.parametrize("binning", [1, 2, 8])
def test_pixels_are_the_means_of_the_file(get, micrographs, binning):
    answer = get(micrographs, "micrographs/1/view", bin=binning)
    low, high = (float(answer.headers[name]) for name in ("X-Low", "X-High"))
    seen, full = raw(answer), micrograph().astype(float)
    assert seen.shape == tuple(math.ceil(side / binning) for side in ODD)
    for row, column in ((0, 0), (5, 90), (seen.shape[0] - 1, seen.shape[1] - 1)):
        block = full[row * binning : (row + 1) * binning, column * binning : (column + 1) * binning].mean()
        assert abs(int(seen[row, column]) - np.clip(255 * (block - low) / (high - low), 0, 255)) <= 0.51
    assert float(answer.headers["X-Pixel-Size"]) == pytest.approx(PIXEL * binning)
    assert np.mean(seen == 255) < 0.005 and np.mean(seen == 0) < 0.005


def test_row_0_is_the_first_row(get, micrographs):
    seen = raw(get(micrographs, "micrographs/1/view", bin=4))
    assert (seen[:2, :2] == 255).all() and max(seen[-2:, :2].mean(), seen[:2, -2:].mean(), seen[-2:, -2:].mean()) < 250
    drawn = imagecodecs.jpeg8_decode(get(micrographs, "micrographs/1/view", bin=4, format="jpeg").content)
    assert drawn.shape == seen.shape and drawn[:2, :2].min() > 200
    small = imagecodecs.jpeg8_decode(get(micrographs, "micrographs/1/thumbnail").content)
    assert max(small.shape) <= 256 and small[0, 0] > 200


def test_a_lowpass_smooths_and_moves_nothing(get, micrographs):
    plain, smooth = (raw(get(micrographs, "micrographs/1/view", bin=2, lp=lp)).astype(float) for lp in (0, 40))
    assert smooth.shape == plain.shape
    away = (slice(100, 400), slice(100, 500))
    steps = [np.abs(np.diff(each[away])).mean() / each[away].std() for each in (plain, smooth)]
    assert steps[1] < 0.4 * steps[0]
    assert smooth[:3, :3].min() == 255


@pytest.mark.parametrize("level", [1, 2])
def test_tiles_cover_the_picture_exactly(get, micrographs, level):
    whole = raw(get(micrographs, "micrographs/1/view", bin=level)).astype(int)
    columns, rows = math.ceil(whole.shape[1] / 512), math.ceil(whole.shape[0] / 512)
    tiles = [
        [imagecodecs.jpeg8_decode(get(micrographs, "micrographs/1/tile", level=level, x=x, y=y).content) for x in range(columns)]
        for y in range(rows)
    ]
    joined = np.block(tiles).astype(int)
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).mean() < 8.0  # what JPEG loses of noise
    assert np.abs(joined - np.roll(whole, 1, axis=1)).mean() > 20.0
    for x, y in ((columns, 0), (0, rows), (-1, 0)):
        assert get(micrographs, "micrographs/1/tile", level=level, x=x, y=y).json()["error"]["code"] == "CL-unknown-tile"


def test_what_the_browser_has_is_not_sent_again(get, micrographs, project):
    first = get(micrographs, "micrographs/1/view", bin=4)
    assert first.headers["Cache-Control"].startswith("private, max-age=")
    again = get(micrographs, "micrographs/1/view", bin=4, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and not again.content and again.headers["ETag"] == first.headers["ETag"]
    assert get(micrographs, "micrographs/1/view", bin=2, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    write_mrc(project.root / "data" / "m1.mrc", micrograph()[::-1], PIXEL)
    changed = get(micrographs, "micrographs/1/view", bin=4, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200 and raw(changed)[-2:, :2].min() == 255


def test_ctfs_and_coordinates_show_their_micrographs(get, micrographs, ctfs, coordinates):
    own = get(micrographs, "micrographs/1/view", bin=8)
    for output in (ctfs, coordinates):
        assert get(output, "micrographs/1/view", bin=8).content == own.content


@pytest.mark.parametrize(
    ("rest", "query", "code"),
    [
        ("micrographs/99/view", {}, "unknown-id"),
        ("micrographs/2/view", {}, "file-missing"),
        ("micrographs/1/view", {"bin": 3}, "bad-binning"),
        ("micrographs/1/view", {"weighted": True}, "no-image"),
        ("micrographs/1/psd.json", {}, "no-source"),
        ("volume.json", {}, "no-volumes"),
    ],
)
def test_errors_say_what_is_wrong(get, micrographs, rest, query, code):
    answer = get(micrographs, rest, **query)
    error = answer.json()["error"]
    assert error["code"] == f"CL-{code}" and error["message"] and error["cure"]
    assert answer.status_code == {"unknown-id": 404, "file-missing": 409}.get(code, 422)


def test_a_truncated_file_is_named(get, micrographs, project):
    path = project.root / "data" / "m1.mrc"
    path.write_bytes(path.read_bytes()[:-100])
    error = get(micrographs, "micrographs/1/view").json()["error"]
    assert error["code"] == "CL-mrc-truncated" and "m1.mrc" in error["message"]


def test_no_answer_is_larger_than_64_mb(get, micrographs, project):
    path = project.root / "data" / "m1.mrc"
    header = np.frombuffer(path.read_bytes()[:1024], "<i4").copy()
    header[:2] = (10000, 8000)
    with path.open("wb") as handle:  # sparse: it takes no room
        handle.write(header.tobytes())
        handle.truncate(1024 + 4 * 10000 * 8000)
    error = get(micrographs, "micrographs/1/view", bin=1).json()["error"]
    assert error["code"] == "CL-too-large" and "tiles" in error["cure"]


def test_spectra_with_and_without_the_model(get, ctfs, micrographs):
    fitted, measured = (get(ctfs, "micrographs/1/psd", model=model) for model in (True, False))
    with_model, without = (imagecodecs.png_decode(each.content) for each in (fitted, measured))
    assert with_model[40, 10] == 0 and without[40, 10] > 200
    assert (with_model[:32] == without[:32]).all() and (with_model[:, 32:] == without[:, 32:]).all()
    assert float(fitted.headers["X-Pixel-Size"]) == pytest.approx(3.0)
    computed = get(micrographs, "micrographs/1/psd")
    assert imagecodecs.png_decode(computed.content).shape == (256, 256)


def test_the_curves_of_a_fit(get, ctfs):
    told = get(ctfs, "micrographs/1/psd.json").json()
    assert told["values"]["defocus_u"] == {"value": 15000.0, "unit": "Å", "meaning": "largest defocus, underfocus positive"}
    (curves,) = told["curves"]
    assert curves["x"] == [0.0, 0.1, 0.2] and [each["name"] for each in curves["series"]] == ["ctf_rotational", "ctf_fit"]
    assert curves["series"][1]["y"] == [0.0, 1.0, None]
    error = get(ctfs, "micrographs/2/psd.json").json()["error"]
    assert error["code"] == "CL-no-fit" and "no rings" in error["message"]


def test_the_path_of_a_micrograph(get, micrographs, coordinates):
    told = get(micrographs, "micrographs/1/trajectory").json()
    assert told["whole"] == {"x": [0.0, -1.0, -3.0], "y": [0.0, 0.5, 1.5]}  # the content moved against the shifts
    assert told["frames"] == [2, 3, 4] and told["pixel_size"] == 0.75 and told["local"] is None
    assert get(coordinates, "micrographs/1/trajectory").json() == told


def test_a_read_only_project_is_shown_and_left_alone(get, micrographs, project):
    before = sorted(project.root.rglob("*"))
    for rest in ("view", "thumbnail", "psd"):
        assert get(micrographs, f"micrographs/1/{rest}").status_code == 200
    assert sorted(project.root.rglob("*")) == before
