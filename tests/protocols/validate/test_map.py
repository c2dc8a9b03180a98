"""A good map, and the same with one thing wrong at a time: each is named, and nothing else."""

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import FSC, AtomicModel, Checks, Mask, Orientations, Particles, ResolutionCurve, Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.validate.map import ValidateMap

BOX, PIXEL_SIZE, DIAMETER = 72, 4.0, 165.0
SHELL = {"pixel_size": PIXEL_SIZE, "mask_diameter": DIAMETER}
SPHERE = spherical_mask(BOX, DIAMETER / 2 / PIXEL_SIZE, 5.0)


@pytest.fixture(scope="module")
def truth():
    volume = lowpass(density(p80(), BOX, PIXEL_SIZE), PIXEL_SIZE, 12.0)
    return volume / volume.std()


@pytest.fixture(scope="module")
def halves(truth):
    return [(truth + 0.7 * np.random.default_rng(seed).standard_normal(truth.shape)).astype(np.float32) for seed in (1, 2)]


def volume_of(root, pair, whole=None, **meta):
    maps = {"half_map1_path": pair[0], "half_map2_path": pair[1], "volume_path": sum(pair) / 2 if whole is None else whole}
    (root / "maps").mkdir(exist_ok=True)
    for name, data in maps.items():
        write_mrc(root / f"maps/{name}.mrc", np.asarray(data, np.float32), PIXEL_SIZE, volume=True)
    row = {name: [f"maps/{name}.mrc"] for name in maps}
    return Volume(pl.DataFrame({"id": [1], "box_size": [BOX], **row}), root, meta=SHELL | meta)


def mask_of(root, data):
    write_mrc(root / "mask.mrc", np.asarray(data, np.float32), PIXEL_SIZE, volume=True)
    return Mask(pl.DataFrame({"id": [1], "mask_path": ["mask.mrc"], "box_size": [BOX]}), root, meta={"pixel_size": PIXEL_SIZE})


def particles_of(root, count=400, **columns):
    half, rng = np.arange(count) % 2 + 1, np.random.default_rng(0)
    rows = {
        "id": np.arange(count), "micrograph_id": np.arange(count) // 20, "stack_path": ["data/p.mrcs"] * count, "stack_index": np.arange(count),
        "optics_group": np.ones(count, np.int64), "half_set": half, "x": 200.0 * (np.arange(count) % 20) + rng.random(count), "y": 50.0 + rng.random(count),
        **columns,
    }  # fmt: skip
    return Particles(pl.DataFrame(rows), root, optics=[{"optics_group": 1, "pixel_size": PIXEL_SIZE}], meta={"halves": "abc"})


def checked(root, volume, **others):
    job = PlainJob(root / "runs/r1", root)
    protocol = ValidateMap(volume=volume, **others)
    out = protocol.run(job)
    wrong = {row["check"]: row["message"] for row in out.checks.items.iter_rows(named=True) if row["verdict"] == "warning"}
    assert sorted(wrong.values()) == sorted(job.warnings)
    return protocol, out, wrong


def test_a_good_map_passes_all_checks(tmp_path, halves):
    curve = fourier_shell_correlation(*halves)
    shells = np.arange(len(curve))
    stored = FSC(
        pl.DataFrame({"id": shells, "shell": shells, "frequency": shells / (BOX * PIXEL_SIZE), "fsc": curve, "fsc_unmasked": curve}),
        tmp_path,
    )
    curve = ResolutionCurve(
        pl.DataFrame({"id": [1], "subset_size": [100], "resolution": [9.0], "separation": [8.0]}), tmp_path, meta={"verdict": "above noise"}
    )
    views = Orientations(
        pl.DataFrame({"id": [1], "rot": [0.0], "tilt": [0.0], "views": [3]}), tmp_path,
        meta={"verdict": "good", "message": "Views are even.", "efficiency": 0.98},
    )  # fmt: skip
    protocol, out, wrong = checked(
        tmp_path, volume_of(tmp_path, halves, halves="abc", resolution=12.5), mask=mask_of(tmp_path, SPHERE), particles=particles_of(tmp_path),
        fsc=stored, overfitting=curve, orientations=views,
    )  # fmt: skip
    assert not wrong and set(out.checks.items["verdict"]) == {"good"} and len(out.checks) >= 15
    assert 11.0 < out.fsc.meta["resolution"] < 13.5
    panels = protocol.report(out)
    assert panels[0].level == "good" and {"Checks", "Fourier shell correlation", "Resolution by direction", "Map"} <= {
        panel.title for panel in panels
    }
    assert (
        all(panel.html() for panel in panels) and "none raised a warning" in protocol.methods(out) and protocol.summary(out)["warning"] == 0
    )
    again = checked(tmp_path, protocol.volume)[1]
    assert again.checks.items.equals(checked(tmp_path, protocol.volume)[1].checks.items)


def test_the_same_map_twice(tmp_path, halves):
    protocol, out, wrong = checked(tmp_path, volume_of(tmp_path, [halves[0], halves[0]]))
    assert list(wrong) == ["half maps"] and "same map" in wrong["half maps"] and out.fsc is None
    assert protocol.report(out)[0].level == "warning"


def test_halves_in_two_frames(tmp_path, halves):
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, [halves[0], np.roll(halves[1], 2, axis=2)], whole=halves[0]))
    assert "8.0 Å apart" in wrong["frame of the halves"]
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, [halves[0], halves[1].transpose(2, 1, 0)], whole=halves[0]))
    assert "axes x y z" in wrong["frame of the halves"]


def test_noise_that_both_halves_hold(tmp_path, halves):
    """A fifth of the noise in common, as of a fifth of the particles in both halves."""
    common = 0.35 * np.random.default_rng(9).standard_normal(halves[0].shape)
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, [half + common for half in halves]))
    assert "they share noise" in wrong["noise around the particle"]


def test_particles_in_both_halves(tmp_path, halves):
    volume = volume_of(tmp_path, halves)
    place = np.arange(400)
    place[1::40] -= 1  # ten images are those of the particle before, of the other half
    _, _, wrong = checked(tmp_path, volume, particles=particles_of(tmp_path, stack_index=place))
    assert list(wrong) == ["particles in one half only"] and "20 of 400" in wrong["particles in one half only"]
    particles = particles_of(tmp_path)
    x = particles.items["x"].to_numpy().copy()
    x[1::40] = x[0::40] + 3.0
    _, _, wrong = checked(tmp_path, volume, particles=particles_of(tmp_path, x=x))
    assert "20 of 400" in wrong["particles in one half only"]


def test_masks_that_are_too_tight_or_cut(tmp_path, truth, halves):
    tight = (lowpass(truth, PIXEL_SIZE, 12.0) > 2.5).astype(np.float32)
    _, out, wrong = checked(tmp_path, volume_of(tmp_path, halves), mask=mask_of(tmp_path, tight))
    assert {"mask adds no correlation", "mask holds the particle"} <= set(wrong)
    assert "mask is soft" in out.checks.items.filter(pl.col("verdict") == "advice")["check"].to_list()
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, halves), mask=mask_of(tmp_path, 2 * SPHERE))
    assert "goes from 0 to 2" in wrong["mask readable"]


def test_a_diameter_that_cuts_the_particle(tmp_path, halves):
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, halves), mask_diameter=0.25 * BOX * PIXEL_SIZE)
    assert "cuts the particle" in wrong["mask diameter"]


def test_half_maps_that_were_masked(tmp_path, halves):
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, [half * SPHERE for half in halves]))
    assert "masked already" in wrong["unmasked halves"]


def test_what_is_told_and_is_not_so(tmp_path, halves, truth):
    shells = np.arange(BOX // 2 + 1)
    rows = {
        "id": shells,
        "shell": shells,
        "frequency": shells / (BOX * PIXEL_SIZE),
        "fsc": np.ones(len(shells)),
        "fsc_unmasked": np.ones(len(shells)),
    }
    stored = FSC(pl.DataFrame(rows), tmp_path, meta={"resolution": 8.5})
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, halves, resolution=9.0), fsc=stored, mask=mask_of(tmp_path, SPHERE))
    assert {"resolution told by the map", "resolution told by the stored FSC", "stored FSC"} == set(wrong)
    other = np.roll(truth[:, ::-1], (5, 3), axis=(0, 1))
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, halves, whole=other))
    assert "not made of these halves" in wrong["map of these halves"]


def test_a_dark_map(tmp_path, halves):
    _, _, wrong = checked(tmp_path, volume_of(tmp_path, [-half for half in halves]))
    assert list(wrong) == ["contrast"] and "invert" in wrong["contrast"]


def test_values_that_are_no_numbers_and_maps_without_halves(tmp_path, halves):
    broken = halves[1].copy()
    broken[3, 3, 3] = np.nan
    _, out, wrong = checked(tmp_path, volume_of(tmp_path, [halves[0], broken], whole=halves[0]))
    assert "NaN" in wrong["half map 2 readable"] and out.fsc is None
    alone = volume_of(tmp_path, halves)
    alone = Volume(alone.items.drop("half_map1_path", "half_map2_path"), tmp_path, meta=SHELL)
    protocol, out, wrong = checked(tmp_path, alone)
    assert list(wrong) == ["half maps"] and any("no half maps" in hint.message for hint in protocol.check()) and protocol.report(out)


def test_local_resolution_and_other_runs_speak(tmp_path, halves):
    write_mrc(tmp_path / "local.mrc", 30.0 * SPHERE, PIXEL_SIZE, volume=True)
    local = Volume(pl.DataFrame({"id": [1], "volume_path": ["local.mrc"], "box_size": [BOX]}), tmp_path, meta={"pixel_size": PIXEL_SIZE})
    curve = ResolutionCurve(
        pl.DataFrame({"id": [1], "subset_size": [9], "resolution": [9.0]}), tmp_path, meta={"verdict": "not distinguishable"}
    )
    views = Orientations(
        pl.DataFrame({"id": [1], "rot": [0.0], "tilt": [0.0], "views": [3]}), tmp_path,
        meta={"verdict": "warning", "message": "One view.", "efficiency": 0.0},
    )  # fmt: skip
    _, out, wrong = checked(tmp_path, volume_of(tmp_path, halves), local_resolution=local, overfitting=curve, orientations=views)
    assert set(wrong) == {"overfitting", "views"}
    assert "local resolution" in out.checks.items.filter(pl.col("verdict") == "advice")["check"].to_list()
    of_specimen = Volume(local.items, tmp_path, meta={**local.meta, "median": float(out.fsc.meta["resolution"])})
    _, out, _ = checked(tmp_path, volume_of(tmp_path, halves), local_resolution=of_specimen)
    assert out.checks.items.filter(check="local resolution")["verdict"].to_list() == ["good"], "solvent in a wide mask is no part of it"


@pytest.mark.parametrize(
    ("found", "warned"),
    [
        ((0.8, 9.0, 0.9, False), set()),
        ((0.8, 9.0, 0.9, True), {"hand"}),
        ((0.1, 40.0, 0.9, False), {"model"}),
        ((0.8, 90.0, 0.9, False), set()),
    ],
)
def test_a_model_and_what_images_say_are_on_the_page(tmp_path, halves, found, warned):
    correlation, resolution, inclusion, mirrored = found
    row = {
        "id": [1], "model_path": ["model.cif"], "atoms": [9], "residues": [9], "chains": [1], "map_correlation": [correlation],
        "model_resolution": [resolution], "inclusion": [inclusion], "mirrored": [mirrored],
    }  # fmt: skip
    asked = Checks(pl.DataFrame({"id": [1], "check": ["junk"], "verdict": ["warning"], "value": [0.6], "message": ["60 %."]}), tmp_path)
    _, out, wrong = checked(tmp_path, volume_of(tmp_path, halves), model=AtomicModel(pl.DataFrame(row), tmp_path), images=asked)
    assert set(wrong) == warned | {"junk"}
    advised = out.checks.items.filter(pl.col("verdict") == "advice")["check"].to_list()
    assert ("model" in advised) == (resolution > 50 and correlation > 0.5)
