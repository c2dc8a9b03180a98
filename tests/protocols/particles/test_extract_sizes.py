"""The box of particles.extract in every unit, every way to resize, and what does not fit."""

import numpy as np
import pytest
from pydantic import ValidationError

from cryoloom.protocols.particles.extract import Extract


@pytest.fixture
def form(make_scene):
    """Return a maker of forms on two micrographs of the pixel sizes given."""

    def make(pixel_sizes=(1.34, 1.34), diameter=268.0, **values):
        images = [np.random.default_rng(0).standard_normal((700, 700))] * 2
        scene = make_scene(images, [[(350, 350)]] * 2, pixel_sizes=pixel_sizes, diameter=diameter)
        return Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, **values), scene.job

    return make


@pytest.mark.parametrize(
    ("values", "size", "pixel_size"),
    [
        ({"box_size": 100, "bin": 3}, 100, 4.02),
        ({"box_size": 300, "box_unit": "input-px", "bin": 3}, 100, 4.02),
        ({"box_size": 402, "box_unit": "angstrom", "bin": 3}, 100, 4.02),
        ({"box_size": 402, "box_unit": "angstrom"}, 300, 1.34),
        ({"box_size": 300, "box_unit": "input-px", "scaled_size": 100}, 100, 4.02),
        ({"box_size": 300, "box_unit": "input-px", "scaled_size": 128}, 128, 1.34 * 300 / 128),
        ({"box_size": 402, "box_unit": "angstrom", "pixel_size": 2.0}, 202, 2.0),
        ({"box_size": 100, "pixel_size": 4.02}, 100, 4.02),
        ({"box_size": 100, "bin": 3, "forced_size": 90}, 90, 4.02),
        ({"bin": 3}, 100, 4.02),  # 1.5 diameters of 268 Å are 402 Å
        ({}, 300, 1.34),
        ({"scaled_size": 150}, 150, 2.68),
        ({"box_size": 101, "bin": 3}, 102, 4.02),
    ],
)
def test_every_way_to_say_it(form, values, size, pixel_size):
    protocol, job = form(**values)
    assert not [hint for hint in protocol.check() if hint.error]
    out = protocol.run(job).particles
    assert out.optics[0]["box_size"] == size
    assert out.optics[0]["pixel_size"] == pytest.approx(pixel_size, rel=1e-6)
    assert len(out) == 2 and out.file(out.items["stack_path"][0]).stat().st_size == 1024 + 4 * size**2


def test_the_box_is_told_in_all_units(form):
    protocol, job = form(box_size=100, bin=3)
    words = protocol.preview()["box"]
    for part in ("100 px of 4.02 Å", "300 px of 1.34 Å", "402.0 Å"):
        assert part in words
    assert protocol.summary(protocol.run(job))["box"] == words


def test_micrographs_of_two_pixel_sizes_become_one(form):
    protocol, job = form((1.34, 1.0), box_size=300, box_unit="angstrom", pixel_size=2.0)
    assert not list(protocol.check())
    assert [(group["pixel_size"], group["box_size"]) for group in protocol.run(job).particles.optics] == [pytest.approx((2.0, 150))] * 2
    unlike, _ = form((1.34, 1.0), box_size=300, box_unit="angstrom")
    assert "boxes of 224 and 300 px" in next(unlike.check()).message


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        ({"box_size": 100, "pixel_size": 1.0}, "pixel_size", "would enlarge"),
        ({"box_size": 100, "box_unit": "input-px", "scaled_size": 128}, "scaled_size", "would enlarge"),
        ({"box_size": 100, "scaled_size": 64}, "box_unit", "must not be output-px"),
        ({"box_size": 100, "resize": "dimension"}, "scaled_size", "has to be given"),
        ({"box_size": 100, "background_radius": 51}, "background_radius", "outside the box"),
        ({"diameter": 0.0}, "box_size", "has to be given"),
    ],
)
def test_what_does_not_fit_is_refused(form, values, name, words):
    hint = next(hint for hint in form(**values)[0].check() if hint.error)
    assert hint.parameter == name and words in hint.message


def test_a_factor_below_one_is_refused(form):
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        form(box_size=100, bin=0.9)


def test_xmipps_words_and_numbers(form):
    for given, meant in (("OldXmipp", "image"), ("NewXmipp", "background"), ("Ramp", "ramp"), (2, "ramp")):
        assert form(box_size=64, normalisation=given)[0].normalisation == meant
    assert form(box_size=64, pixel_size=4.0, resize=0)[0].resize == "sampling-rate"
