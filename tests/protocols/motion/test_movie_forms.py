"""motion.correlation on one movie in many forms, and on movies nothing can be done with."""

import numpy as np
import polars as pl
import pytest
from scipy.ndimage import gaussian_filter

from cryoloom.app.session import create_project
from cryoloom.data import Coordinates
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.relion import export_relion
from cryoloom.formats.star import read_star
from cryoloom.formats.tiff import write_tiff
from cryoloom.spec import CryoloomError

FRAMES, SHAPE = 6, (288, 320)
PATH = np.array([[0, 0], [2, -1], [4, -2], [5, -3], [6, -3], [6, -4]])


def counts(seed=0):
    """A specimen that moves by whole pixels along `PATH`, about 6 electrons a pixel, and a hot pixel."""
    rng = np.random.default_rng(seed)
    specimen = gaussian_filter(rng.normal(size=(SHAPE[0] + 20, SHAPE[1] + 20)), 1.5)
    specimen = 1 + 0.15 * specimen / specimen.std()
    views = [specimen[10 - y : 10 - y + SHAPE[0], 10 - x : 10 - x + SHAPE[1]] for x, y in PATH]
    movie = np.stack([rng.poisson(6.0 * view.clip(0.02)) for view in views])
    movie[:, 100, 57] = 110
    return movie


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    """Forms of one movie, and others that are broken, in one project."""
    folder = tmp_path_factory.mktemp("forms")
    movie = counts()
    for mode, kind in ((0, np.int8), (1, np.int16), (2, np.float32), (6, np.uint16), (12, np.float16)):
        write_mrc(folder / f"mode{mode}.mrcs", movie.astype(kind), 1.5, mode=mode, stack=True)
    write_tiff(folder / "lzw.tif", movie.astype(np.uint8))
    broken = movie.astype(np.float32)
    write_mrc(folder / "single.mrcs", broken[:1], 1.5, stack=True)
    write_mrc(folder / "long.mrcs", np.concatenate([broken, broken[-1:]]), 1.5, stack=True)
    broken[3, 20:30, 20:30] = np.nan
    write_mrc(folder / "nan.mrcs", broken, 1.5, stack=True)
    broken[3] = 5.0
    write_mrc(folder / "even.mrcs", broken, 1.5, stack=True)
    project = create_project(folder / "project")
    return project, project.run("import.movies", pattern=str(folder / "*.*"), pixel_size=1.5, voltage=300, cs=2.7).outputs.movies


@pytest.fixture(scope="module")
def aligned(movies):
    project, imported = movies
    return project.run("motion.correlation", movies=imported, threads=2).outputs.micrographs


def row_of(micrographs, name):
    return micrographs.items.filter(micrographs.items["micrograph_name"] == name).row(0, named=True)


def test_a_movie_gives_the_same_micrograph_in_every_format(aligned):
    rows = [row_of(aligned, name) for name in ("mode0", "mode1", "mode2", "mode6", "mode12", "lzw")]
    images = [read_mrc(aligned.file(row["micrograph_path"])).data for row in rows]
    for image in images[1:]:
        np.testing.assert_allclose(image, images[0], rtol=1e-6, atol=1e-6)
    found = -np.array([rows[0]["shift_x"], rows[0]["shift_y"]]).T
    assert np.sqrt(np.mean((found - found.mean(0) - PATH + PATH.mean(0)) ** 2, axis=0)).max() < 0.12
    assert rows[0]["bad_pixels"] == 1


def test_broken_movies_are_rows_with_a_reason_and_a_single_frame_stays_as_it_is(movies, aligned):
    nan, even, single = (row_of(aligned, name) for name in ("nan", "even", "single"))
    assert not nan["enabled"] and "frame 4: 100 pixels are not numbers" in nan["fail_reason"]
    assert not even["enabled"] and "frame 4 is constant" in even["fail_reason"]
    assert single["enabled"] and single["shift_x"] == [0.0] and single["motion_total"] == 0.0
    recorded = counts()[0].astype(np.float32)
    good = np.ones(SHAPE, dtype=bool)
    good[100, 57] = False
    np.testing.assert_allclose(read_mrc(aligned.file(single["micrograph_path"])).data[good], recorded[good], atol=1e-4)


def test_frames_that_a_movie_lacks_fail_it_and_those_no_movie_has_are_refused_at_once(movies):
    project, imported = movies
    for wrong in ({"last_frame": 8}, {"first_frame": 8}, {"dose_weighting": "yes"}, {"crop_width": 64}, {"use_alignment": "yes"}):
        with pytest.raises(CryoloomError):
            project.run("motion.correlation", movies=imported, **wrong)


def test_ranges_a_region_groups_halves_and_an_earlier_alignment(movies, aligned):
    project, imported = movies
    settings = {"first_frame": 2, "last_frame": 7, "sum_range": "chosen", "first_summed": 3, "last_summed": 6}
    settings |= {"crop_x": 16, "crop_y": 8, "crop_width": 288, "crop_height": 272, "group_size": 2, "halves": True}
    run = project.run("motion.correlation", movies=imported, alignment=aligned, threads=1, **settings)
    micrographs = run.outputs.micrographs
    assert "has 6 frames" in row_of(micrographs, "mode1")["fail_reason"]
    row = row_of(micrographs, "long")
    assert (row["width"], row["height"], row["first_frame"], len(row["shift_x"])) == (288, 272, 2, 6)
    plain, odd, even = (read_mrc(micrographs.file(row[f"{name}_path"])).data for name in ("micrograph", "odd", "even"))
    np.testing.assert_allclose((odd + even) / 2, plain, atol=1e-3)
    assert row["weighted_path"] is None
    # Frame 2 is the first, so its own place is that of the sum: whole pixels, laid on each other by truth.
    path = PATH[[2, 3, 4, 5]] - PATH[1]
    movie = counts()[2:6]
    true = np.mean([np.roll(frame, (-y, -x), (0, 1)) for frame, (x, y) in zip(movie, path, strict=True)], axis=0)[8:280, 16:304]
    seen, wanted = (gaussian_filter(image, 1.5)[12:-12, 12:-12].ravel() for image in (plain, true))
    assert np.corrcoef(seen, wanted)[0, 1] > 0.95


def test_places_on_a_region_are_those_of_the_export_and_its_motion_is_not_told(movies, aligned, tmp_path):
    """What is brightest in the sum of a region lies, as RELION reads the export, where it is in the sum that is exported."""
    project, imported = movies
    settings = {"crop_x": 40, "crop_y": 24, "crop_width": 240, "crop_height": 240, "bin_factor": 2}
    region = project.run("motion.correlation", movies=imported, patches=1, threads=1, **settings).outputs.micrographs.dataset
    whole, part = row_of(aligned, "long"), row_of(region, "long")
    size = aligned.optics[0]["pixel_size"]
    assert (region.optics[0]["offset_x"], region.optics[0]["offset_y"]) == (40 * size, 24 * size)
    full, cut = (read_mrc(of.file(row["micrograph_path"])).data for of, row in ((aligned, whole), (region, part)))
    y, x = np.unravel_index(np.argmax(gaussian_filter(cut, 1.5)[20:-20, 20:-20]), (80, 80))
    place = {"id": 1, "micrograph_id": part["id"], "micrograph_name": "long", "x": x + 20.0, "y": y + 20.0, "score": 1.0, "optics_group": 1}
    picks = Coordinates(pl.DataFrame({**place, "enabled": True, "fail_reason": ""}), tmp_path, optics=region.optics)

    def exported(micrographs):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for each in (micrographs, picks):
            export_relion(each, "all", folder, related={"micrographs": micrographs, "movies": imported.dataset})
        row = read_star(folder / "autopick/micrographs/long_autopick.star")[""].row(0, named=True)
        motion = read_star(folder / "corrected_micrographs.star")["micrographs"]
        return row["rlnCoordinateX"], row["rlnCoordinateY"], "rlnMicrographMetadata" in motion.columns

    assert exported(region) == (x + 20.0, y + 20.0, False)
    assert exported(aligned.dataset) == (2 * (x + 20.0) + 40, 2 * (y + 20.0) + 24, True)
    box = gaussian_filter(full, 3.0)[2 * y + 64 - 8 : 2 * y + 64 + 9, 2 * x + 80 - 8 : 2 * x + 80 + 9]
    assert np.abs(np.array(np.unravel_index(np.argmax(box), box.shape)) - 8).max() <= 2
