import imagecodecs
import numpy as np
import pytest
from planted import micrograph


def test_128_classes_are_one_picture(get, classes):
    answer = get(classes, "sprite", limit=128, columns=16, size=32)
    sheet, told = imagecodecs.png_decode(answer.content), get(classes, "sprite.json", limit=128, columns=16, size=32).json()
    assert sheet.shape == (8 * 32, 16 * 32) and told["cell"] == 32 and len(told["items"]) == 128
    for item in told["items"]:
        top, left = item["row"] * told["cell"], item["column"] * told["cell"]
        bright = np.flatnonzero((sheet[top : top + 32, left : left + 32] == 255).all(axis=1))
        assert bright.tolist() == [(item["id"] - 1) % 32]  # row 0 of the average at the top
    assert told["items"][3]["values"] == {"class_id": 4, "count": 3, "estimated_resolution": 10.0}
    assert told["described"]["estimated_resolution"]["unit"] == "Å"


def test_sorted_and_chosen(get, classes):
    told = get(classes, "sprite.json", sort="count", descending=True, where="count < 100", offset=2, limit=3, columns=2).json()
    assert [item["id"] for item in told["items"]] == [98, 97, 96] and told["count"] == 100 and told["of"] == 128
    assert [(item["row"], item["column"]) for item in told["items"]] == [(0, 0), (0, 1), (1, 0)]
    sheet = imagecodecs.png_decode(
        get(classes, "sprite", sort="count", descending=True, where="count < 100", offset=2, limit=3, columns=2, size=32).content
    )
    assert sheet.shape == (64, 64) and (sheet[(98 - 1) % 32, :32] == 255).all() and (sheet[32:, 32:] == 128).all()


def test_images_are_made_smaller_by_whole_blocks(get, classes):
    told = get(classes, "sprite.json", size=20, limit=4, columns=4).json()
    answer = get(classes, "sprite", size=20, limit=4, columns=4)
    assert told["cell"] == int(answer.headers["X-Cell"]) == 16
    assert imagecodecs.png_decode(answer.content).shape == (16, 64)


def test_coordinates_show_what_lies_around_them(get, coordinates):
    answer = get(coordinates, "sprite", size=60, columns=3, sort="score", format="png")
    sheet, told = imagecodecs.png_decode(answer.content), get(coordinates, "sprite.json", size=60, columns=3, sort="score").json()
    assert [item["id"] for item in told["items"]] == [11, 13, 12]
    cell = sheet[:60, :60]
    assert cell[10:34, 10:34].min() > cell[45:, 45:].max() > 0  # the bright corner, continued beyond the border, and not mirrored
    box = micrograph()[1000 - 30 : 1000 + 30, 900 - 30 : 900 + 30]
    assert np.corrcoef(sheet[:60, 60:120].ravel(), box.ravel())[0, 1] > 0.98
    wide = get(coordinates, "sprite", size=16, columns=3, sort="score", format="png")
    box = micrograph()[1000 - 32 : 1000 + 32, 900 - 32 : 900 + 32].reshape(16, 4, 16, 4).mean(axis=(1, 3))
    assert np.corrcoef(imagecodecs.png_decode(wide.content)[:, 16:32].ravel(), box.ravel())[0, 1] > 0.98
    assert get(coordinates, "sprite.json", size=200).json()["cell"] == 60
    assert get(coordinates, "sprite").headers["Content-Type"] == "image/jpeg"
    assert get(coordinates, "sprite", format="webp").headers["Content-Type"] == "image/webp"


def test_an_empty_page_is_a_picture_too(get, classes):
    assert get(classes, "sprite", where="count > 1000").status_code == 200
    assert get(classes, "sprite.json", where="count > 1000").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [({"limit": 1024, "size": 512}, "too-large"), ({"sort": "beauty"}, "unknown-column"), ({"where": "count >"}, "rule")],
)
def test_errors_say_what_is_wrong(get, classes, query, code):
    answer = get(classes, "sprite", **query)
    assert answer.status_code == 422 and answer.json()["error"]["code"] == f"CL-{code}"


def test_ctfs_and_micrographs_have_no_gallery(get, ctfs, micrographs):
    for output in (ctfs, micrographs):
        assert get(output, "sprite").json()["error"]["code"] == "CL-no-images"


def test_a_lost_stack_is_named(get, classes, project):
    seen = get(classes, "sprite")
    assert get(classes, "sprite", headers={"If-None-Match": seen.headers["ETag"]}).status_code == 304
    (project.root / "data" / "averages.mrcs").unlink()
    error = get(classes, "sprite").json()["error"]
    assert error["code"] == "CL-file-missing" and "averages.mrcs" in error["message"]
