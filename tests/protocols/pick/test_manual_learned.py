"""pick.manual and pick.learned: clicks to a model, a model to picks, and what may be wrong with either."""

import numpy as np
import polars as pl
import pytest
from blobby_micrographs import Scenery, draw, matched
from plain_job import PlainJob

from cryoloom.data import Coordinates, Micrographs, PickingModel
from cryoloom.data.marks import MARKS, Look, Marks, Pick, Sheet
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.picking_model import NAME, export_model, read_model
from cryoloom.numerics.fourier.transforms import resample_images
from cryoloom.protocols.pick.learned import LearnedPick
from cryoloom.protocols.pick.manual import ManualPick
from cryoloom.spec import Failure

DIAMETER, SIZE, SIDE = 200.0, 2.4, 640
ACROSS = DIAMETER / SIZE


def optics(size):
    return [{"optics_group": 1, "optics_group_name": "a", "pixel_size": size, "voltage": 300.0, "cs": 2.0, "amplitude_contrast": 0.1}]


def publish(root, images, size=SIZE, prefix="m"):
    """Return images as a set of micrographs."""
    rows = []
    for number, image in enumerate(images, 1):
        write_mrc(root / f"{prefix}{number}.mrc", image, size)
        row = {"id": number, "micrograph_name": f"{prefix}{number}", "micrograph_path": f"{prefix}{number}.mrc", "weighted_path": None}
        rows.append({**row, "width": image.shape[1], "height": image.shape[0]})
    frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    return Micrographs(frame.with_columns(pl.col("weighted_path").cast(pl.String)), root, optics=optics(size))


def clicks(micrographs, places, *, size=SIZE, prefix="m", diameter=DIAMETER):
    """Return places ``{micrograph number: (n, 2)}`` as coordinates."""
    rows = [
        {"id": (number << 20) + 5 * place, "micrograph_id": number, "micrograph_name": f"{prefix}{number}", "x": x, "y": y}
        for number, points in places.items()
        for place, (x, y) in enumerate(points)
    ]
    schema = {"id": pl.Int64, "micrograph_id": pl.Int64, "micrograph_name": pl.String, "x": pl.Float64, "y": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema).with_columns(score=pl.lit(None, pl.Float64), optics_group=pl.lit(1, pl.Int64))
    return Coordinates(frame, micrographs.root, optics=optics(size), meta={"diameter": diameter, "id_space": "clicks"})


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Return three micrographs with ice, the last of which nobody picks, and the true centres."""
    drawn = [draw(Scenery(ice=2, defocus=defocus), number) for number, defocus in enumerate((9000, 15000, 12000))]
    return publish(tmp_path_factory.mktemp("project"), [image for image, _ in drawn]), [true for _, true in drawn]


@pytest.fixture(scope="module")
def taught(scene):
    micrographs, true = scene
    given = clicks(micrographs, {1: true[0], 2: true[1]})
    protocol = ManualPick(micrographs=micrographs, coordinates=given)
    assert not list(protocol.check())
    job = PlainJob(micrographs.root / "runs/r1", micrographs.root)
    return protocol, given, protocol.run(job), job


def learned(scene, taught, folder, **parameters):
    micrographs = parameters.pop("micrographs", scene[0])
    protocol = LearnedPick(micrographs=micrographs, model=taught[2].model, **parameters)
    return protocol, protocol.run(PlainJob(micrographs.root / folder, micrographs.root))


def found_again(out, true, number, across=ACROSS):
    mine = out.coordinates.items.filter(pl.col("micrograph_id") == number)
    return len(matched(mine.select("x", "y").to_numpy(), true, 0.2 * across)), len(mine)


def test_given_coordinates_teach_a_model_and_keep_their_ids(taught):
    protocol, given, out, job = taught
    items = out.coordinates.items
    assert items["id"].equals(given.items["id"]) and out.coordinates.meta["id_space"] == "clicks"
    assert set(items["picking_state"]) == {"manual"} and (items["diameter"] == DIAMETER).all() and out.discarded is None
    about = out.model.meta
    assert about["particles"] == len(given) and about["precision"] > 0.85 and about["recall"] > 0.85
    assert about["box_size"] == 125 and about["pixel_size"] == SIZE
    assert protocol.summary(out)["particles"] == len(given) and not job.warnings
    assert "learned from" in protocol.methods(out) and len(protocol.report(out)) == 4


def test_the_model_picks_what_nobody_picked(scene, taught):
    protocol, out = learned(scene, taught, "runs/r2")
    hits, picked = found_again(out, scene[1][2], 3)
    assert hits >= 0.85 * max(len(scene[1][2]), picked), "46 particles were shown"
    items = out.coordinates.items
    assert items["id"].is_unique().all() and (items["id"] // 2**20 == items["micrograph_id"]).all()
    assert items["score"].is_between(0.5, 1.0).all() and set(items["micrograph_path"]) == {"m1.mrc", "m2.mrc", "m3.mrc"}
    assert protocol.summary(out)["particles"] == len(items) and len(protocol.report(out)) == 5 and "at least 0.5" in protocol.methods(out)
    assert learned(scene, taught, "runs/r3")[1].coordinates.items.equals(items)
    few = learned(scene, taught, "runs/r4", least=0.9, most=3)[1].coordinates.items
    assert few["score"].min() >= 0.9 and len(few) <= 9


def test_a_model_from_elsewhere_is_a_file_that_can_only_be_read(scene, taught, tmp_path):
    micrographs, _ = scene
    written = export_model(taught[2].model, "model", tmp_path, related={})
    assert [path.name for path in written] == [NAME]
    np.load(written[0], allow_pickle=False)  # no pickles
    direct = learned(scene, taught, "runs/r5")[1].coordinates.items
    for place in (tmp_path, tmp_path / NAME):
        other = LearnedPick(micrographs=micrographs, model_path=str(place))
        assert not list(other.check()) and other.fingerprint()
        out = other.run(PlainJob(micrographs.root / f"runs/e{len(place.name)}", micrographs.root))
        assert out.coordinates.items.equals(direct)


def test_models_that_cannot_be_used_are_refused(scene, taught, tmp_path):
    micrographs, _ = scene
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    for place, words in ((tmp_path / "none", "there is no picking model"), (tmp_path / "bad.npz", "is not a picking model")):
        hints = list(LearnedPick(micrographs=micrographs, model_path=str(place)).check())
        assert [hint.parameter for hint in hints] == ["model_path"] and words in hints[0].message
    assert "pick.manual makes a model" in next(iter(LearnedPick(micrographs=micrographs).check())).message
    both = LearnedPick(micrographs=micrographs, model=taught[2].model, model_path=str(tmp_path))
    assert "give one of them" in next(iter(both.check())).message
    with pytest.raises(Failure, match="no micrograph is left"):
        learned(scene, taught, "runs/r6", micrographs=micrographs.disable(dict.fromkeys((1, 2, 3), "bad")))


def test_another_sampling_is_rescaled_with_notice(scene, taught, tmp_path):
    import torch

    from cryoloom.formats.mrc import read_mrc

    image = torch.from_numpy(read_mrc(scene[0].root / "m3.mrc").data)
    coarse = publish(tmp_path, [resample_images(image, (400, 400)).numpy()], size=3.84)
    model = PickingModel(taught[2].model.items, scene[0].root, meta=taught[2].model.meta)
    protocol = LearnedPick(micrographs=coarse, model=model)
    hints = list(protocol.check())
    assert [hint.error for hint in hints] == [False] and "micrographs of 3.84 Å/px are rescaled" in hints[0].message
    out = protocol.run(PlainJob(tmp_path / "runs/r1", tmp_path))
    hits, picked = found_again(out, scene[1][2] * 400 / SIDE, 1, DIAMETER / 3.84)
    assert hits >= 0.85 * max(len(scene[1][2]), picked)


def test_micrographs_smaller_than_the_box_are_refused(scene, taught, tmp_path):
    small = publish(tmp_path, [np.zeros((160, 160), np.float32)])
    hints = list(LearnedPick(micrographs=small, model=taught[2].model).check())
    assert "boxes of 125 px, too large for micrographs of 160 × 160 px" in hints[0].message
    hints = list(ManualPick(micrographs=scene[0], box_size=700).check())
    assert hints[0].parameter == "box_size" and "a box of 700 px, too large" in hints[0].message and hints[0].fix == 480


def test_an_empty_micrograph_has_no_coordinates(taught, tmp_path):
    noise = np.random.default_rng(0).poisson(170, (SIDE, SIDE)).astype(np.float32)
    empty = publish(tmp_path, [noise, np.full((SIDE, SIDE), 7.0, np.float32)])
    job = PlainJob(tmp_path / "runs/r1", tmp_path)
    protocol = LearnedPick(micrographs=empty, model=taught[2].model)
    out = protocol.run(job)
    assert len(out.coordinates) == 0 and out.coordinates.meta["picked_micrographs"] == 2
    assert "No particle was found on 2 micrographs" in job.warnings[0] and protocol.summary(out)["micrographs"] == 2
    assert protocol.report(out)


def test_too_few_picks_and_other_micrographs(scene, tmp_path):
    micrographs, true = scene
    none = clicks(micrographs, {})
    elsewhere = clicks(micrographs, {1: true[0]}, prefix="other")
    for given, words in ((none, "are none; pick at least 10 particles"), (elsewhere, "lie on other micrographs (other1 …)")):
        hints = list(ManualPick(micrographs=micrographs, coordinates=given).check())
        assert [hint.parameter for hint in hints] == ["coordinates"] and words in hints[0].message
    with pytest.raises(Failure, match="Pick at least 10 particles"):
        ManualPick(micrographs=micrographs, coordinates=none).run(PlainJob(micrographs.root / "runs/n1", micrographs.root))
    job = PlainJob(micrographs.root / "runs/n2", micrographs.root)
    out = ManualPick(micrographs=micrographs, coordinates=clicks(micrographs, {1: true[0][:9]})).run(job)
    assert len(out.coordinates) == 9 and out.model is None and "pick at least 10 particles" in job.warnings[0]
    assert "nothing else tells how large" in next(iter(ManualPick(micrographs=micrographs).check())).message
    assert "where nobody picks" in next(iter(ManualPick(micrographs=micrographs, interactive="no", diameter=200.0).check())).message


def test_coordinates_of_binned_micrographs_are_scaled(scene, taught):
    micrographs, true = scene
    coarse = clicks(micrographs, {1: true[0] / 2, 2: true[1] / 2}, size=2 * SIZE)
    out = ManualPick(micrographs=micrographs, coordinates=coarse).run(PlainJob(micrographs.root / "runs/b1", micrographs.root))
    np.testing.assert_allclose(out.coordinates.items["x"], taught[2].coordinates.items["x"])
    assert out.model.meta["particles"] == taught[2].model.meta["particles"]


def test_a_run_waits_until_somebody_has_picked(scene):
    micrographs, true = scene
    job = PlainJob(micrographs.root / "runs/w1", micrographs.root)
    protocol = ManualPick(micrographs=micrographs, diameter=DIAMETER, save_discarded=True)
    with pytest.raises(Failure) as waits:
        protocol.run(job)
    assert waits.value.code == "needs-you"
    marks = Marks(DIAMETER, least=0.6)
    picks = [Pick(x, y) for x, y in true[0]]
    marks.sheets[1] = Sheet(Look.MANUAL, picks)
    auto = [Pick(true[1][0][0], true[1][0][1], 0.9), Pick(true[1][1][0], true[1][1][1], 0.55)]
    marks.sheets[2] = Sheet(Look.SUPERVISED, auto, rejected=[Pick(50.0, 60.0, 0.7)])
    marks.write(job.folder / MARKS)
    out = protocol.run(job)
    items = out.coordinates.items
    assert len(items) == len(picks) + 1 and items.filter(pl.col("micrograph_id") == 2)["score"].to_list() == [0.9]
    assert dict(items.select("micrograph_id", "picking_state").unique().iter_rows()) == {1: "manual", 2: "supervised"}
    assert out.discarded.items["score"].sort().to_list() == [0.55, 0.7]
    assert out.model.meta["particles"] == len(picks), "picks of the model count once they are accepted"
    assert read_model(out.model.file(out.model.items["model_path"][0])).about["micrographs"] == 1
