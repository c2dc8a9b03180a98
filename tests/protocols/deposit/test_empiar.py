"""deposit.empiar: what the form is told of each set, and particles whose poses another reader finds again."""

import json

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Micrographs, Particles
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.formats.star import read_star
from cryoloom.protocols.deposit.empiar import DepositEMPIAR
from cryoloom.spec import Failure

COUNT = 12


@pytest.fixture
def sets(tmp_path):
    rng = np.random.default_rng(1)
    write_stack(tmp_path / "p.mrcs", rng.normal(size=(COUNT, 16, 16)).astype(np.float32), 2.0)
    for number in range(2):
        write_mrc(tmp_path / f"m{number}.mrc", np.ones((40, 50), np.float32), 1.0)
    optics = [
        {"optics_group": 1, "optics_group_name": "one", "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1, "dose_per_frame": 1.5}
    ]
    micrographs = {
        "id": [1, 2], "micrograph_name": ["m0", "m1"], "micrograph_path": ["m0.mrc", "m1.mrc"], "width": 50, "height": 40, "optics_group": 1,
        "enabled": [True, True], "fail_reason": ["", ""],
    }  # fmt: skip
    particles = {
        "id": range(COUNT), "micrograph_id": 1, "micrograph_name": "m0", "stack_path": "p.mrcs", "stack_index": range(COUNT), "optics_group": 1,
        "x": 10.0, "y": 12.0, "rot": np.linspace(-170, 170, COUNT), "tilt": np.linspace(0, 180, COUNT), "psi": np.linspace(170, -170, COUNT),
        "origin_x": rng.normal(size=COUNT) * 5, "origin_y": rng.normal(size=COUNT) * 5,
        "defocus_u": 15000.0, "defocus_v": 14000.0, "defocus_angle": 30.0, "phase_shift": 0.0,
    }  # fmt: skip
    group = optics[0] | {"pixel_size": 2.0, "box_size": 16, "contrast": "bright", "micrograph_pixel_size": 1.0}
    return (
        Micrographs(pl.DataFrame(micrographs), tmp_path, optics=[optics[0] | {"pixel_size": 1.0}]),
        Particles(pl.DataFrame(particles), tmp_path, optics=[group]),
    )


def test_image_sets_and_poses(sets, tmp_path):
    micrographs, particles = sets
    job = PlainJob(tmp_path / "runs/r001", tmp_path)
    protocol = DepositEMPIAR(micrographs=micrographs, particles=particles, title="A particle", emdb_id="EMD-1")
    assert not list(protocol.check())
    out = protocol.run(job)
    folder = tmp_path / "runs/r001/deposit"
    told = json.loads((folder / "image_sets.json").read_text())
    assert told["title"] == "A particle" and told["cross_references"] == ["EMD-1"]
    first, second = told["imagesets"]
    assert (
        first["category"] == "micrographs - single frame"
        and first["num_images_or_tilt_series"] == 2
        and first["voxel_type"] == "32 BIT FLOAT"
    )
    assert (first["image_width"], first["image_height"], first["pixel_width"]) == (50, 40, 1.0) and "300 kV, Cs 2.7 mm" in first["details"]
    assert second["num_images_or_tilt_series"] == COUNT and second["image_width"] == 16 and second["header_format"] == "MRCS"
    files = pl.read_csv(folder / "micrographs.tsv", separator="\t")
    assert files["file"].to_list() == ["m0.mrc", "m1.mrc"] and files["bytes"].to_list() == [
        (tmp_path / f"m{n}.mrc").stat().st_size for n in range(2)
    ]
    rows = read_star(folder / "particles.star")["particles"]
    assert np.allclose(rows["rlnAngleRot"], particles.items["rot"], atol=1e-3) and np.allclose(
        rows["rlnOriginXAngst"], particles.items["origin_x"], atol=1e-3
    )
    assert np.array_equal(read_mrc(folder / "particles/p.mrcs").data, read_mrc(tmp_path / "p.mrcs").data)
    listed = {path.removeprefix("runs/r001/deposit/") for path in out.deposition.items["file_path"]}
    assert {"image_sets.json", "particles.star", "particles/p.mrcs", "micrographs.tsv", "particles.tsv", "checksums.sha256"} == listed
    assert protocol.summary(out)["particles"].startswith(f"{COUNT}, ") and all(panel.html() for panel in protocol.report(out))


def test_nothing_given_and_files_gone(sets, tmp_path):
    micrographs, particles = sets
    assert "give one of them at least" in next(iter(DepositEMPIAR().check())).message
    poseless = Particles(particles.items.drop("rot"), tmp_path, optics=particles.optics)
    assert not next(iter(DepositEMPIAR(particles=poseless).check())).error
    (tmp_path / "m1.mrc").unlink()
    with pytest.raises(Failure, match="no such file"):
        DepositEMPIAR(micrographs=micrographs).run(PlainJob(tmp_path / "runs/r001", tmp_path))
