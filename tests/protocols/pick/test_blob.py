"""pick.blob on simulated micrographs with ice, aggregates, threads and droplets."""

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob
from scipy.optimize import linear_sum_assignment

from cryoloom.data import CTFs, Micrographs
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.motion import Motion
from cryoloom.numerics.simulate.movie import intensities
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.protocols.pick.blob import BlobPick
from cryoloom.spec import Failure

PIXEL, DIAMETER = 2.4, 150.0
OPTICS = [{"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.0, "amplitude_contrast": 0.1}]


def simulate(shape, seed):
    """Return the counts of one micrograph and the true centres of its particles."""
    rng, microscope = np.random.default_rng(seed), Microscope(300.0, 2.0, 0.1)
    recipe = Recipe(*shape, PIXEL, 60, contaminants=3.0, carbon_fraction=0.3)
    specimen = draw_specimen(recipe, [p80()], microscope, rng)
    still = Motion(np.zeros((1, 2)), np.zeros((2, 6, 3)))
    expected = next(intensities(specimen, still, microscope, 15.0))
    truth = np.array([(particle.x, particle.y) for particle in specimen.particles])
    return rng.poisson(expected * 30 * PIXEL**2).astype(np.float32), truth


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    rows, truth = [], {}
    for number, shape in ((1, (700, 700)), (2, (600, 800)), (3, (700, 700))):
        image, truth[number] = simulate(shape, number)
        write_mrc(root / f"m{number}.mrc", image if number < 3 else np.zeros_like(image), PIXEL)
        if number == 3:
            write_mrc(root / "m3_weighted.mrc", image, PIXEL)
        rows.append(
            {
                "id": number,
                "micrograph_name": f"m{number}",
                "micrograph_path": f"m{number}.mrc",
                "weighted_path": "m3_weighted.mrc" if number == 3 else None,
                "width": shape[1],
                "height": shape[0],
            }
        )
    frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    return Micrographs(frame, root, optics=OPTICS), truth


@pytest.fixture(scope="module")
def picked(scene):
    micrographs, truth = scene
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
    assert len(protocol.report(out)) == 3


def test_the_same_again_is_the_same_bits(scene, picked):
    micrographs, _ = scene
    again = BlobPick(micrographs=micrographs, diameter=DIAMETER).run(PlainJob(micrographs.root, micrographs.root))
    assert again.coordinates.items.equals(picked[1].coordinates.items)


def test_micrographs_without_ctf_are_left_out(scene):
    micrographs, _ = scene
    columns = {"id": [1, 2, 3], "micrograph_id": [1, 2, 3], **{name: [1e4] * 3 for name in ("defocus_u", "defocus_v")}}
    ctfs = CTFs(pl.DataFrame({**columns, "defocus_angle": [0.0] * 3, "phase_shift": [0.0] * 3}), micrographs.root, optics=OPTICS)
    job = PlainJob(micrographs.root, micrographs.root)
    out = BlobPick(micrographs=micrographs, ctfs=ctfs.disable({2: "no rings"}), diameter=DIAMETER, most=7).run(job)
    assert out.coordinates.items["micrograph_id"].to_list() == [1] * 7 + [3] * 7
    assert any("1 micrographs have no believable CTF" in warning for warning in job.warnings)


def test_an_unreadable_micrograph_does_not_stop_the_others(scene, tmp_path):
    micrographs, _ = scene
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
    assert protocol.summary(out)["micrographs"] == 1 and protocol.report(out)
    with pytest.raises(Failure, match="no micrograph is left"):
        BlobPick(micrographs=micrographs.disable({1: "bad"}), diameter=DIAMETER).run(job)


def test_hints(scene):
    micrographs, _ = scene
    hints = list(BlobPick(micrographs=micrographs, diameter=900.0).check())
    assert [(hint.parameter, hint.error) for hint in hints] == [("diameter", True)]
    assert hints[0].fix == 720.0 and "larger than half the micrograph" in hints[0].message
    assert not list(BlobPick(micrographs=micrographs, diameter=DIAMETER).check())
    with pytest.raises(Failure, match="diameter"):
        BlobPick(micrographs=micrographs, diameter=900.0).run(PlainJob(micrographs.root, micrographs.root))
