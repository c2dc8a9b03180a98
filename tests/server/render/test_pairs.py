import numpy as np
import polars as pl
import pytest
from planted import BOX, PIXEL, ball, publish, written

from cryoloom.app.map_agreement import map_agreement
from cryoloom.data import Particles, Volume


def noisy(seed: int) -> np.ndarray:
    return ball() + np.random.default_rng(seed).normal(0, 0.1, (BOX,) * 3).astype(np.float32)


@pytest.fixture
def pair(project):
    """Return two maps of one ball with noise of their own, the second on another grey scale."""
    maps = noisy(1), 4.0 * noisy(2) + 7.0
    return [
        publish(
            project,
            Volume(
                pl.DataFrame({"id": [1], "volume_path": [written(project, f"n{place}.mrc", data, volume=True)], "box_size": [BOX]}),
                project.root,
                meta={"pixel_size": PIXEL},
            ),
            "refine.auto",
        )
        for place, data in enumerate(maps)
    ]


def test_maps_on_one_grid_are_offered(get, project, volume, mask, classes3d):
    small = written(project, "small.mrc", ball(32, 8.0), volume=True)
    coarse = written(project, "coarse.mrc", ball(), volume=True, pixel_size=2.0)
    for number, path in enumerate((small, coarse, "data/gone.mrc")):
        rows = pl.DataFrame({"id": [1], "volume_path": [path], "box_size": [BOX + number]})
        publish(project, Volume(rows, project.root), "import.volume")
    told = {each["output"]: each for each in get(volume, "companions").json()}
    assert set(told) == {str(volume), str(mask), str(classes3d)}
    assert told[str(volume)]["maps"] == [{"id": 1, "which": ["map", "half1", "half2"], "class_id": None}]
    assert [each["class_id"] for each in told[str(classes3d)]["maps"]] == [1, 2]


def test_agreement_is_that_of_numpy(get, pair):
    told = get(pair[0], "agreement", **{"with": str(pair[1])}).json()
    expected = map_agreement(noisy(1), 4.0 * noisy(2) + 7.0, PIXEL)
    assert told["fsc"] == pytest.approx(expected.fsc, abs=1e-5) and told["frequency"][-1] == pytest.approx(1 / (2 * PIXEL))
    assert told["correlation"] == pytest.approx(np.corrcoef(noisy(1).ravel(), noisy(2).ravel())[0, 1], abs=1e-4)
    slope, offset = np.polyfit((4.0 * noisy(2) + 7.0).ravel(), noisy(1).ravel(), 1)
    assert (told["scale"], told["offset"]) == pytest.approx((slope, offset), rel=1e-3)
    assert told["resolutions"] == [[0.5, pytest.approx(expected.resolutions[0.5])], [0.143, pytest.approx(expected.resolutions[0.143])]]


def test_a_map_agrees_with_itself_on_another_scale(get, volume):
    told = get(volume, "agreement", **{"with": str(volume), "with_which": "half2"}).json()
    assert told["correlation"] == pytest.approx(1.0) and told["scale"] == pytest.approx(1 / 3) and min(told["fsc"]) > 0.999
    assert told["largest"] < 1e-4


def test_the_difference_is_that_of_maps_made_alike(get, pair):
    answer = get(pair[0], "difference", **{"with": str(pair[1]), "axis": "y", "i": 11, "format": "raw"})
    low, high = float(answer.headers["X-Low"]), float(answer.headers["X-High"])
    told = get(pair[0], "agreement", **{"with": str(pair[1])}).json()
    expected = (noisy(1) - told["scale"] * (4.0 * noisy(2) + 7.0) - told["offset"])[:, 11]
    seen = low + (high - low) * np.frombuffer(answer.content, np.uint8).reshape(BOX, BOX) / 255.0
    assert low == -high and np.abs(seen - expected).max() <= 0.52 * (high - low) / 255


def test_maps_of_other_boxes_are_not_compared(get, project, volume):
    rows = pl.DataFrame({"id": [1], "volume_path": [written(project, "s.mrc", ball(32, 8.0), volume=True)], "box_size": [32]})
    other = publish(project, Volume(rows, project.root), "import.volume")
    for rest, query in (("agreement", {}), ("difference", {"i": 3})):
        assert get(volume, rest, **{"with": str(other), **query}).json()["error"]["code"] == "CL-shapes-differ"


def test_views_of_particles(get, project, volume):
    rows = pl.DataFrame(
        {
            "id": [1, 2],
            "micrograph_id": [1, 1],
            "stack_path": ["p.mrcs"] * 2,
            "stack_index": [0, 1],
            "optics_group": [1, 1],
            "rot": [10.0, 20.0],
            "tilt": [0.0, 90.0],
        }  # fmt: skip
    )
    output = publish(project, Particles(rows, project.root, optics=[{"optics_group": 1, "pixel_size": PIXEL}]), "refine.auto")
    told = get(output, "orientations", symmetry="C2", side=10).json()
    assert sum(told["counts"]) == 4 and len(told["counts"]) == sum(told["rings"]) and told["volume"] is None
    assert "no angles" in get(volume, "orientations").json()["why"] and told["why"] == ""
    assert get(output, "orientations", symmetry="C2v").json()["error"]["code"] == "CL-unknown-symmetry"
