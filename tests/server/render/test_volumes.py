import imagecodecs
import numpy as np
import polars as pl
import pytest
from planted import BOX, PIXEL, RADIUS, ball, beside, publish, written

from cryoloom.data import Volume
from cryoloom.engine.events import append_line
from cryoloom.formats.mrc import write_mrc
from cryoloom.server.render.bricks import smaller


def brick(answer, dtype):
    assert answer.status_code == 200, answer.text
    shape = [int(side) for side in answer.headers["X-Shape"].split(",")]
    low, high = float(answer.headers["X-Min"]), float(answer.headers["X-Max"])
    values = np.frombuffer(answer.content, dtype).reshape(shape).astype(float)
    return (low + (high - low) * values / 255 if dtype == "u1" else values), low, high


def test_what_there_is_and_its_numbers(get, volume):
    told, planted = get(volume, "volume.json").json(), ball()
    assert told["volumes"] == [{"id": 1, "which": ["map", "half1", "half2"]}]
    assert told["shape"] == [BOX] * 3 and told["pixel_size"] == PIXEL and told["name"] == "map"
    for name, value in (("min", planted.min()), ("max", planted.max()), ("mean", planted.mean()), ("sigma", planted.std())):
        assert told[name] == pytest.approx(float(value), rel=1e-5, abs=1e-7)
    assert (planted >= told["level"]).mean() == pytest.approx(0.01, abs=1e-3)
    assert get(volume, "volume.json", which="half2").json()["max"] == pytest.approx(3 * told["max"])


def test_local_resolutions_have_limits_of_their_colours(get, volume, project):
    assert get(volume, "volume.json").json()["limits"] is None
    rows = volume.dataset.items.with_columns(painter_path="half_map1_path", coloured_path="half_map2_path")
    found = publish(
        project, Volume(rows, project.root, meta={"pixel_size": PIXEL, "colour_limits": [3.5, 8.0]}), "validate.local_resolution"
    )
    told = {which: get(found, "volume.json", which=which).json()["limits"] for which in ("map", "painter", "coloured", "half1")}
    assert told == {"map": [3.5, 8.0], "painter": [3.5, 8.0], "coloured": None, "half1": None}


def test_the_level_under_a_mask(get, volume, mask, project):
    told = get(volume, "volume.json", mask=str(mask)).json()
    assert (ball() * beside() >= told["level"]).mean() == pytest.approx(0.01, abs=1e-3)
    assert told["level"] < 0.999 * get(volume, "volume.json").json()["level"]
    own = get(mask, "volume.json").json()
    assert own["volumes"] == [{"id": 1, "which": ["mask"]}] and own["level"] == 0.5
    small = np.zeros_like(beside())
    small[23:26, 23:26, 34:39] = 1.0  # less than 1 % of the box: the level stays a value of the map
    write_mrc(project.root / "data" / "mask.mrc", small, PIXEL, volume=True)
    level = get(volume, "volume.json", mask=str(mask)).json()["level"]
    assert (ball()[small > 0] >= level).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("axis", "index"), [("z", 3), ("y", 5), ("x", 7)])
def test_slices_are_those_of_numpy(get, volume, axis, index):
    answer = get(volume, "slice", axis=axis, i=index, format="raw")
    low, high = float(answer.headers["X-Low"]), float(answer.headers["X-High"])
    plane = {"z": ball()[3], "y": ball()[:, 5], "x": ball()[:, :, 7]}[axis]
    seen = np.frombuffer(answer.content, np.uint8).reshape(BOX, BOX)
    assert np.abs(low + (high - low) * seen / 255.0 - plane).max() <= 0.51 * (high - low) / 255
    place = {"z": (5, 7), "y": (3, 7), "x": (3, 5)}[axis]  # rows and columns as the docstring says
    assert seen[place] == 0 and (seen == 0).sum() == 1
    assert (imagecodecs.png_decode(get(volume, "slice", axis=axis, i=index).content) == seen).all()
    assert get(volume, "slice", axis=axis).headers["X-Index"] == str(BOX // 2)


def test_the_montage_holds_the_slices_it_names(get, volume):
    answer = get(volume, "slices", count=6, columns=3, size=BOX)
    sheet, numbers = imagecodecs.png_decode(answer.content), [int(each) for each in answer.headers["X-Slices"].split(",")]
    assert sheet.shape == (2 * BOX, 3 * BOX) and len(numbers) == 6
    for place, number in enumerate(numbers):
        row, column = divmod(place, 3)
        single = np.frombuffer(get(volume, "slice", i=number, format="raw").content, np.uint8).reshape(BOX, BOX)
        assert (sheet[row * BOX : (row + 1) * BOX, column * BOX : (column + 1) * BOX] == single).all()


def test_values_are_those_of_numpy(get, volume):
    assert get(volume, "value", x=7, y=5, z=3).json()["value"] == -1.0
    assert get(volume, "value", x=30, y=24, z=22, which="half1").json()["value"] == pytest.approx(2 * float(ball()[22, 24, 30]))
    assert get(volume, "value", x=BOX, y=0, z=0).json()["error"]["code"] == "CL-unknown-voxel"


@pytest.mark.parametrize("dtype", ["u1", "f2"])
def test_a_brick_as_large_as_the_map_is_the_map(get, volume, dtype):
    values, low, high = brick(get(volume, "brick", size=64, dtype=dtype), dtype if dtype == "u1" else "<f2")
    assert np.abs(values - ball()).max() <= 0.51 * (high - low) / 255
    assert (low, high) == (ball().min(), ball().max())


def test_the_brick_of_a_ball_is_a_ball_in_the_same_place(get, volume):
    answer = get(volume, "brick", size=32, dtype="f2")
    values, _, _ = brick(answer, "<f2")
    voxel, origin = float(answer.headers["X-Voxel-Size"]), [float(each) for each in answer.headers["X-Origin"].split(",")]
    assert values.shape == (32, 32, 32) and voxel == pytest.approx(PIXEL * BOX / 32)
    inside = np.argwhere(values > 0.5)
    assert len(inside) * voxel**3 == pytest.approx(4 / 3 * np.pi * (RADIUS * PIXEL) ** 3, rel=0.05)
    centre = inside.mean(axis=0)[::-1] * voxel + origin
    assert centre == pytest.approx([BOX // 2 * PIXEL] * 3, abs=0.2 * PIXEL)


@pytest.mark.parametrize("shape", [(40, 50, 61), (48, 48, 48), (33, 33, 33)])
def test_what_is_made_smaller_keeps_its_place(shape):
    z, y, x = np.indices(shape)
    blob = np.exp(-((z - 15) ** 2 + (y - 20) ** 2 + (x - 18) ** 2) / 40).astype(np.float32)
    small, factor, origin = smaller(blob, 24)
    assert max(small.shape) <= 24
    places = np.indices(small.shape).reshape(3, -1)
    centre = (places * small.reshape(-1)).sum(axis=1)[::-1] / small.sum() * factor + origin
    full = (np.indices(shape).reshape(3, -1) * blob.reshape(-1)).sum(axis=1)[::-1] / blob.sum()
    assert centre == pytest.approx(full, abs=0.1)


def test_classes_by_their_ids(get, classes3d):
    told = get(classes3d, "volume.json", id=2).json()
    assert [(each["id"], each["count"]) for each in told["volumes"]] == [(1, 70), (2, 30)]
    assert told["id"] == 2 and told["max"] == pytest.approx(2 * float(ball().max()))
    assert get(classes3d, "volume.json", id=3).json()["error"]["code"] == "CL-unknown-id"


@pytest.mark.parametrize(
    ("rest", "query", "code"),
    [
        ("brick", {"size": 4096}, "bad-brick"),
        ("slice", {"i": 500}, "unknown-slice"),
        ("slice", {"which": "half3"}, "unknown-volume"),
        ("slices", {"count": 200, "columns": 20, "size": 4000}, "too-large"),
        ("file/../../project.json", {}, None),
        ("file/%2e%2e%2fproject.json", {}, "unknown-file"),
        ("file//etc/passwd", {}, "unknown-file"),
    ],
)
def test_errors_say_what_is_wrong(get, volume, rest, query, code):
    answer = get(volume, rest, **query)
    assert answer.status_code >= 400
    assert code is None or answer.json()["error"]["code"] == f"CL-{code}"


def test_files_are_downloaded_by_their_names_whole_and_in_part(get, volume, project):
    names = {entry["name"]: entry["bytes"] for entry in get(volume, "files").json()}
    content = (project.root / "data" / "map.mrc").read_bytes()
    assert names["map.mrc"] == len(content) and "volume.parquet" in names
    assert get(volume, "file/map.mrc").content == content
    part = get(volume, "file/map.mrc", headers={"Range": "bytes=1024-2047"})
    assert part.status_code == 206 and part.content == content[1024:2048]
    (project.root / "data" / "map.mrc").unlink()
    assert get(volume, "file/map.mrc").json()["error"]["code"] == "CL-file-missing"
    assert {entry["name"]: entry["bytes"] for entry in get(volume, "files").json()}["map.mrc"] is None


def test_files_of_one_name_are_told_apart(get, project):
    (project.root / "data" / "a").mkdir(parents=True)
    (project.root / "data" / "b").mkdir()
    paths = [written(project, f"{folder}/map.mrc", ball() * factor, volume=True) for factor, folder in enumerate("ab", 1)]
    rows = pl.DataFrame({"id": [1, 2], "volume_path": paths, "box_size": [BOX] * 2})
    output = publish(project, Volume(rows, project.root), "import.volume")
    assert set(paths) < {entry["name"] for entry in get(output, "files").json()}
    assert get(output, f"file/{paths[1]}").content == (project.root / paths[1]).read_bytes()


def test_a_map_of_no_numbers_is_shown_as_dark(get, volume, project):
    write_mrc(project.root / "data" / "map.mrc", np.full((16, 16, 16), np.nan, np.float32), PIXEL, volume=True)
    told = get(volume, "volume.json").json()
    assert told["max"] == 0.0 and told["level"] == 0.0
    assert get(volume, "slice", format="raw").content == bytes(256)
    assert get(volume, "value", x=0, y=0, z=0).json()["value"] is None
    assert get(volume, "brick", size=16).status_code == 200


def test_a_cleaned_map_is_told_from_a_lost_one(get, project):
    run = publish(
        project, Volume(pl.DataFrame({"id": [1], "volume_path": ["data/x.mrc"], "box_size": [8]}), project.root), "import.volume"
    ).run
    path = f"runs/{run.id}/map.mrc"
    rows = pl.DataFrame({"id": [1], "volume_path": [path], "box_size": [8]})
    output = publish(project, Volume(rows, project.root), "sets.select")
    append_line(run.folder.path / "cleaned.jsonl", {"t": 0.0, "keep": "record", "files": [path], "final": True})
    error = get(output, "volume.json").json()["error"]
    assert error["code"] == "CL-file-cleaned" and path in error["message"] and run.id in error["cure"]


def test_a_table_that_leads_out_of_its_project_is_not_followed(get, project, tmp_path):
    write_mrc(tmp_path / "secret.mrc", ball(), PIXEL, volume=True)
    for number, path in enumerate(("../secret.mrc", str(tmp_path / "secret.mrc"))):
        rows = pl.DataFrame({"id": [1], "volume_path": [path], "box_size": [BOX + number]})
        output = publish(project, Volume(rows, project.root), "import.volume")
        assert get(output, "volume.json").json()["error"]["code"] == "CL-file-outside"
        assert get(output, "file/secret.mrc").json()["error"]["code"] == "CL-file-outside"
