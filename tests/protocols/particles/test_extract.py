"""particles.extract on micrographs with impulses at known places."""

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Coordinates, CTFs, Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import read_particles
from cryoloom.protocols.particles.extract import Extract

PIXEL = 2.0


@pytest.fixture
def scene(tmp_path):
    """Two micrographs of 300 × 400 with dark Gaussian spots at known sub-pixel places, and one without a CTF."""
    rng = np.random.default_rng(0)
    rows, spots = [], []
    for number in (1, 2, 3):
        image = rng.normal(100, 1, (300, 400)).astype(np.float32)
        y, x = np.indices(image.shape)
        for index, (cx, cy) in enumerate([(100.3, 90.7), (250.5, 200.25), (395.0, 150.0), (60.0, 240.0)]):
            image -= 60 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 3.0**2)).astype(np.float32)
            spots.append({"id": (number << 20) | index, "micrograph_id": number, "micrograph_name": f"m{number}", "x": cx, "y": cy})
        path = tmp_path / f"m{number}.mrc"
        write_mrc(path, image, PIXEL)
        rows.append(
            {
                "id": number,
                "micrograph_name": f"m{number}",
                "micrograph_path": path.name,
                "weighted_path": None,
                "width": 400,
                "height": 300,
            }
        )
    optics = [{"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
    frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    micrographs = Micrographs(frame, tmp_path, optics=optics)
    points = pl.DataFrame(spots).with_columns(score=pl.lit(0.5), optics_group=pl.lit(1, pl.Int64))
    coordinates = Coordinates(points, tmp_path, optics=optics, meta={"diameter": 40.0})
    ctf = {"id": [1, 2, 3], "micrograph_id": [1, 2, 3], "defocus_u": [15e3] * 3, "defocus_v": [14e3] * 3, "defocus_angle": [10.0] * 3}
    ctfs = CTFs(pl.DataFrame({**ctf, "phase_shift": [0.0] * 3}), tmp_path, optics=optics).disable({3: "no rings"})
    return micrographs, coordinates, ctfs, PlainJob(tmp_path / "runs" / "r009", tmp_path, seed=3)


def centre_of(image):
    weight = np.clip(image - 4, 0, None)
    y, x = np.indices(image.shape)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 3.0])
def test_origins_bring_the_spots_to_the_centre(scene, factor):
    micrographs, coordinates, ctfs, job = scene
    box = 2 * round(48 / factor / 2)
    out = (
        Extract(coordinates=coordinates, micrographs=micrographs, ctfs=ctfs, box_size=box, bin=factor, remove_dust=False).run(job).particles
    )
    size = out.optics[0]["pixel_size"]
    assert size == pytest.approx(PIXEL * factor, rel=1e-6)
    assert out.items["id"].to_list() == [(m << 20) | i for m in (1, 2) for i in (0, 1, 3)]  # one at the border, one micrograph without CTF
    images = read_particles(out)
    assert images.shape == (6, box, box)
    for image, row in zip(images, out.items.iter_rows(named=True), strict=True):
        found = centre_of(image) - box // 2
        assert np.abs(found + np.array([row["origin_x"], row["origin_y"]]) / size).max() < 0.08
        assert abs(row["origin_x"]) <= 0.501 * size and image[box // 2, box // 2] > 4
    true = coordinates.items.filter(pl.col("id").is_in(out.items["id"].implode()))
    rebuilt = out.items["x"] - out.items["origin_x"] / PIXEL
    assert np.allclose(rebuilt, true["x"], atol=1e-6)
    assert out.items["defocus_u"].to_list() == [15e3] * 6 and job.warnings


def test_extracting_again_keeps_ids_poses_and_centres(scene):
    micrographs, coordinates, ctfs, job = scene
    small = Extract(coordinates=coordinates, micrographs=micrographs, ctfs=ctfs, box_size=24, bin=2.0).run(job).particles
    # A classification that says: the particle is 3.2 Å further left and 1.1 Å further down than the centre of its box.
    moved = small.with_columns(
        small.items.select("id", origin_x=pl.col("origin_x") + 3.2, origin_y=pl.col("origin_y") - 1.1, psi=pl.lit(30.0))
    )
    moved = moved.with_columns(moved.items.select("id"), optics=[{**moved.optics[0], "beam_tilt_x": 0.4}])
    large = Extract(coordinates=moved, micrographs=micrographs, ctfs=ctfs, box_size=48).run(job).particles
    assert large.optics[0]["beam_tilt_x"] == 0.4 and "beam_tilt_x" not in small.optics[0]
    assert large.items["id"].to_list() == small.items["id"].to_list()
    assert large.items["psi"].to_list() == [30.0] * 6
    for axis, step in (("x", 3.2), ("y", -1.1)):
        before = small.items[axis] - small.items[f"origin_{axis}"] / PIXEL
        after = large.items[axis] - large.items[f"origin_{axis}"] / PIXEL
        assert np.allclose(after - before, -step / PIXEL, atol=1e-6)


def test_borders_contrast_and_flags(scene):
    micrographs, coordinates, ctfs, job = scene
    options = {"fill_borders": True, "phase_flip": True, "invert": False}
    out = Extract(coordinates=coordinates, micrographs=micrographs, ctfs=ctfs, box_size=48, **options).run(job).particles
    assert len(out) == 12 and len(out.enabled()) == 8
    assert out.optics[0]["phase_flipped"] is True and out.optics[0]["contrast"] == "dark"


def test_no_box_inside_says_so(scene):
    micrographs, coordinates, ctfs, job = scene
    with pytest.raises(Exception, match="none of 12 coordinates"):
        Extract(coordinates=coordinates, micrographs=micrographs, ctfs=ctfs, box_size=600).run(job)


def test_hints(scene):
    micrographs, coordinates, _, _ = scene
    hints = list(Extract(coordinates=coordinates, micrographs=micrographs, box_size=32, phase_flip=True, background_radius=20).check())
    assert [hint.parameter for hint in hints] == ["phase_flip", "background_radius"]
