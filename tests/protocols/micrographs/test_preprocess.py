"""micrographs.preprocess: sizes, places and grey values against what the table of operations says."""

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob
from pydantic import ValidationError

from cryoloom.data import Coordinates, CTFs, Micrographs
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.protocols.micrographs.preprocess import Preprocess
from cryoloom.protocols.particles.extract import Extract
from cryoloom.protocols.sets.subset import Subset

PIXEL, SHAPE = 1.34, (400, 520)
RNG = np.random.default_rng(1)


@pytest.fixture
def job(tmp_path):
    return PlainJob(tmp_path / "run", tmp_path)


@pytest.fixture
def micrographs(tmp_path):
    """Return a maker of sets from images, the dose-weighted sums beside the others where they are given; ids from 7."""

    def make(*images, weighted=(), **group):
        rows = []
        for number, image in enumerate(images, 7):
            row = {"id": number, "micrograph_name": f"m{number}", "micrograph_path": f"m{number}.mrc", "weighted_path": None}
            write_mrc(tmp_path / row["micrograph_path"], image, PIXEL)
            if weighted:
                row["weighted_path"] = f"m{number}_DW.mrc"
                write_mrc(tmp_path / row["weighted_path"], weighted[number - 7], PIXEL)
            rows.append({**row, "psd_path": "p.mrc", "width": image.shape[1], "height": image.shape[0]})
        frame = pl.DataFrame(rows, schema_overrides={"weighted_path": pl.String})
        frame = frame.with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""), motion_total=pl.lit(3.0))
        optics = {"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.0, "amplitude_contrast": 0.1}
        return Micrographs(frame, tmp_path, optics=[{**optics, **group}], meta={"binning": 1.0})

    return make


def noise(shape=SHAPE):
    return RNG.normal(100, 5, shape).astype(np.float32)


def images_of(out):
    return [read_mrc(out.file(path)).data for path in out.items["micrograph_path"]]


def test_the_textbook_run_halves_the_size_and_takes_bad_pixels(job, micrographs):
    image = noise()
    image[30, 40] = 1e6
    out = Preprocess(micrographs=micrographs(image, noise()), remove_bad_pixels=True, downsample=True).run(job).micrographs
    assert out.items["id"].to_list() == [7, 8] and out.items["micrograph_name"].to_list() == ["m7", "m8"]
    assert out.items.select("width", "height").unique().rows() == [(260, 200)]
    assert out.optics[0]["pixel_size"] == 2 * PIXEL and out.meta == {"binning": 1.0}
    assert out.items["motion_total"].to_list() == [3.0, 3.0] and "psd_path" not in out.items.columns
    assert out.items["replaced_pixels"][0] >= 1 and max(out.items["replaced_pixels"]) < 5
    for found in images_of(out):
        assert found.shape == (200, 260) and found.max() < 130 and found.mean() == pytest.approx(100, rel=1e-3)
    assert read_mrc(out.file(out.items["micrograph_path"][0])).pixel_size == pytest.approx(2 * PIXEL)
    assert out.items["weighted_path"].to_list() == [None, None] and out.items["enabled"].all()


def test_both_sums_are_treated(job, micrographs):
    image, weighted = noise(), noise() + 50
    out = Preprocess(micrographs=micrographs(image, weighted=[weighted]), bin_factor=4).run(job).micrographs
    row = out.items.row(0, named=True)
    assert [round(read_mrc(out.file(row[name])).data.mean()) for name in ("micrograph_path", "weighted_path")] == [100, 150]
    assert row["micrograph_path"] != row["weighted_path"]


@pytest.mark.parametrize("factor", [1.0, 1.37, 2.0, 3.0, 7.77])
def test_the_pixel_size_is_that_of_the_pixels(job, micrographs, factor):
    y, x = np.indices((501, 640))
    image = np.exp(-((x - 300.0) ** 2 + (y - 250.0) ** 2) / (2 * 25.0**2)).astype(np.float32)
    out = Preprocess(micrographs=micrographs(image), bin_factor=factor, crop_pixels=15).run(job).micrographs
    (found,), group = images_of(out), out.optics[0]
    assert abs(group["pixel_size"] / PIXEL / factor - 1) <= 1e-4
    assert (out.items["width"][0], out.items["height"][0]) == found.shape[::-1]
    assert found.shape == tuple(int((side - 30) * PIXEL / group["pixel_size"] + 1e-9) for side in image.shape)
    assert (group["offset_x"], group["offset_y"]) == (15 * PIXEL, 15 * PIXEL)
    rows, columns = np.indices(found.shape)
    weight = np.clip(found, 0.1, None) - 0.1
    for axis, true in ((columns, 300), (rows, 250)):
        place = float((weight * axis).sum(dtype=np.float64) / weight.sum(dtype=np.float64)) * group["pixel_size"]
        assert (place + 15 * PIXEL) / PIXEL == pytest.approx(true, abs=0.03)


def test_operations_go_in_the_order_of_the_table(job, micrographs):
    """Bad pixels are judged after the logarithm, which inverts; the filters see the inverted and smaller image; the mean is taken last."""
    from cryoloom.numerics.fourier.ratios import exact_ratio
    from cryoloom.numerics.micrographs.bands import Band, Edge, resized
    from cryoloom.numerics.micrographs.pixels import bad_pixels, normalised, replace_pixels
    from cryoloom.numerics.micrographs.variation import denoise

    image = np.exp(RNG.normal(3, 0.3, SHAPE)).astype(np.float32)
    image[:9] = 1e5  # would be outliers, and is cropped
    image[200, 200] = 1e-4  # an outlier of the logarithm only
    every = {
        "crop_pixels": 10, "log_a": 2.0, "log_b": 0.5, "log_c": 1e-5, "bad_sigmas": 6.0, "invert": True, "bin_factor": 1.5, "max_iterations": 20,
        "smooth_sigma": 0.8, "high_cutoff": 0.01, "low_cutoff": 0.3, "normalise": True,
    }  # fmt: skip
    out = Preprocess(micrographs=micrographs(image), **every).run(job).micrographs
    expected = 2.0 - 0.5 * np.log(image[10:-10, 10:-10] + np.float32(1e-5))
    bad = bad_pixels(expected, 6.0)
    assert np.argwhere(bad).tolist() == [[190, 190]]
    expected = resized(-replace_pixels(expected, bad), exact_ratio(1.5), Band())
    expected, _ = denoise(expected, 20)
    expected = resized(expected, exact_ratio(1), Band(0.8, Edge(0.01, 0.001), Edge(0.3, 0.001)))
    expected, _ = normalised(expected)
    assert np.abs(images_of(out)[0] - expected).max() < 1e-4
    assert out.items["replaced_pixels"].to_list() == [1] and out.optics[0]["contrast"] == "bright"
    assert "Protein is bright" in job.warnings[0]


def test_a_value_given_alone_turns_its_operation_on(micrographs):
    made = Preprocess(micrographs=micrographs(noise()), bin_factor=3, low_width=0.01)
    assert made.downsample and made.low_pass and not (made.crop or made.high_pass or made.denoise)
    assert not Preprocess(micrographs=micrographs(noise()), bin_factor=3, downsample=False, invert=True).downsample
    again = Preprocess(micrographs=made.micrographs, **made.parameter_values())
    assert again.parameter_values() == made.parameter_values()


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, ["downsample"]),
        ({"crop_pixels": 200}, ["crop_pixels"]),
        ({"high_cutoff": 0.3, "low_cutoff": 0.2}, ["low_cutoff"]),
        ({"invert": True}, []),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_run(micrographs, values, wrong):
    hints = list(Preprocess(micrographs=micrographs(noise()), **values).check())
    assert [hint.parameter for hint in hints if hint.error] == wrong


@pytest.mark.parametrize("values", [{"bin_factor": 0.9}, {"crop_pixels": -1}, {"bad_sigmas": 0}, {"smooth_sigma": 0}, {"high_cutoff": 0.7}])
def test_values_out_of_bounds_are_refused(micrographs, values):
    with pytest.raises(ValidationError):
        Preprocess(micrographs=micrographs(noise()), **values)


def test_bad_micrographs_cost_themselves_only(job, micrographs):
    spoilt, constant = noise(), np.full(SHAPE, 4, np.float32)
    spoilt[3, 4] = np.nan
    out = (
        Preprocess(micrographs=micrographs(noise(), spoilt, constant, noise((30, 30))), crop_pixels=15, normalise=True).run(job).micrographs
    )
    assert out.items["enabled"].to_list() == [True, False, True, False]
    assert "1 pixels are not numbers" in out.items["fail_reason"][1]
    assert "15 px cropped at each side leave nothing of 30 × 30 px" in out.items["fail_reason"][3]
    assert not read_mrc(out.file(out.items["micrograph_path"][2])).data.any()
    assert any("1 micrographs are the same everywhere" in warning for warning in job.warnings)
    negative = noise() - 1000
    negative[0, :2] = 50
    out = Preprocess(micrographs=micrographs(negative), logarithm=True).run(job).micrographs
    assert any(f"{negative.size - 2} pixels were 0 or below" in warning for warning in job.warnings)


def test_picks_and_ctfs_belong_to_the_originals_too(job, micrographs, tmp_path):
    """What is picked on cropped and smaller micrographs is cut from the originals at its place, with the CTF of the originals; and back."""
    image, (y, x) = noise() * 0.01, np.indices(SHAPE)
    spots = [(150.0, 120.0), (301.4, 250.7)]
    for cx, cy in spots:
        image -= 60 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 3.0**2)).astype(np.float32)
    originals = micrographs(image)
    small = Preprocess(micrographs=originals, crop_pixels=21, bin_factor=2.5).run(job).micrographs
    ratio = small.optics[0]["pixel_size"] / PIXEL
    rows = [{"id": (7 << 20) + number, "x": (cx - 21) / ratio, "y": (cy - 21) / ratio} for number, (cx, cy) in enumerate(spots)]
    points = pl.DataFrame(rows).with_columns(
        micrograph_id=pl.lit(7), micrograph_name=pl.lit("m7"), score=pl.lit(1.0), optics_group=pl.lit(1)
    )
    picks = Coordinates(points, tmp_path, optics=small.optics, meta={"diameter": 20.0})
    ctf = {"id": [7], "micrograph_id": [7], "defocus_u": [15e3], "defocus_v": [14e3], "defocus_angle": [10.0], "phase_shift": [0.0]}
    ctfs = CTFs(pl.DataFrame(ctf), tmp_path, optics=originals.optics)

    def off(particles):
        rows = particles.items.iter_rows(named=True)
        places = [[row[axis] - row[f"origin_{axis}"] / particles.optics[0]["micrograph_pixel_size"] for axis in "xy"] for row in rows]
        return np.abs(np.array(places) - spots).max()

    large = Extract(coordinates=picks, micrographs=originals, ctfs=ctfs, box_size=40, remove_dust=False).run(job).particles
    assert large.optics[0]["pixel_size"] == PIXEL and large.items["defocus_u"].to_list() == [15e3] * 2
    assert off(large) < 1e-6
    stack = read_mrc(large.file(large.items["stack_path"][0])).data
    assert all(np.unravel_index(box.argmax(), box.shape) == (20, 20) for box in stack)
    # Ids are the same particles' although their places are counted from another pixel.
    rows = large.items.select("id", "micrograph_id", "micrograph_name", "x", "y", "optics_group", score=pl.lit(1.0))
    others = Coordinates(rows, tmp_path, optics=originals.optics)
    near = Subset(items=picks, others=(others,), match="position", radius=2.0)
    assert not list(near.check()) and near.preview()["kept"] == 2
    assert not [hint for hint in Subset(items=picks, others=(others,)).check() if hint.error]
    # The other way: from particles of the originals to the small micrographs, whose own CTFs are the originals'.
    again = Extract(coordinates=large, micrographs=small, ctfs=ctfs, box_size=20, remove_dust=False).run(job).particles
    stack = read_mrc(again.file(again.items["stack_path"][0])).data
    assert all(np.hypot(*(np.array(np.unravel_index(box.argmax(), box.shape)) - 10)) <= 1 for box in stack)
    back = Extract(coordinates=again, micrographs=originals, box_size=40).run(job).particles
    assert off(back) < 1e-6


def test_inverted_micrographs_say_so_and_particles_know_it(job, micrographs):
    inverted = Preprocess(micrographs=micrographs(noise()), invert=True).run(job).micrographs
    assert inverted.optics[0]["contrast"] == "bright" and images_of(inverted)[0].mean() == pytest.approx(-100, rel=1e-2)
    point = {
        "id": [7 << 20],
        "micrograph_id": [7],
        "micrograph_name": ["m7"],
        "x": [200.0],
        "y": [200.0],
        "score": [1.0],
        "optics_group": [1],
    }
    picks = Coordinates(pl.DataFrame(point), job.root, optics=inverted.optics)
    extract = Extract(coordinates=picks, micrographs=inverted, box_size=32)
    assert [hint.parameter for hint in extract.check()] == ["invert"]
    assert extract.run(job).particles.optics[0]["contrast"] == "dark"
    assert Extract(coordinates=picks, micrographs=inverted, box_size=32, invert=False).run(job).particles.optics[0]["contrast"] == "bright"
    again = Preprocess(micrographs=inverted, invert=True).run(job).micrographs
    assert again.optics[0]["contrast"] == "dark"


def test_preview_report_and_words(job, micrographs):
    image = noise()
    image[30, 40] = 1e6
    protocol = Preprocess(micrographs=micrographs(image), bad_sigmas=5, bin_factor=2)
    assert protocol.preview()["factor 2"] == "2.68 Å/px, to 5.36 Å, 260 × 200 px"
    assert protocol.preview()["factor 3"].startswith("4.02 Å/px")
    out = protocol.run(job)
    summary = protocol.summary(out)
    assert summary["size (px)"] == "260 × 200" and summary["done"] == "pixels beyond 5 σ replaced, downsampled by 2"
    assert "2.68 Å/px" in protocol.methods(out)
    panels = protocol.report(out)
    assert [panel.title for panel in panels] == ["m7 before and after", "Before", "After", "Replaced pixels", "Micrographs"]
    assert (40, 30) in zip(panels[3].x, panels[3].y, strict=True)
    assert all(panel.html() for panel in panels)
