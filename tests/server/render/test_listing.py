"""Lists of micrographs with what is known of each, and the picks on them."""

import numpy as np
import polars as pl
import pytest
from planted import ODD, PIXEL, publish

from cryoloom.data import Coordinates


def test_micrographs_are_listed_with_their_motion(get, micrographs):
    told = get(micrographs, "micrographs").json()
    assert told["micrographs"] == told["output"] == str(micrographs) and told["scores"] is None
    columns = told["columns"]
    assert columns["id"] == [1, 2] and columns["micrograph_name"] == ["m1", "m2"] and columns["width"] == [ODD[1]] * 2
    assert columns["motion_total"] == [4.0, 4.0] and columns["pixel_size"] == [PIXEL] * 2 and "picks" not in columns


def test_transfer_functions_are_listed_beside_them(get, ctfs, micrographs):
    told = get(ctfs, "micrographs").json()
    assert told["micrographs"] == str(micrographs) and told["units"]["defocus_u"] == "Å"
    assert told["columns"]["defocus_u"] == [15000.0, None] and told["columns"]["fail_reason"] == ["", "no rings"]


def test_picks_are_counted_by_score(get, coordinates):
    told = get(coordinates, "micrographs").json()
    assert told["columns"]["picks"] == [3, 0]
    at, count = told["scores"]["at"], told["scores"]["count"]
    assert at[0] == 0.1 and at[-1] == 0.9 and count[0] == 3 and count[-1] == 1 and at == sorted(at)
    assert count == [sum(score >= least for score in (0.1, 0.9, 0.5)) for least in at]


def test_picks_of_a_micrograph_have_their_places_and_size(get, coordinates):
    told = get(coordinates, "micrographs/1/picks").json()
    assert told["x"] == [4.0, 400.0, 900.0] and told["score"] == [0.1, 0.9, 0.5] and told["diameter"] == pytest.approx(60.0 / PIXEL)
    assert get(coordinates, "micrographs/2/picks").json()["x"] == []


def test_picks_of_smaller_micrographs_are_scaled(get, project, micrographs):
    """Their own pixel is twice as large."""
    rows = {"id": [5], "micrograph_id": [1], "micrograph_name": ["m1"], "x": [100.0], "y": [50.0], "score": [1.0], "optics_group": [1]}
    optics = [{"optics_group": 1, "pixel_size": 2 * PIXEL}]
    binned = publish(project, Coordinates(pl.DataFrame(rows), project.root, optics=optics), "import.coordinates", [micrographs])
    told = get(binned, "micrographs/1/picks").json()
    assert told["x"] == [200.0] and told["y"] == [100.0] and told["score"] == [1.0] and told["diameter"] is None


def test_spectra_have_miniatures(get, ctfs):
    import imagecodecs

    answer = get(ctfs, "micrographs/1/psd-thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    small = np.asarray(imagecodecs.jpeg8_decode(answer.content), dtype=float)
    assert (
        small.shape[0] <= 128
        and small[: len(small) // 2, len(small) // 2 :].mean() > small[len(small) // 2 :, : len(small) // 2].mean() + 50
    )
