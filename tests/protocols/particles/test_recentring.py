"""Particles cut again at their centres: shifts, mirrors, the centre of mass of an average, a point of the map; and one particle picked twice."""

import numpy as np
import polars as pl
import pytest

from cryoloom.data import Classes2D
from cryoloom.formats.stack import read_particles, write_stack
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.particles.recentre import centre_of_mass
from cryoloom.protocols.particles.extract import Extract
from cryoloom.protocols.particles.remove_duplicates import RemoveDuplicates

PIXEL, BOX = 2.0, 64
PLAIN = {"remove_dust": False, "normalisation": "none", "box_size": BOX}


def extract(scene, particles=None, **values):
    protocol = Extract(coordinates=particles or scene.coordinates, micrographs=scene.micrographs, **PLAIN, **values)
    assert [hint for hint in protocol.check() if hint.error] == []
    return protocol.run(scene.job).particles


def centroid(image):
    y, x = np.indices(image.shape) - image.shape[0] // 2
    return np.array([(image * x).sum(), (image * y).sum()]) / image.sum()


def on_particles(out):
    """Return how far the spots lie from where the origins say, px, in the frame of the images."""
    mirror = np.where(out.items["flip"], -1, 1) if "flip" in out.items.columns else np.ones(len(out))
    origins = out.items.select("origin_x", "origin_y").to_numpy() * np.stack([mirror, np.ones(len(out))], axis=1)
    return np.array([centroid(image) for image in read_particles(out)]) + origins / PIXEL


@pytest.fixture
def off_centre(make_scene, spots):
    """Return a scene of two spots whose coordinates are off by some pixels, and how far, (x, y) px from coordinate to spot."""
    truth, off = [(150.2, 120.6), (260.7, 180.1)], np.array([(5.3, -7.6), (-4.4, 3.2)])
    return make_scene([spots((320, 420), truth, sigma=4.0)], [np.array(truth) - off], pixel_size=PIXEL), off


@pytest.mark.parametrize("mirrored", [False, True])
def test_shifts_bring_the_particle_to_the_centre(off_centre, mirrored):
    scene, off = off_centre
    first = extract(scene)
    # The shift that an alignment finds: what brings the spot to the middle, of the mirrored image if it was mirrored.
    needed = -np.array([centroid(image) for image in read_particles(first)]) * PIXEL * np.array([-1 if mirrored else 1, 1])
    aligned = first.with_columns(
        pl.DataFrame({"id": first.ids(), "origin_x": needed[:, 0], "origin_y": needed[:, 1], "flip": [mirrored] * 2, "psi": [30.0, 60.0]})
    )
    again = extract(scene, aligned)
    assert again.ids().to_list() == first.ids().to_list() and again.items["psi"].to_list() == [30.0, 60.0]
    assert np.abs(on_particles(again)).max() < 1e-3
    assert np.abs(again.items.select("origin_x", "origin_y").to_numpy()).max() <= 0.501 * PIXEL
    kept = extract(scene, aligned, recentre=False)
    assert kept.items["x"].to_list() == first.items["x"].to_list()
    assert np.abs(on_particles(kept)).max() < 1e-3


def test_the_centre_of_mass_of_an_average(make_scene, spots):
    """Two spots, a strong one off the centre of the average, seen in images turned by psi."""
    offset = np.array([8.0, -5.0])  # px, in the average
    angles = np.array([0.0, 40.0, -100.0, 170.0])
    centres = np.array([(100.0, 100.0), (300.0, 100.0), (100.0, 300.0), (300.0, 300.0)])
    turned = euler_to_matrix(0 * angles, 0 * angles, angles)[:, :2, :2] @ offset
    scene = make_scene([spots((400, 400), centres + turned, sigma=4.0)], [centres], pixel_size=PIXEL)
    average = spots((BOX, BOX), [BOX // 2 + offset], sigma=4.0, height=1.0).astype(np.float32)
    write_stack(scene.micrographs.root / "averages.mrcs", average[None], PIXEL)
    table = pl.DataFrame({"id": [1], "class_id": [1], "stack_path": ["averages.mrcs"], "stack_index": [0], "count": [4]})
    classes = Classes2D(table, scene.micrographs.root, meta={"pixel_size": PIXEL})
    first = extract(scene)
    aligned = first.with_columns(pl.DataFrame({"id": first.ids(), "class_id": [1, 1, 1, 2], "psi": angles}))
    again = extract(scene, aligned, classes=classes)
    away = np.linalg.norm([centroid(image) for image in read_particles(again)], axis=1)
    assert away[:3].max() < 0.75 and away[3] == pytest.approx(np.hypot(*offset), abs=0.1)  # the last is of no class here
    refused = Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, classes=classes, **PLAIN)
    assert [hint.parameter for hint in refused.check()] == ["classes"]


def test_a_point_of_the_map(make_scene, spots):
    """A subunit 20 Å from the centre of the map, seen from four sides."""
    point = np.array([12.0, -4.0, 15.5])
    angles = np.array([(0, 0, 0), (30, 50, 70), (200, 110, -40), (90, 90, 0)], float)
    centres = np.array([(100.0, 100.0), (300.0, 100.0), (100.0, 300.0), (300.0, 300.0)])
    projected = (euler_to_matrix(*angles.T) @ point)[:, :2] / PIXEL
    scene = make_scene([spots((400, 400), centres + projected, sigma=4.0)], [centres], pixel_size=PIXEL)
    first = extract(scene)
    poses = {name: angles[:, axis] for axis, name in enumerate(("rot", "tilt", "psi"))}
    again = extract(scene, first.with_columns(pl.DataFrame({"id": first.ids(), **poses})), centre=tuple(point))
    assert np.abs(on_particles(again)).max() < 1e-3
    refused = Extract(coordinates=scene.coordinates, micrographs=scene.micrographs, centre=(1, 2, 3), recentre=False, **PLAIN)
    assert [hint.parameter for hint in refused.check()] == ["centre", "recentre"]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_centre_of_mass_does_not_follow_noise_or_a_dark_rim(noise):
    y, x = np.indices((96, 96)) - 48.0
    distance = np.hypot(x - 6.0, y + 9.0)
    image = np.exp(-((distance / 14) ** 2)) - 0.3 * np.exp(-(((distance - 30) / 6) ** 2))
    found = centre_of_mass((image + noise * np.random.default_rng(0).standard_normal(image.shape)).astype(np.float32))
    assert found == pytest.approx([6.0, -9.0], abs=0.3)
    assert centre_of_mass(np.zeros((32, 32), np.float32)).tolist() == [0, 0]


def test_one_particle_picked_twice_is_kept_once_after_alignment(make_scene, spots):
    """Two picks 16 px apart that alignment brought onto one spot; a neighbour stays, and so does the same place on another micrograph."""
    truth = [(150.0, 120.0), (260.0, 180.0)]
    image = spots((320, 420), truth, sigma=4.0)
    scene = make_scene([image, image], [[(142.0, 120.0), (158.0, 120.0), truth[1]], [(142.0, 120.0)]], pixel_size=PIXEL)
    first = extract(scene)
    shifts = -np.array([centroid(each) for each in read_particles(first)]) * PIXEL
    quality = {"match": [0.4, 0.8, 0.1, 0.4]}
    aligned = first.with_columns(pl.DataFrame({"id": first.ids(), "origin_x": shifts[:, 0], "origin_y": shifts[:, 1], **quality}))
    ids = first.ids().to_list()
    protocol = RemoveDuplicates(items=aligned, min_separation=10.0)
    out = protocol.run(scene.job)
    assert out.particles.ids().to_list() == ids[1:] and out.duplicates.ids().to_list() == ids[:1]
    assert protocol.summary(out)["duplicates removed"] == 1 and protocol.preview() == {"kept": 3, "of": 4}
    assert protocol.report(out)[0].html() and "match" in protocol.methods(out)
    worst = RemoveDuplicates(items=aligned, min_separation=10.0, prefer="match", smallest=True).run(scene.job)
    assert worst.particles.ids().to_list() == [ids[0], *ids[2:]]
    assert RemoveDuplicates(items=first, min_separation=10.0).run(scene.job).duplicates is None  # not aligned: 32 Å apart
    picks = RemoveDuplicates(items=scene.coordinates, min_separation=33.0).run(scene.job)
    assert picks.coordinates.ids().to_list() == [ids[0], *ids[2:]] and picks.particles is None
    again = extract(scene, out.particles)
    assert len(again) == 3 and np.abs(on_particles(again)).max() < 1e-3


def test_a_column_that_is_not_there_is_named(make_scene):
    scene = make_scene([np.zeros((50, 50))], [[(20, 20)]])
    for name, words in (("quality", "names no column"), ("micrograph_name", "no numbers")):
        assert words in next(RemoveDuplicates(items=scene.coordinates, prefer=name).check()).message
