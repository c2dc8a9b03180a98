"""pick.deep on small micrographs that share nothing with what its network was trained on."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from blobby_micrographs import Scenery, draw, matched
from plain_job import PlainJob

from cryoloom.data import Coordinates, CTFs, Micrographs, PickingModel
from cryoloom.formats.mrc import write_mrc
from cryoloom.protocols.pick.deep import LISTED, DeepPick
from cryoloom.spec import Failure

PIXEL, DIAMETER = 2.4, 200.0
SHAPES = ((640, 640), (600, 720), (640, 640))
OPTICS = [{"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]


def micrographs_of(root, images, **columns):
    rows = []
    for number, image in enumerate(images, start=1):
        write_mrc(root / f"m{number}.mrc", image, PIXEL)
        row = {"id": number, "micrograph_name": f"m{number}", "micrograph_path": f"m{number}.mrc", "weighted_path": None}
        rows.append({**row, "width": image.shape[1], "height": image.shape[0]})
    frame = pl.DataFrame(rows, schema_overrides={"weighted_path": pl.String})
    frame = frame.with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    return Micrographs(frame, root, optics=OPTICS)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    drawn = [draw(Scenery(shape=shape, diameter=DIAMETER, count=25, ice=1), seed) for seed, shape in enumerate(SHAPES)]
    return micrographs_of(tmp_path_factory.mktemp("project"), [image for image, _ in drawn]), [true for _, true in drawn]


@pytest.fixture(scope="module")
def picked(scene):
    job = PlainJob(scene[0].root / "r1", scene[0].root)
    protocol = DeepPick(micrographs=scene[0], diameter=DIAMETER)
    return protocol, protocol.run(job), job


def true_coordinates(micrographs, truth, chosen):
    rows = [
        {"id": (number << 20) + place, "micrograph_id": number, "micrograph_name": f"m{number}", "x": x, "y": y, "score": 1.0}
        for number in chosen
        for place, (x, y) in enumerate(truth[number - 1])
    ]
    frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    return Coordinates(frame, micrographs.root, optics=OPTICS)


def test_particles_are_found_and_centred(scene, picked):
    _, out, job = picked
    errors = []
    for number, true in enumerate(scene[1], start=1):
        mine = out.coordinates.items.filter(pl.col("micrograph_id") == number).select("x", "y").to_numpy()
        errors.append(matched(mine, true, 0.2 * DIAMETER / PIXEL))
    hits = sum(map(len, errors))
    assert hits / sum(map(len, scene[1])) >= 0.9
    assert hits / len(out.coordinates) >= 0.8
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 0.08 * DIAMETER / PIXEL
    assert not job.warnings
    assert out.coordinates.items["found_diameter"].median() == pytest.approx(DIAMETER, rel=0.25)


def test_the_table_is_as_the_contract_says(picked):
    protocol, out, _ = picked
    items, everything = out.coordinates.items, out.all_coordinates.items
    assert everything["id"].is_unique().all() and (everything["id"] // 2**20 == everything["micrograph_id"]).all()
    for _, mine in everything.group_by("micrograph_id"):
        assert mine.sort("id")["score"].is_sorted(descending=True)
    assert everything["score"].is_between(LISTED, 1).all()
    assert items.equals(everything.filter(pl.col("score") >= 0.3))
    assert out.coordinates.meta["id_space"] == out.all_coordinates.meta["id_space"]
    assert protocol.summary(out)["particles"] == len(items) and "200 Å" in protocol.methods(out)
    assert len(protocol.report(out)) == 5 and all(panel.html() for panel in protocol.report(out))


def test_the_same_again_is_the_same_bits(scene, picked):
    again = DeepPick(micrographs=scene[0], diameter=DIAMETER).run(PlainJob(scene[0].root / "r2", scene[0].root))
    assert again.all_coordinates.items.equals(picked[1].all_coordinates.items)


def test_threshold_number_and_border(scene, picked):
    micrographs, _ = scene
    few = DeepPick(micrographs=micrographs, diameter=DIAMETER, threshold=0.1, most=7, border=1.0)
    out = few.run(PlainJob(micrographs.root / "r3", micrographs.root))
    assert out.coordinates.items["micrograph_id"].to_list() == [1] * 7 + [2] * 7 + [3] * 7
    assert out.all_coordinates.items["x"].min() >= DIAMETER / PIXEL - 1
    assert len(out.all_coordinates) < len(picked[1].all_coordinates)


def test_micrographs_without_ctf_are_left_out(scene):
    micrographs, _ = scene
    columns = {"id": [1, 2, 3], "micrograph_id": [1, 2, 3], **{name: [1e4] * 3 for name in ("defocus_u", "defocus_v")}}
    ctfs = CTFs(pl.DataFrame({**columns, "defocus_angle": [0.0] * 3, "phase_shift": [0.0] * 3}), micrographs.root, optics=OPTICS)
    job = PlainJob(micrographs.root / "r4", micrographs.root)
    out = DeepPick(micrographs=micrographs, ctfs=ctfs.disable({2: "no rings"}), diameter=DIAMETER).run(job)
    assert out.coordinates.items["micrograph_id"].unique().sort().to_list() == [1, 3]
    assert any("1 micrographs have no believable CTF" in warning for warning in job.warnings)


def test_the_wrong_contrast_is_noticed(scene, picked):
    micrographs, _ = scene
    job = PlainJob(micrographs.root / "r5", micrographs.root)
    DeepPick(micrographs=micrographs, diameter=DIAMETER, bright=True).run(job)
    assert any("inverted" in warning and "--bright" in warning for warning in job.warnings)


def test_what_is_no_number_costs_only_itself(tmp_path):
    image, true = draw(Scenery(shape=(640, 640), diameter=DIAMETER, count=25), 4)
    image = image.copy()
    image[300:330, 300:330] = np.nan
    job = PlainJob(tmp_path / "r1", tmp_path)
    micrographs = micrographs_of(tmp_path, [image, np.full((400, 400), np.nan, np.float32)])
    out = DeepPick(micrographs=micrographs, diameter=DIAMETER).run(job)
    found = out.coordinates.items.filter(pl.col("micrograph_id") == 1).select("x", "y").to_numpy()
    assert len(matched(found, true, 0.2 * DIAMETER / PIXEL)) >= 0.85 * len(true)
    assert 2 not in out.coordinates.items["micrograph_id"]


def test_noise_finishes_with_a_warning(tmp_path):
    image = np.random.default_rng(0).poisson(180, (600, 600)).astype(np.float32)
    job = PlainJob(tmp_path / "r1", tmp_path)
    protocol = DeepPick(micrographs=micrographs_of(tmp_path, [image]), diameter=DIAMETER)
    out = protocol.run(job)
    assert len(out.coordinates) <= 1 and job.warnings and protocol.report(out)
    with pytest.raises(Failure, match="no micrograph is left"):
        DeepPick(micrographs=protocol.micrographs.disable({1: "bad"}), diameter=DIAMETER).run(job)


def test_picks_teach_and_the_model_is_used_again(scene, picked, tmp_path):
    micrographs, truth = scene
    picks = true_coordinates(micrographs, truth, (1, 2))
    settings = {"diameter": DIAMETER, "tune_steps": 4, "tune_micrographs": 1}
    job = PlainJob(micrographs.root / "r6", micrographs.root)
    tuned = DeepPick(micrographs=micrographs, coordinates=picks, **settings)
    out = tuned.run(job)
    assert out.model is not None and out.model.meta["micrographs"] == 1 and len(out.model.meta["losses"]) == 4
    assert "fine-tuned on" in tuned.methods(out) and len(tuned.report(out)) == 6
    assert not out.coordinates.items.equals(picked[1].coordinates.items)
    later = DeepPick(micrographs=micrographs, model=out.model, diameter=DIAMETER)
    again = later.run(PlainJob(micrographs.root / "r7", micrographs.root))
    assert again.all_coordinates.items.equals(out.all_coordinates.items) and again.model is None


def test_a_file_that_is_no_model_is_refused(scene):
    micrographs, _ = scene
    np.savez(micrographs.root / "odd.npz", weights=np.zeros(3))
    model = PickingModel(pl.DataFrame({"id": [1], "model_path": ["odd.npz"]}), micrographs.root, meta={"picker": "pick.deep"})
    with pytest.raises(Failure, match="another network"):
        DeepPick(micrographs=micrographs, model=model, diameter=DIAMETER).run(PlainJob(micrographs.root / "r8", micrographs.root))


def test_hints(scene):
    micrographs, truth = scene
    model = PickingModel(pl.DataFrame({"id": [1], "model_path": ["m.npz"]}), micrographs.root)
    strangers = true_coordinates(micrographs, truth, (1,)).with_columns(
        pl.DataFrame({"id": [(1 << 20) + place for place in range(len(truth[0]))], "micrograph_name": ["x"] * len(truth[0])})
    )

    def parameters(**values):
        return [hint.parameter for hint in DeepPick(**{"micrographs": micrographs, "diameter": DIAMETER, **values}).check()]

    assert parameters() == []
    assert parameters(diameter=900.0) == ["diameter"] and parameters(diameter=20.0) == ["diameter"]
    assert parameters(model=model) == ["model"]
    assert parameters(coordinates=strangers) == ["coordinates"]
    assert parameters(engine="topaz", coordinates=true_coordinates(micrographs, truth, (1,)), bright=True) == ["engine", "bright"]
    assert next(iter(DeepPick(micrographs=micrographs, diameter=900.0).check())).fix == 720.0


TOPAZ = """#!/usr/bin/env python3
import pathlib, shutil, sys
words = sys.argv[1:]
if words[0] == "preprocess":
    out = pathlib.Path(words[words.index("-o") + 1])
    out.mkdir()
    for each in words[words.index("-o") + 2:]:
        shutil.copy(each, out / pathlib.Path(each).name)
else:
    assert words[words.index("-r") + 1] == "17" and words[words.index("-x") + 1] == "3", words
    lines = ["image_name\\tx_coord\\ty_coord\\tscore", "1\\t10\\t20\\t3.0", "1\\t90\\t20\\t-1.5", "1\\t50\\t50\\t-5.0", "3\\t30\\t40\\t0.0"]
    pathlib.Path(words[words.index("-o") + 1]).write_text("\\n".join(lines))
"""


class ProgramJob(PlainJob):
    """A job that runs programs."""

    def run_program(self, command, *, name, environment=None):
        import subprocess

        folder = self.folder / name
        folder.mkdir(parents=True)
        subprocess.run(command, cwd=folder, check=True)
        return folder


def test_topaz_picks_where_it_is_installed(scene, tmp_path, monkeypatch):
    micrographs, _ = scene
    protocol = DeepPick(micrographs=micrographs, diameter=DIAMETER, engine="topaz")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="topaz is not installed"):
        protocol.run(ProgramJob(micrographs.root / "r10", micrographs.root))
    program = tmp_path / "bin/topaz"
    program.parent.mkdir()
    program.write_text(TOPAZ)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    out = protocol.run(ProgramJob(micrographs.root / "r9", micrographs.root))
    assert out.all_coordinates.items.select("micrograph_id", "x", "y").rows() == [(1, 10.0, 20.0), (1, 90.0, 20.0), (3, 30.0, 40.0)]
    assert out.all_coordinates.items["score"].to_list() == pytest.approx([0.9526, 0.1824, 0.5], abs=1e-4)
    assert len(out.coordinates) == 2 and "Topaz" in protocol.methods(out)
