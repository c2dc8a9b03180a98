"""Wizards over HTTP, on images of which the answers are known."""

import base64

import imagecodecs
import numpy as np
import pytest
from planted import RADIUS

from cryoloom.formats.gain import oriented
from cryoloom.formats.mrc import write_mrc

PIXEL, SIDE, DIAMETER = 2.0, 640, 60.0


def pixels(picture) -> np.ndarray:
    found = imagecodecs.png_decode(base64.b64decode(picture["address"].removeprefix("data:image/png;base64,")))
    assert found.shape[:2] == (picture["height"], picture["width"])
    return found


def test_a_micrograph_with_its_picks(ask, micrographs, coordinates):
    status, found = ask(
        "particles.extract", "wizards/micrograph", values={"micrographs": str(micrographs), "coordinates": str(coordinates)}
    )
    assert status == 200 and (found["name"], found["of"], found["diameter"], found["pixel_size"]) == ("m", 1, DIAMETER, PIXEL)
    image = pixels(found["picture"]).astype(float)
    assert len(found["places"]) == 36
    dark = np.mean([image[int(y), int(x)] for x, y in found["places"]])
    assert dark < image.mean() - 2 * image.std() / 6
    assert found["picture"]["pixel_size"] * found["picture"]["width"] == pytest.approx(SIDE * PIXEL)


def test_the_place_of_a_micrograph_goes_round(ask, micrographs):
    assert ask("pick.blob", "wizards/micrograph", values={"micrographs": str(micrographs)}, place=3)[1]["name"] == "m"


def test_the_mean_particle(ask, particles):
    status, found = ask("classify2d.em", "wizards/mean-particle", values={"particles": str(particles)})
    image = pixels(found["picture"])
    assert status == 200 and found["diameter"] == DIAMETER
    assert np.sqrt(np.count_nonzero(image > 128) / np.pi) * found["picture"]["pixel_size"] == pytest.approx(DIAMETER / 2, rel=0.05)


def test_the_background_begins_outside_of_the_particle(ask, micrographs, coordinates):
    given = {"micrographs": str(micrographs), "coordinates": str(coordinates), "box_size": 48}
    status, found = ask("particles.extract", "wizards/background-circle", values=given)
    assert status == 200 and found["pixel_size"] == PIXEL
    assert DIAMETER / 2 < found["advice"] < 1.2 * DIAMETER / 2


def test_a_threshold_moves_the_border_of_the_mask(ask, volume):
    given = {"volume": str(volume), "extend": 0, "edge": 1}
    status, found = ask("postprocess.mask", "wizards/map-threshold", values=given)
    assert status == 200 and found["automatic"] and found["low"] < found["threshold"] < found["high"]
    assert found["volume"] == pytest.approx(4 / 3 * np.pi * (RADIUS * PIXEL) ** 3, rel=0.35)
    _, higher = ask("postprocess.mask", "wizards/map-threshold", values=given | {"threshold": 0.9 * found["high"]})
    assert not higher["automatic"] and higher["volume"] < 0.7 * found["volume"]
    colours = pixels(found["picture"])
    assert np.count_nonzero(np.ptp(colours.astype(int), axis=2)) > 100


def test_a_threshold_above_everything_says_so(ask, volume):
    status, found = ask("postprocess.mask", "wizards/map-threshold", values={"volume": str(volume), "threshold": 99})
    assert status == 409 and found["error"]["code"] == "CL-mask-empty" and found["error"]["cure"]


def test_a_spectrum_without_rings_is_doubted(ask, micrographs):
    status, found = ask("ctf.estimate", "wizards/psd-band", values={"micrographs": str(micrographs)})
    assert status == 200 and found["micrograph"] == "m" and found["nyquist"] == pytest.approx(2 * PIXEL, rel=0.02)
    assert found["doubt"] and len(found["frequency"]) == len(found["profile"]) > 20
    assert pixels(found["picture"]).std() > 10


@pytest.fixture
def movies(tmp_path):
    """Return the pattern of three movies and a reference that must be turned by 90° and flipped left-right to lie on them."""
    rng = np.random.default_rng(5)
    gain = np.clip(rng.normal(1, 0.2, (96, 96)), 0.5, 1.5).astype(np.float32)
    lying = oriented(gain, 90, "left-right")
    for number in range(3):
        frames = rng.poisson(20 / lying, (20, 96, 96)).astype(np.float32)
        write_mrc(tmp_path / f"movie{number}.mrc", frames, 1.0)
    write_mrc(tmp_path / "gain.mrc", gain, 1.0)
    return {"pattern": str(tmp_path / "movie*.mrc"), "gain": str(tmp_path / "gain.mrc")}


def test_the_movies_tell_how_the_gain_lies(ask, movies):
    status, found = ask("import.movies", "wizards/gain-orientation", values=movies)
    assert status == 200 and found["decided"] and not found["reciprocal"]
    assert (found["rotation"], found["flip"]) == (90, "left-right")
    assert len({(each["rotation"], each["flip"]) for each in found["lies"]}) == 8 and all(each["fits"] for each in found["lies"])


def test_without_movies_the_orientations_are_shown(ask, movies):
    status, found = ask("import.movies", "wizards/gain-orientation", values={"gain": movies["gain"]})
    assert status == 200 and found["average"] is None and not found["decided"] and len(found["lies"]) == 8
    assert ask("import.movies", "wizards/gain-orientation", values={})[1]["error"]["code"] == "CL-no-gain"


@pytest.mark.parametrize(
    ("protocol", "wizard"), [("ctf.estimate", "psd-band"), ("pick.blob", "micrograph"), ("classify2d.em", "mean-particle")]
)
def test_a_wizard_says_which_set_it_needs(ask, protocol, wizard):
    status, found = ask(protocol, f"wizards/{wizard}", values={})
    assert status == 422 and found["error"]["code"] == "CL-missing-input"


def test_an_average_as_it_is_and_low_passed(ask, particles):
    given = {"averages": str(particles), "max_resolution": 20}
    status, found = ask("initial.significant", "wizards/filtered-average", values=given, place=1)
    assert status == 200 and found["pixel_size"] == PIXEL and found["name"].startswith("average")
    image = pixels(found["picture"]).astype(float)
    half = image.shape[1] // 2
    plain, coarse = np.abs(np.diff(image[:, :half], axis=0)).max(), np.abs(np.diff(image[:, half:], axis=0)).max()
    assert coarse < 0.7 * plain
    assert ask("initial.significant", "wizards/mean-particle", values={"particles": str(particles)})[0] == 200
