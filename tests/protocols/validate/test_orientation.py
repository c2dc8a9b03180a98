import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Particles, Volume
from cryoloom.formats.bild import export_bild
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import preferred_poses, uniform_poses
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.validate.orientation import ValidateOrientation
from cryoloom.spec import Failure

BOX, PIXEL_SIZE = 40, 5.0


def particles_of(root, poses, **columns):
    count = len(poses)
    rows = {
        "id": np.arange(count), "micrograph_id": np.zeros(count, np.int64), "stack_path": ["data/p.mrcs"] * count, "stack_index": np.arange(count),
        "optics_group": np.ones(count, np.int64), "rot": poses[:, 0], "tilt": poses[:, 1], **columns,
    }  # fmt: skip
    return Particles(pl.DataFrame(rows), root, optics=[{"optics_group": 1, "pixel_size": PIXEL_SIZE}])


def volume_of(root, halves):
    """Write half maps and return the map of them."""
    row = {"id": [1], "box_size": [BOX]}
    (root / "maps").mkdir(exist_ok=True)
    named = zip(("volume_path", "half_map1_path", "half_map2_path"), (sum(halves) / 2, *halves), strict=True)
    for name, data in named:
        write_mrc(root / f"maps/{name}.mrc", data.astype(np.float32), PIXEL_SIZE, volume=True)
        row[name] = [f"maps/{name}.mrc"]
    return Volume(pl.DataFrame(row), root, meta={"pixel_size": PIXEL_SIZE, "resolution": 12.0, "mask_diameter": 165.0, "symmetry": "C1"})


@pytest.fixture(scope="module")
def truth():
    volume = density(p80(), BOX, PIXEL_SIZE)
    return volume / volume.std()


def noisy(truth, seed, scale=1.0):
    return truth + scale * np.random.default_rng(seed).standard_normal(truth.shape)


def test_even_views_of_a_round_map_are_good(tmp_path, truth):
    volume = volume_of(tmp_path, [noisy(truth, seed) for seed in (1, 2)])
    protocol = ValidateOrientation(particles=particles_of(tmp_path, uniform_poses(4000, np.random.default_rng(1))), volume=volume)
    job = PlainJob(tmp_path / "runs/r1", tmp_path)
    out = protocol.run(job)
    meta = out.orientations.meta
    assert (
        meta["verdict"] == "good"
        and meta["efficiency"] > 0.95
        and meta["resolution"] == 12.0
        and meta["diameter"] == 165.0
        and not job.warnings
    )
    assert out.orientations.items["views"].sum() == 4000 and out.fsc.meta["sphericity"] > 0.9
    panels = protocol.report(out)
    assert [panel.title for panel in panels] == [
        "",
        "Views",
        "Figures",
        "Views a cell",
        "Correlation by direction",
        "Resolution by direction",
    ]
    assert all(panel.html() for panel in panels) and panels[1].html().count("<svg") == 2
    assert "4000 particles" in protocol.methods(out) and protocol.summary(out)["preferred views"] == 0


def test_preferred_views_are_named_and_drawn_as_cylinders(tmp_path):
    protocol = ValidateOrientation(particles=particles_of(tmp_path, preferred_poses(20_000, 0.7, 25.0, np.random.default_rng(2))))
    out = protocol.run(PlainJob(tmp_path / "runs/r1", tmp_path))
    assert out.fsc is None and out.orientations.meta["verdict"] == "advice"
    told = sorted((round(one["rot"], -1), round(one["tilt"], -1)) for one in out.orientations.meta["preferred"])
    assert told == [(-100.0, 80.0), (30.0, 40.0)]
    (path,) = export_bild(out.orientations, "views", tmp_path / "out", related={})
    text = path.read_text().splitlines()
    cylinders = np.array([[float(word) for word in line.split()[1:]] for line in text if line.startswith(".cylinder")])
    assert len(cylinders) == (out.orientations.items["views"] > 0).sum() and text[0].startswith(".color")
    heights = np.linalg.norm(cylinders[:, 3:6], axis=1) - np.linalg.norm(cylinders[:, :3], axis=1)
    tallest = cylinders[heights.argmax(), :3] / np.linalg.norm(cylinders[heights.argmax(), :3])
    poles = np.deg2rad([[30.0, 40.0], [-100.0, 80.0]])
    near = [tallest @ [np.sin(t) * np.cos(r), np.sin(t) * np.sin(r), np.cos(t)] for r, t in poles]
    assert max(near) > np.cos(np.deg2rad(27.0))


def test_a_single_view_is_a_warning(tmp_path):
    protocol = ValidateOrientation(particles=particles_of(tmp_path, np.tile([30.0, 50.0], (300, 1))))
    job = PlainJob(tmp_path / "runs/r1", tmp_path)
    out = protocol.run(job)
    assert out.orientations.meta["verdict"] == "warning" and any("Tilt the stage" in text for text in job.warnings)


def test_a_stretched_map_is_told(tmp_path, truth):
    """Halves that agree along z as a map of twice the resolution does across it."""
    blurred = lowpass(truth, PIXEL_SIZE, 10.0)
    axis = np.fft.fftfreq(BOX, PIXEL_SIZE)
    damping = np.exp(-1500.0 * axis**2 / 4.0 * 2.0)[:, None, None]
    stretched = np.fft.irfftn(np.fft.rfftn(blurred) * damping[:, :, : BOX // 2 + 1], s=blurred.shape, axes=(0, 1, 2))
    volume = volume_of(tmp_path, [noisy(stretched, seed, 0.3) for seed in (1, 2)])
    protocol = ValidateOrientation(particles=particles_of(tmp_path, uniform_poses(2000, np.random.default_rng(3))), volume=volume)
    out = protocol.run(PlainJob(tmp_path / "runs/r1", tmp_path))
    assert out.fsc.meta["anisotropy"] > 1.3 and "do not explain it" in out.orientations.meta["message"]
    worst = np.array(out.fsc.meta["directions"])[int(np.argmax(out.fsc.meta["resolution_by_direction"]))]
    assert abs(worst[2]) > 0.8


def test_symmetry_counts_mates_or_not(tmp_path):
    particles = particles_of(tmp_path, uniform_poses(500, np.random.default_rng(4)))
    found = [
        ValidateOrientation(particles=particles, symmetry="D3", count_mates=mates).run(PlainJob(tmp_path / f"runs/{mates}", tmp_path)).orientations
        for mates in (True, False)
    ]  # fmt: skip
    assert [one.items["views"].sum() for one in found] == [3000, 500] and found[0].meta["efficiency"] == found[1].meta["efficiency"]


def test_what_is_missing_is_said(tmp_path):
    poses = uniform_poses(50, np.random.default_rng(5))
    particles = particles_of(tmp_path, poses)
    assert any("symmetry" in hint.parameter and hint.error for hint in ValidateOrientation(particles=particles, symmetry="X9").check())
    job = PlainJob(tmp_path / "runs/r1", tmp_path)
    poses[:10] = np.nan
    ValidateOrientation(particles=particles_of(tmp_path, poses)).run(job)
    assert any("10 particles have no pose" in text for text in job.warnings) and any(
        "Neither resolution nor diameter" in text for text in job.warnings
    )
    with pytest.raises(Failure, match="pose"):
        ValidateOrientation(particles=particles_of(tmp_path, np.full((5, 2), np.nan))).run(job)
