"""pick.blob on simulated micrographs with ice, aggregates, threads and droplets."""

import numpy as np
import polars as pl
import pytest
from crowded_micrographs import DIAMETER, OPTICS, PIXEL
from plain_job import PlainJob
from scipy.optimize import linear_sum_assignment

from cryoloom.data import CTFs, Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.picking.matching import agreement
from cryoloom.protocols.pick.blob import BlobPick
from cryoloom.spec import Failure


@pytest.fixture(scope="module")
def picked(scene):
    micrographs, truth, _ = scene
    job = PlainJob(micrographs.root, micrographs.root)
    protocol = BlobPick(micrographs=micrographs, diameter=DIAMETER)
    out = protocol.run(job)
    return protocol, out, truth, job


def test_particles_are_found_and_centred(picked):
    _, out, truth, job = picked
    hits, errors = 0, []
    for number, true in truth.items():
        mine = out.coordinates.items.filter(pl.col("micrograph_id") == number)
        apart = np.linalg.norm(np.stack([mine["x"], mine["y"]], axis=1)[:, None] - true[None], axis=2) * PIXEL / DIAMETER
        pairs = linear_sum_assignment(np.where(apart < 0.2, apart - 1e4, 0.0))
        near = apart[pairs][apart[pairs] < 0.2]
        hits, errors = hits + len(near), [*errors, *near]
    assert hits / sum(map(len, truth.values())) >= 0.92
    assert hits / len(out.coordinates) >= 0.9
    assert np.sqrt(np.mean(np.square(errors))) < 0.08
    assert not job.warnings


def test_the_table_is_as_the_contract_says(picked):
    protocol, out, _, _ = picked
    items = out.coordinates.items
    assert items["id"].is_unique().all() and (items["id"] // 2**20 == items["micrograph_id"]).all()
    for _, mine in items.group_by("micrograph_id"):
        assert sorted(mine["id"] % 2**20) == list(range(len(mine)))
        assert mine.sort("id")["score"].is_sorted(descending=True)
    assert items["score"].is_between(0.5, 1).all() and (items["diameter"] == DIAMETER).all()
    assert dict(items.select("micrograph_id", "micrograph_name").unique().iter_rows()) == {1: "m1", 2: "m2", 3: "m3"}
    assert out.coordinates.meta["diameter"] == DIAMETER and out.coordinates.optics == OPTICS
    summary = protocol.summary(out)
    assert summary["particles"] == len(items) and 0.9 < summary["expected share of true picks"] <= 1
    assert len(protocol.report(out)) == 4


def test_the_same_again_is_the_same_bits(scene, picked):
    micrographs, _, _ = scene
    again = BlobPick(micrographs=micrographs, diameter=DIAMETER).run(PlainJob(micrographs.root, micrographs.root))
    assert again.coordinates.items.equals(picked[1].coordinates.items)


def test_micrographs_without_ctf_are_left_out(scene):
    micrographs, _, _ = scene
    columns = {"id": [1, 2, 3], "micrograph_id": [1, 2, 3], **{name: [1e4] * 3 for name in ("defocus_u", "defocus_v")}}
    ctfs = CTFs(pl.DataFrame({**columns, "defocus_angle": [0.0] * 3, "phase_shift": [0.0] * 3}), micrographs.root, optics=OPTICS)
    job = PlainJob(micrographs.root, micrographs.root)
    out = BlobPick(micrographs=micrographs, ctfs=ctfs.disable({2: "no rings"}), diameter=DIAMETER, most=7).run(job)
    assert out.coordinates.items["micrograph_id"].to_list() == [1] * 7 + [3] * 7
    assert any("1 micrographs have no believable CTF" in warning for warning in job.warnings)


def test_an_unreadable_micrograph_does_not_stop_the_others(scene, tmp_path):
    micrographs, _, _ = scene
    (micrographs.root / "broken.mrc").write_bytes(b"no header")
    broken = micrographs.items.with_columns(
        micrograph_path=pl.when(pl.col("id") == 2).then(pl.lit("broken.mrc")).otherwise("micrograph_path")
    )
    job = PlainJob(micrographs.root, micrographs.root)
    out = BlobPick(micrographs=Micrographs(broken, micrographs.root, optics=OPTICS), diameter=DIAMETER).run(job)
    assert out.coordinates.items["micrograph_id"].unique().sort().to_list() == [1, 3]
    assert out.coordinates.meta["picked_micrographs"] == 2


def test_empty_micrographs_finish_with_a_warning(tmp_path):
    image = np.random.default_rng(0).poisson(180, (500, 500)).astype(np.float32)
    write_mrc(tmp_path / "e.mrc", image, PIXEL)
    row = {
        "id": 1,
        "micrograph_name": "e",
        "micrograph_path": "e.mrc",
        "weighted_path": None,
        "width": 500,
        "height": 500,
        "optics_group": 1,
    }
    micrographs = Micrographs(pl.DataFrame([{**row, "enabled": True, "fail_reason": ""}]), tmp_path, optics=OPTICS)
    job = PlainJob(tmp_path, tmp_path)
    protocol = BlobPick(micrographs=micrographs, diameter=DIAMETER)
    out = protocol.run(job)
    assert len(out.coordinates) <= 2 and job.warnings
    assert protocol.summary(out)["micrographs"] == 1 and protocol.report(out) == []
    with pytest.raises(Failure, match="no micrograph is left"):
        BlobPick(micrographs=micrographs.disable({1: "bad"}), diameter=DIAMETER).run(job)


def test_a_range_of_diameters(scene, picked, tmp_path):
    micrographs, _, _ = scene
    protocol = BlobPick(micrographs=micrographs, diameter=110.0, diameter_max=200.0)
    out = protocol.run(PlainJob(tmp_path, micrographs.root))
    assert len(out.coordinates) >= 0.9 * len(picked[1].coordinates) and "110 to 200 Å" in protocol.methods(out)
    assert out.coordinates.items["diameter"].is_between(110.0, 200.0).all()
    hints = list(BlobPick(micrographs=micrographs, diameter=110.0, diameter_max=90.0).check())
    assert [(hint.parameter, hint.fix) for hint in hints] == [("diameter_max", 110.0)]


def test_hints(scene):
    micrographs, _, _ = scene
    hints = list(BlobPick(micrographs=micrographs, diameter=900.0).check())
    assert [(hint.parameter, hint.error) for hint in hints] == [("diameter", True)]
    assert hints[0].fix == 720.0 and "larger than half the micrograph" in hints[0].message
    assert not list(BlobPick(micrographs=micrographs, diameter=DIAMETER).check())
    with pytest.raises(Failure, match="diameter"):
        BlobPick(micrographs=micrographs, diameter=900.0).run(PlainJob(micrographs.root, micrographs.root))


def test_a_blank_micrograph_is_named(scene, tmp_path):
    micrographs, _, _ = scene
    blank = micrographs.items.with_columns(weighted_path=pl.lit(None, pl.String)).filter(pl.col("id") == 3)
    with pytest.raises(Failure, match="m3: all its pixels are the same"):
        BlobPick(micrographs=Micrographs(blank, micrographs.root, optics=OPTICS), diameter=DIAMETER).run(
            PlainJob(tmp_path, micrographs.root)
        )


def test_a_real_micrograph(test_data, tmp_path):
    """β-galactosidase, EMPIAR-10017, by its diameter alone; the curated picks are of the published set."""
    from PIL import Image

    image = np.asarray(Image.open(test_data / "micrograph-10017" / "Falcon_2012_06_12-14_33_35_0.jpg"), dtype=np.float32)
    write_mrc(tmp_path / "m.mrc", image, 1.77)
    row = {
        "id": 1,
        "micrograph_name": "m",
        "micrograph_path": "m.mrc",
        "weighted_path": None,
        "width": 4096,
        "height": 4096,
        "optics_group": 1,
    }
    optics = [{**OPTICS[0], "pixel_size": 1.77}]
    micrographs = Micrographs(pl.DataFrame([{**row, "enabled": True, "fail_reason": ""}]), tmp_path, optics=optics)
    picks = BlobPick(micrographs=micrographs, diameter=180.0).run(PlainJob(tmp_path, tmp_path)).coordinates.items
    table = read_star(test_data / "micrograph-10017" / "cryosegnet_14_33_35_picks.star")
    curated = next(iter(table.values())).select("rlnCoordinateX", "rlnCoordinateY").to_numpy().astype(float)
    found = agreement([(picks.select("x", "y").to_numpy(), picks["score"].to_numpy())], [curated], 180.0 / 1.77)
    assert found.recall >= 0.65 and found.precision >= 0.75
