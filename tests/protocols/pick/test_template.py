"""pick.template on simulated micrographs, with a map and with noisy class averages."""

import numpy as np
import polars as pl
import pytest
from crowded_micrographs import DIAMETER, OPTICS, PIXEL
from plain_job import PlainJob

from cryoloom.data import Classes2D, Micrographs, Volume
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import write_stack
from cryoloom.numerics.picking.matching import agreement
from cryoloom.numerics.simulate.phantom import p80
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import density, project
from cryoloom.protocols.pick.template import TemplatePick
from cryoloom.spec import Failure

SIZE, BOX = 4.8, 48


def volume_of(root, data, pixel_size=SIZE, name="map.mrc"):
    write_mrc(root / name, np.asarray(data, np.float32), pixel_size, volume=True)
    frame = pl.DataFrame({"id": [1], "volume_path": [name], "box_size": [len(data)], "enabled": [True], "fail_reason": [""]})
    return Volume(frame, root, meta={"pixel_size": pixel_size})


def classes_of(root, images, counts=None, pixel_size=SIZE, name="averages.mrcs"):
    write_stack(root / name, images.astype(np.float32), pixel_size)
    numbers = list(range(1, len(images) + 1))
    columns = {"id": numbers, "class_id": numbers, "stack_path": name, "stack_index": [number - 1 for number in numbers]}
    frame = pl.DataFrame({**columns, "count": counts or [100] * len(images), "enabled": True, "fail_reason": ""})
    return Classes2D(frame, root, meta={"pixel_size": pixel_size})


def averages(noise=0.3, count=16, seed=0):
    """Return views as 2D classes give them: one turn each, off-centre by a pixel or so, with noise of `noise` of the signal."""
    rng = np.random.default_rng(seed)
    images = [project(p80(), pose_matrix(*angles), BOX, SIZE, rng.normal(0, 4, 2)) for angles in uniform_poses(count, rng)]
    return np.stack([image + noise * image.std() * rng.standard_normal(image.shape) for image in images])


def judged(out, truth):
    items = out.coordinates.items
    parts = [items.filter(pl.col("micrograph_id") == number) for number in truth]
    found = [(mine.select("x", "y").to_numpy(), mine["score"].to_numpy()) for mine in parts]
    return agreement(found, list(truth.values()), DIAMETER / PIXEL)


def pick(scene, tmp_path, templates, **values):
    micrographs, _, ctfs = scene
    job = PlainJob(micrographs.root / tmp_path.name, micrographs.root)
    protocol = TemplatePick(**{"micrographs": micrographs, "ctfs": ctfs, "templates": templates, "diameter": DIAMETER, **values})
    return protocol, protocol.run(job), job


@pytest.fixture(scope="module")
def picked(scene):
    root = scene[0].root
    return pick(scene, root / "first", volume_of(root, density(p80(), BOX, SIZE)), angular_step=25.0, psi_step=12.0)


def test_projections_of_the_map_find_the_particles(scene, picked):
    _, out, job = picked
    figures = judged(out, scene[1])
    assert figures.recall >= 0.93 and figures.precision >= 0.93 and figures.centring < 0.05
    assert job.warnings == ["Templates of 4.8 Å/px are rescaled to micrographs of 2.4 Å/px."]


def test_noisy_class_averages_do_as_well(scene, tmp_path):
    protocol, out, _ = pick(scene, tmp_path, classes_of(scene[0].root, averages()), psi_step=12.0)
    figures = judged(out, scene[1])
    assert figures.recall >= 0.9 and figures.precision >= 0.9 and figures.centring < 0.08
    assert set(out.coordinates.items["class_id"]) <= set(range(1, 17))
    assert "16 class averages" in protocol.methods(out)


def test_the_sign_of_templates_is_seen_and_can_be_said(scene, tmp_path):
    root = scene[0].root
    dark = classes_of(root, 5.0 - averages(), name="dark.mrcs")
    found = [pick(scene, tmp_path, dark, psi_step=15.0, template_contrast=said)[1] for said in ("auto", "bright")]
    assert judged(found[0], scene[1]).f1 > 0.9 and judged(found[1], scene[1]).f1 < 0.3


def test_the_table_is_as_the_contract_says(picked):
    protocol, out, _ = picked
    items = out.coordinates.items
    assert items["id"].is_unique().all() and (items["id"] // 2**20 == items["micrograph_id"]).all()
    assert items["score"].is_between(0.5, 1).all() and items["psi"].is_between(0, 360, closed="left").all()
    assert out.coordinates.meta["diameter"] == DIAMETER and out.coordinates.optics == OPTICS
    assert items["class_id"].is_between(1, out.coordinates.meta["templates"]).all()
    assert [panel.title for panel in protocol.report(out)][1:] == ["Scores", "Picks in each micrograph", "Boxes by score", "Templates"]
    assert protocol.summary(out)["templates"] == out.coordinates.meta["templates"] > 50


def test_the_same_again_is_the_same_bits(scene, picked, tmp_path):
    root = scene[0].root
    _, again, _ = pick(scene, tmp_path, volume_of(root, density(p80(), BOX, SIZE)), angular_step=25.0, psi_step=12.0)
    assert again.coordinates.items.equals(picked[1].coordinates.items)


def test_bad_averages_are_named_and_left_out(scene, tmp_path):
    images = averages(count=12)
    images[0, 3, 3] = np.nan
    images[1] = 2.0
    _, out, job = pick(scene, tmp_path, classes_of(scene[0].root, images, [100, 100, 0] + [100] * 9, name="bad.mrcs"), psi_step=15.0)
    said = " ".join(job.warnings)
    assert "Class 1 is constant, or holds" in said and "Class 2 is constant" in said and "Class 3 has no members" in said
    assert out.coordinates.meta["templates"] == 9 and not set(out.coordinates.items["class_id"]) & {1, 2, 3}
    assert judged(out, scene[1]).f1 > 0.85


def test_templates_that_cannot_be_used_are_refused(scene, tmp_path):
    root = scene[0].root
    with pytest.raises(Failure, match="None of 2 class averages"):
        pick(scene, tmp_path, classes_of(root, np.zeros((2, BOX, BOX)), name="zero.mrcs"))
    with pytest.raises(Failure, match="is 96 Å across, the particle 150 Å"):
        pick(scene, tmp_path, classes_of(root, averages()[:, 14:34, 14:34], name="small.mrcs"))
    with pytest.raises(Failure, match="is 96 Å across"):
        pick(scene, tmp_path, volume_of(root, density(p80(), 20, SIZE), name="small.mrc"))
    broken = density(p80(), BOX, SIZE)
    broken[1, 1, 1] = np.nan
    with pytest.raises(Failure, match="not finite"):
        pick(scene, tmp_path, volume_of(root, broken, name="nan.mrc"))


def test_bad_micrographs_and_diameters(scene, tmp_path):
    micrographs, _, _ = scene
    classes = classes_of(micrographs.root, averages(count=3), name="few.mrcs")
    blank = micrographs.items.with_columns(weighted_path=pl.lit(None, pl.String)).filter(pl.col("id") == 3)
    with pytest.raises(Failure, match="m3: all its pixels are the same"):
        pick(scene, tmp_path, classes, micrographs=Micrographs(blank, micrographs.root, optics=OPTICS))
    hints = list(TemplatePick(micrographs=micrographs, templates=classes, diameter=900.0, lowpass=20.0, symmetry="C0").check())
    assert [hint.parameter for hint in hints] == ["diameter", "symmetry", "lowpass"] and [hint.error for hint in hints] == [
        True,
        True,
        False,
    ]
    with pytest.raises(ValueError, match="greater than 0"):
        TemplatePick(micrographs=micrographs, templates=classes, diameter=0.0)


def test_noise_alone_gives_few_picks(tmp_path):
    image = np.random.default_rng(0).poisson(180, (600, 600)).astype(np.float32)
    write_mrc(tmp_path / "e.mrc", image, PIXEL)
    row = {
        "id": 1,
        "micrograph_name": "e",
        "micrograph_path": "e.mrc",
        "weighted_path": None,
        "width": 600,
        "height": 600,
        "optics_group": 1,
    }
    micrographs = Micrographs(pl.DataFrame([{**row, "enabled": True, "fail_reason": ""}]), tmp_path, optics=OPTICS)
    job = PlainJob(tmp_path, tmp_path)
    out = TemplatePick(micrographs=micrographs, templates=classes_of(tmp_path, averages(count=8)), diameter=DIAMETER).run(job)
    assert len(out.coordinates) <= 2 and any("is the diameter" in warning for warning in job.warnings)
