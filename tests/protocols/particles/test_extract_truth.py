"""particles.extract against what is known of the images: places, pixel sizes, ids, backgrounds, phases; and bad input."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import CTFs, Micrographs
from cryoloom.formats.relion import export_relion
from cryoloom.formats.stack import open_stack, read_particles
from cryoloom.formats.star import read_star
from cryoloom.numerics.particles.normalise import background, background_radius
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope
from cryoloom.numerics.simulate.particles import Particle, clean_image
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.protocols.particles.extract import NO_CTF, Extract

PLAIN = {"remove_dust": False, "normalisation": "none"}


def extract(scene, *, ctfs=False, **values):
    protocol = Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, ctfs=scene.ctfs if ctfs else None, **values)
    assert [hint for hint in protocol.check() if hint.error] == []
    return protocol.run(scene.job).particles


def centroid(image):
    y, x = np.indices(image.shape) - image.shape[0] // 2
    return np.array([(image * x).sum(), (image * y).sum()]) / image.sum()


@pytest.mark.parametrize("factor", [1, 2, 3, 1.5])
def test_spots_lie_at_the_centre_and_the_remainder_is_kept(make_scene, spots, factor):
    places = [(100.31, 90.72), (250.5, 200.25), (321.999, 149.4), (160.05, 231.8)]
    scene = make_scene([spots((320, 420), [place]) for place in places], [[place] for place in places], pixel_size=1.34)
    box = 2 * round(60 / factor)
    out = extract(scene, box_size=box, bin=factor, **PLAIN)
    size = out.optics[0]["pixel_size"]
    assert size == pytest.approx(1.34 * factor, rel=1e-6)
    for image, row, place in zip(read_particles(out), out.items.iter_rows(named=True), places, strict=True):
        remainder = np.array([row["origin_x"], row["origin_y"]]) / size
        assert np.abs(remainder).max() <= 0.5
        assert np.abs(centroid(image)).max() <= 0.5 + 1e-3
        assert centroid(image) + remainder == pytest.approx([0, 0], abs=1e-3)
        assert [row["x"] - row["origin_x"] / 1.34, row["y"] - row["origin_y"] / 1.34] == pytest.approx(place, abs=1e-9)


def test_two_samplings_of_one_box_have_the_same_ids(make_scene):
    """At the border too: 60 particles lie within three pixels of where their box leaves the micrograph."""
    rng = np.random.default_rng(1)
    width, height, box = 420, 320, 90
    edges = rng.uniform(-3, 3, 60) + rng.choice([box / 2, height - box / 2], 60)
    places = np.vstack([rng.uniform(0, height, (60, 2)), np.stack([rng.uniform(box, width - box, 60), edges], axis=1)])
    scene = make_scene([rng.standard_normal((height, width))], [places], pixel_size=1.34)
    ids = {factor: extract(scene, box_size=round(box / factor), bin=factor).items["id"].to_list() for factor in (1, 3, 1.5)}
    assert 60 < len(ids[1]) < 110
    assert ids[1] == ids[3] == ids[1.5]


def test_binning_the_micrograph_is_cropping_the_transform_of_the_particle(make_scene):
    """A phantom on nothing, cut at 300 px and at 100 px of three times the size."""
    truth = clean_image(Particle(0, (20.0, 50.0, 70.0), (0.0, 0.0), None), [random_phantom(3, 180.0)], Microscope(300, 2.7, 0.1), 480, 1.34)
    scene = make_scene([-truth], [[(240, 240)]], pixel_size=1.34)
    fine = read_particles(extract(scene, box_size=300, **PLAIN))[0]
    coarse = read_particles(extract(scene, box_size=100, bin=3, **PLAIN))[0]
    shift = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(fine)))[100:200, 100:200]
    cropped = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(shift))).real
    disc = ~background(100, 48)
    assert np.corrcoef(coarse[disc], cropped[disc])[0, 1] >= 0.999


@pytest.mark.parametrize("how", ["ramp", "background", "image"])
def test_backgrounds(make_scene, how):
    rng = np.random.default_rng(2)
    slope = np.linspace(0, 40, 400)[None, :] + np.linspace(0, 20, 300)[:, None]
    scene = make_scene([rng.normal(100, 3, (300, 400)) + slope], [rng.uniform((60, 60), (340, 240), (50, 2))])
    out = extract(scene, box_size=100, normalisation=how)
    images = read_particles(out)
    outside = background(100, background_radius(100, None)) if how != "image" else np.ones((100, 100), bool)
    assert outside.sum() >= 500
    assert np.abs(images[:, outside].mean(axis=1)).max() < 1e-3
    assert np.abs(images[:, outside].std(axis=1) - 1).max() < 1e-3
    y, x = np.nonzero(outside)
    design = np.stack([np.ones(len(x)), x - x.mean(), y - y.mean()], axis=1)
    planes = np.linalg.lstsq(design, images[:, outside].T, rcond=None)[0][1:]
    assert bool(np.abs(planes).max() < 1e-4) == (how == "ramp")
    raw = read_particles(extract(scene, box_size=100, normalisation="none"))
    corners = raw[:, background(100, background_radius(100, None))]
    assert out.items["background_mean"].to_numpy() == pytest.approx(corners.mean(axis=1), rel=1e-4)
    assert out.items["background_sigma"].to_numpy() == pytest.approx(corners.std(axis=1), rel=1e-4)


def test_few_corners_are_told(make_scene):
    scene = make_scene([np.random.default_rng(0).standard_normal((100, 100))], [[(50, 50)]])
    extract(scene, box_size=32)
    assert any("14.4 px counts as background" in warning for warning in scene.job.warnings)


def test_flipped_phases_agree_with_the_projection_in_every_ring(make_scene):
    box, size, defocus = 384, 2.0, (16000.0, 15000.0, 25.0, 0.0)
    microscope, phantom = Microscope(300, 2.7, 0.1), [random_phantom(5, 160.0)]
    truth = clean_image(Particle(0, (10.0, 40.0, 80.0), (0.0, 0.0), None), phantom, microscope, box, size)
    transfer = microscope.transfer(Defocus(*defocus), *frequencies(box, box, size))
    seen = backward(forward(truth) * transfer, truth.shape)
    scene = make_scene([-seen], [[(box // 2, box // 2)]], pixel_size=size, defocus=defocus)
    lowest = {}
    for flip in (True, False):
        out = extract(scene, ctfs=True, box_size=box, phase_flip=flip, **PLAIN)
        assert out.optics[0]["phase_flipped"] is flip and out.optics[0]["ctf_premultiplied"] is False
        product = (forward(read_particles(out)[0]) * forward(truth).conj()).real
        kx, ky = frequencies(box, box, size)
        ring = np.round(np.hypot(kx, ky) * size * box).astype(int)
        strong = np.abs(transfer) > 0.1
        sums = np.bincount(ring[strong], product[strong], minlength=box)[: box // 2]
        lowest[flip] = sums.min()
    assert lowest[True] >= 0 > lowest[False]


def test_without_a_ctf_nothing_is_flipped_and_the_particles_are_disabled(make_scene):
    rng = np.random.default_rng(0)
    scene = make_scene([rng.standard_normal((120, 120)) for _ in range(2)], [[(60, 60)], [(50, 60), (60, 50)]])
    ctfs = scene.ctfs.disable({2: "no rings"})
    protocol = Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, ctfs=ctfs, box_size=48, phase_flip=True)
    extracted = protocol.run(scene.job)
    out = extracted.particles
    assert out.items["enabled"].to_list() == [True, False, False]
    assert out.items["fail_reason"].to_list() == ["", NO_CTF, NO_CTF]
    assert out.items["id"].to_list() == scene.coordinates.items["id"].to_list() and out.items["defocus_u"].to_list() == [15e3, None, None]
    assert protocol.summary(extracted)["disabled, without CTF to flip by"] == 2
    assert all(panel.html() for panel in protocol.report(extracted))
    unflipped = Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, ctfs=ctfs, box_size=48).run(scene.job).particles
    assert len(unflipped) == 1 and unflipped.meta["left_out_by"] == {"micrograph without CTF": 2}


def test_what_lies_outside_or_across_the_border_is_counted(make_scene):
    """On micrographs of different shapes, one of which no coordinate fits."""
    rng = np.random.default_rng(0)
    images = [rng.standard_normal(shape) for shape in ((120, 200), (200, 120), (40, 40))]
    places = [[(60, 60), (199, 60), (-5, 60), (60, 500)], [(60, 150), (60, 60)], [(20, 20)]]
    scene = make_scene(images, places)
    out = extract(scene, box_size=64)
    assert out.items["id"].to_list() == [1 << 20, 2 << 20, (2 << 20) | 1]
    assert out.meta["left_out_by"] == {"box across the border": 2, "outside of the micrograph": 2}
    filled = extract(scene, box_size=64, fill_borders=True, **PLAIN)
    assert len(filled) == 5 and filled.meta["left_out_by"] == {"outside of the micrograph": 2}
    corner = read_particles(filled)[1]
    assert (corner[:, 33:] == corner[:, 33:34]).all()


def test_a_micrograph_that_cannot_be_read_costs_its_own_particles(make_scene):
    rng = np.random.default_rng(0)
    broken = rng.standard_normal((120, 120))
    broken[3, 3] = np.nan
    scene = make_scene([rng.standard_normal((120, 120)), broken], [[(60, 60)], [(60, 60), (50, 50)]])
    assert extract(scene, box_size=48).meta["left_out_by"] == {"micrograph failed": 2}
    disabled = Micrographs(scene.micrographs.items, scene.micrographs.root, optics=scene.micrographs.optics).disable({2: "bad"})
    out = Extract(coordinates=scene.coordinates, micrographs=disabled, box_size=48).run(scene.job).particles
    assert out.meta["left_out_by"] == {"micrograph disabled": 2}


def test_float16_halves_the_file(make_scene):
    rng = np.random.default_rng(0)
    scene = make_scene([rng.standard_normal((120, 120))], [[(60, 60), (50, 50)]])
    whole, half = (extract(scene, box_size=64, float16=each) for each in (False, True))
    stack = open_stack(half.file(half.items["stack_path"][0]), 1)
    assert stack.dtype == np.float16
    extract(scene, box_size=64)
    again = read_particles(whole)
    assert np.abs(stack.astype(np.float32) - again).max() < 2e-3 * np.abs(again).max()


def test_scores_tell_where_the_micrograph_is_uneven(make_scene):
    rng = np.random.default_rng(0)
    even, uneven = rng.standard_normal((300, 300)), rng.standard_normal((300, 300))
    uneven[:, 150:] *= 4
    even[10, 10] = 1e5
    scene = make_scene([even, uneven], [[(75, 150), (225, 150)]] * 2)
    table = extract(scene, box_size=40, scores=True).items
    variance, gini = (table[f"score_by_{name}"].to_list() for name in ("variance", "gini"))
    assert variance[1] / variance[0] == pytest.approx(1, abs=0.2) and variance[3] / variance[2] == pytest.approx(16, rel=0.3)
    assert gini[0] == gini[1] < 0.1 < 0.3 < gini[2] == gini[3]
    assert "score_by_gini" not in extract(scene, box_size=40).items.columns


def test_no_ctf_at_all_is_refused_and_a_set_without_one_is_told(make_scene):
    scene = make_scene([np.random.default_rng(0).standard_normal((120, 120))], [[(60, 60)]])
    hints = list(Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, box_size=48, phase_flip=True).check())
    assert [(hint.parameter, hint.error) for hint in hints] == [("phase_flip", True)]
    none = CTFs(scene.ctfs.items.filter(pl.lit(False)), scene.ctfs.root, optics=scene.ctfs.optics)
    with pytest.raises(Exception, match="none of 1 coordinates"):
        Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, ctfs=none, box_size=48).run(scene.job)


def test_relion_is_told_of_flipped_phases_and_given_float32(make_scene, tmp_path):
    rng = np.random.default_rng(0)
    scene = make_scene([rng.standard_normal((120, 120)) for _ in range(2)], [[(60, 60)], [(50, 60)]])
    ctfs = scene.ctfs.disable({2: "no rings"})
    protocol = Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, ctfs=ctfs, box_size=48, phase_flip=True, float16=True)
    export_relion(protocol.run(scene.job).particles, "particles", tmp_path / "out", related={})
    blocks = read_star(tmp_path / "out" / "particles.star")
    assert blocks["optics"]["rlnCtfDataArePhaseFlipped"].to_list() == [1]
    assert blocks["optics"]["rlnCtfDataAreCtfPremultiplied"].to_list() == [0]
    images = blocks["particles"]["rlnImageName"].to_list()
    assert len(images) == 1 and open_stack(tmp_path / "out" / images[0].partition("@")[2], 0).dtype == np.float32
