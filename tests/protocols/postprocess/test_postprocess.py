"""postprocess.mask and postprocess.sharpen on half maps whose signal is known, and against relion_postprocess."""

import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.filters.maps import lowpass, multiply_shells
from cryoloom.protocols.postprocess.mask import CreateMask
from cryoloom.protocols.postprocess.sharpen import Sharpen
from cryoloom.spec import Failure

BOX, PIXEL = 64, 2.0


def blobs(seed=0, count=400, b_factor=80.0):
    """A chain of blobs inside 22 voxels: the truth."""
    rng = np.random.default_rng(seed)
    volume = np.zeros((BOX, BOX, BOX), np.float32)
    points = rng.normal(0, 8, (count, 3))
    points = points[np.linalg.norm(points, axis=1) < 20] + BOX // 2
    for z, y, x in np.rint(points).astype(int):
        volume[z, y, x] += 1.0
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL)
    return multiply_shells(volume, np.exp(-b_factor * frequency**2 / 4)) * 10


def half_maps(root, noise=0.35):
    truth = blobs()
    rng = np.random.default_rng(7)
    folder = root / "maps"
    folder.mkdir()
    paths = {}
    halves = [truth + noise * rng.standard_normal(truth.shape).astype(np.float32) for _ in range(2)]
    for name, data in (
        ("volume_path", lowpass((halves[0] + halves[1]) / 2, PIXEL, 6.0)),
        ("half_map1_path", halves[0]),
        ("half_map2_path", halves[1]),
    ):
        path = folder / {"volume_path": "map.mrc", "half_map1_path": "map_half1_unfil.mrc", "half_map2_path": "map_half2_unfil.mrc"}[name]
        write_mrc(path, data, PIXEL, volume=True)
        paths[name] = [path.relative_to(root).as_posix()]
    return Volume(pl.DataFrame({"id": [1], "box_size": [BOX], **paths}), root, meta={"pixel_size": PIXEL}), truth


@pytest.fixture
def chain(tmp_path):
    volume, truth = half_maps(tmp_path)
    job = PlainJob(tmp_path / "runs" / "r001", tmp_path)
    protocol = CreateMask(volume=volume)
    masked = protocol.run(job)
    return volume, truth, job, masked


def test_the_mask_holds_the_particle_and_leaves_the_corners(chain):
    _, truth, job, masked = chain
    mask = read_mrc(masked.mask.file(masked.mask.items["mask_path"][0])).data
    assert (mask * truth**2).sum() > 0.95 * (truth**2).sum()
    assert mask[:8, :8, :8].max() == 0.0 and mask.mean() < 0.5
    assert not job.warnings
    assert masked.mask.items["mass_kda"][0] > 0


def test_a_sphere_less_the_particle_is_the_solvent_around_it(chain):
    volume, truth, job, masked = chain
    protocol = CreateMask(volume=volume, shape="sphere", diameter=100.0, other=masked.mask, operation="and-not")
    out = protocol.run(job)
    solvent = read_mrc(out.mask.file(out.mask.items["mask_path"][0])).data
    assert (solvent * truth**2).sum() < 0.05 * (truth**2).sum()
    assert solvent.max() == 1.0 and solvent[0, 0, 0] == 0.0
    assert "threshold" not in protocol.summary(out)
    inside = CreateMask(volume=volume, invert=True).run(job).mask
    assert read_mrc(inside.file(inside.items["mask_path"][0])).data[BOX // 2, BOX // 2, BOX // 2] == 0.0
    assert [hint.parameter for hint in CreateMask(volume=volume, shape="sphere").check()] == ["diameter"]
    wide = CreateMask(volume=volume, shape="sphere", diameter=110.0).run(job).mask
    with pytest.raises(Failure, match="leaves nothing"):
        CreateMask(volume=volume, shape="sphere", diameter=60.0, other=wide, operation="and-not").run(job)


def test_shapes_and_symmetry_of_masks(chain):
    volume, _, job, _ = chain
    tube = CreateMask(volume=volume, shape="cylinder", diameter=60.0, inner_diameter=24.0, height=80.0).run(job).mask
    data = read_mrc(tube.file(tube.items["mask_path"][0])).data
    middle = BOX // 2
    assert (
        data[middle, middle, middle] == 0.0 and data[middle, middle, middle + 10] == 1.0 and data[middle + 28, middle, middle + 10] == 0.0
    )
    turned = CreateMask(volume=volume, symmetry="C2").run(job).mask
    data = read_mrc(turned.file(turned.items["mask_path"][0])).data[1:, 1:, 1:]
    assert np.abs(data - data[:, ::-1, ::-1]).max() < 0.35 and np.abs(data - data[:, ::-1, ::-1]).mean() < 1e-3
    hints = {hint.parameter for hint in CreateMask(volume=volume, shape="box", inner_diameter=30.0, diameter=20.0, symmetry="Q").check()}
    assert hints == {"inner_diameter", "symmetry"}


def test_a_calibrated_pixel_size_scales_every_resolution(chain):
    volume, _, job, masked = chain
    plain, calibrated = (Sharpen(volume=volume, mask=masked.mask, calibrated_pixel_size=size).run(job) for size in (None, 1.05 * PIXEL))
    for name in ("resolution", "resolution_unmasked"):
        assert calibrated.fsc.meta[name] == pytest.approx(1.05 * plain.fsc.meta[name])
    assert read_mrc(calibrated.volume.file(calibrated.volume.items["volume_path"][0])).pixel_size == pytest.approx(1.05 * PIXEL)


def test_sharpened_map_is_closer_to_the_truth_and_the_numbers_are_honest(chain):
    volume, truth, job, masked = chain
    protocol = Sharpen(volume=volume, mask=masked.mask)
    out = protocol.run(job)
    meta = out.fsc.meta
    sharp = read_mrc(out.volume.file(out.volume.items["masked_path"][0])).data
    sharp_truth = multiply_shells(truth, np.exp(80.0 * (np.arange(BOX // 2 + 1) / (BOX * PIXEL)) ** 2 / 4))
    limited = lowpass(sharp_truth, PIXEL, meta["resolution"])
    assert np.corrcoef(sharp.ravel(), limited.ravel())[0, 1] > 0.85
    assert 2 * PIXEL <= meta["resolution"] <= meta["resolution_unmasked"] <= 12.0
    assert meta["b_factor"] < 0
    assert set(protocol.summary(out)) >= {"resolution (Å, FSC 0.143)", "B-factor (Å²)"}
    assert [type(panel).__name__ for panel in protocol.report(out)] == [
        "LinePlot", "LinePlot", "Histogram", "LinePlot", "MapSlices", "MapSurface",
    ]  # fmt: skip


def test_the_map_of_both_halves_is_sharpened_where_there_is_one(chain):
    volume, _, job, masked = chain
    first, second = (read_mrc(volume.file(volume.items[f"half_map{half}_path"][0])).data for half in (1, 2))
    write_mrc(job.output("unfiltered.mrc"), 1.5 * (first + second), PIXEL, volume=True)
    path = job.output("unfiltered.mrc").relative_to(job.root).as_posix()
    whole = Volume(volume.items.with_columns(unfiltered_path=pl.lit(path)), volume.root, meta=volume.meta)
    maps = []
    for one in (volume, whole):
        out = Sharpen(volume=one, mask=masked.mask, b_factor=-50.0).run(job)
        maps.append(read_mrc(out.volume.file(out.volume.items["volume_path"][0])).data.copy())
    assert np.allclose(maps[1], 3 * maps[0], atol=1e-4 * maps[1].max())
    assert out.volume.items["unfiltered_path"].to_list() == [path]


def test_a_map_stretched_along_one_axis_is_said_to_be(chain):
    volume, truth, job, masked = chain
    isotropic = Sharpen(volume=volume, mask=masked.mask).run(job)
    assert not any("stretched" in warning for warning in job.warnings)
    rng = np.random.default_rng(3)
    z = np.fft.fftfreq(BOX)[:, None, None]
    x, y = np.fft.rfftfreq(BOX)[None, None, :], np.fft.fftfreq(BOX)[None, :, None]
    near_z = np.abs(z) > np.cos(np.deg2rad(35.0)) * np.sqrt(x**2 + y**2 + z**2)
    lost = near_z & (np.sqrt(x**2 + y**2 + z**2) > PIXEL / 20.0)
    poor = np.fft.irfftn(np.where(lost, 0.0, np.fft.rfftn(truth)), s=truth.shape, axes=(0, 1, 2)).astype(np.float32)
    for name in ("half_map1_path", "half_map2_path"):
        write_mrc(volume.file(volume.items[name][0]), poor + 0.35 * rng.standard_normal(truth.shape).astype(np.float32), PIXEL, volume=True)
    out = Sharpen(volume=volume, mask=masked.mask).run(job)
    each, axes = (np.array(out.fsc.meta[name]) for name in ("resolution_by_direction", "directions"))
    assert each[np.abs(axes[:, 2]) > np.cos(np.deg2rad(15))].min() > 1.3 * np.median(each)
    warning = next(one for one in job.warnings if "stretched" in one)
    assert float(warning.split("tilt ")[1].split("°")[0]) < 25
    assert np.ptp(isotropic.fsc.meta["resolution_by_direction"]) < 0.3 * np.median(isotropic.fsc.meta["resolution_by_direction"])


def test_the_b_factor_is_fitted_in_the_range_asked_for(chain):
    volume, _, job, masked = chain
    found = [Sharpen(volume=volume, mask=masked.mask, fit_high=high).run(job).fsc.meta["b_factor"] for high in (None, 6.0)]
    assert found[0] != found[1] and all(-200 < value < 0 for value in found)
    assert [hint.parameter for hint in Sharpen(volume=volume, fit_high=12.0).check()] == ["fit_high"]


def test_the_same_map_twice_is_refused(chain):
    volume, _, job, masked = chain
    twice = volume.items.with_columns(half_map2_path=pl.col("half_map1_path"))
    with pytest.raises(Failure, match="same map"):
        Sharpen(volume=Volume(twice, volume.root, meta=volume.meta), mask=masked.mask).run(job)


def test_nan_in_a_map_is_named(tmp_path):
    volume, _ = half_maps(tmp_path)
    path = volume.file(volume.items["half_map1_path"][0])
    data = read_mrc(path).data.copy()
    data[3, 3, 3] = np.nan
    write_mrc(path, data, PIXEL, volume=True)
    with pytest.raises(Failure, match="not numbers"):
        CreateMask(volume=volume).run(PlainJob(tmp_path / "runs" / "r001", tmp_path))


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_postprocess") is None, reason="Debian's relion package is not installed")
def test_relion_postprocess_finds_the_same_resolution(chain, tmp_path):
    volume, _, job, masked = chain
    out = Sharpen(volume=volume, mask=masked.mask).run(job)
    mask = masked.mask.file(masked.mask.items["mask_path"][0])
    target = tmp_path / "relion"
    target.mkdir()
    command = ["relion_postprocess", "--i", str(tmp_path / "maps/map_half1_unfil.mrc"), "--mask", str(mask), "--o", str(target / "post")]
    command += ["--angpix", str(PIXEL), "--auto_bfac", "--autob_lowres", "10"]
    subprocess.run(command, check=True, capture_output=True)
    table = read_star(target / "post.star")
    theirs = float(table["general"]["rlnFinalResolution"][0])
    ours = out.fsc.meta["resolution"]
    assert abs(BOX * PIXEL / theirs - BOX * PIXEL / ours) <= 1.01
    relion_fsc = table["fsc"]["rlnFourierShellCorrelationUnmaskedMaps"].to_numpy()
    assert np.allclose(relion_fsc, out.fsc.items["fsc_unmasked"].to_numpy(), atol=0.03)  # RELION counts the x = 0 plane twice
