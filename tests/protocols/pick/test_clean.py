"""pick.clean on simulated micrographs: what is kept, what is told, and what is refused."""

import numpy as np
import polars as pl
import pytest
import torch
from plain_job import PlainJob
from pydantic import ValidationError

from cryoloom.data import Coordinates, Micrographs
from cryoloom.formats.mrc import read_mrc, read_mrc_header, write_mrc
from cryoloom.numerics.learn.segmentation import Segmenter
from cryoloom.numerics.picking import cleaning
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.protocols.pick.clean import CleanPicks
from cryoloom.spec import Failure

PIXEL, DIAMETER, SIDE = 4.0, 160.0, 640
OPTICS = [{"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]


def micrographs_of(root, images, names=None):
    rows = []
    for number, image in enumerate(images, 1):
        name = names[number - 1] if names else f"m{number}"
        write_mrc(root / f"{name}.mrc", image, PIXEL)
        rows.append(
            {
                "id": number, "micrograph_name": name, "micrograph_path": f"{name}.mrc", "weighted_path": None, "width": image.shape[1],
                "height": image.shape[0], "optics_group": 1, "enabled": True, "fail_reason": "",
            }
        )  # fmt: skip
    return Micrographs(pl.DataFrame(rows, schema_overrides={"weighted_path": pl.String}), root, optics=OPTICS)


def coordinates_of(root, places, *, optics=None, **meta):
    """Return coordinates at `places`: micrograph, x, y."""
    rows = [
        {
            "id": (number << 20) + index, "micrograph_id": number, "micrograph_name": f"m{number}", "x": float(x), "y": float(y),
            "score": 1.0, "optics_group": 1,
        }
        for index, (number, x, y) in enumerate(places)
    ]  # fmt: skip
    return Coordinates(pl.DataFrame(rows), root, optics=optics or OPTICS, meta={"diameter": DIAMETER} | meta)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Two micrographs, one with carbon and a border, one clean; good places and places on what covers the ice."""
    root, images, places, good = tmp_path_factory.mktemp("project"), [], [], []
    for number, more in ((1, {"carbon_fraction": 1.0, "sheets": 2.0}), (2, {})):
        rng, microscope = np.random.default_rng(20 + number), Microscope(300.0, 2.7, 0.1)
        recipe = Recipe(SIDE, SIDE, PIXEL, 40, ice=0.015, grain=0.03, **more)
        specimen = draw_specimen(recipe, [random_phantom(11, DIAMETER)], microscope, rng)
        images.append(micrograph(specimen, microscope, 30.0, rng))
        places += [(number, p.x, p.y) for p in specimen.particles]
        good += [True] * len(specimen.particles)
        rows, columns = np.nonzero(specimen.contaminated)
        some = rng.permutation(len(rows))[:20]
        places += [(number, x, y) for x, y in zip(columns[some], rows[some], strict=True)]
        good += [False] * len(some)
    return micrographs_of(root, images), places, np.array(good)


@pytest.fixture(scope="module")
def cleaned(scene):
    micrographs, places, _ = scene
    job = PlainJob(micrographs.root / "run", micrographs.root)
    protocol = CleanPicks(coordinates=coordinates_of(micrographs.root, places, id_space="a"), micrographs=micrographs)
    return protocol, protocol.run(job), job


def test_contaminants_go_and_particles_stay(scene, cleaned):
    _, places, good = scene
    protocol, out, job = cleaned
    ids = np.array([(number << 20) + index for index, (number, _, _) in enumerate(places)])
    kept = np.isin(ids, out.coordinates.ids().to_numpy())
    assert kept[good].mean() >= 0.95 and kept[~good].mean() <= 0.1
    assert len(out.coordinates) + len(out.discarded) == len(places)
    assert out.coordinates.meta["id_space"] == "a" and out.coordinates.meta["threshold"] == 0.75
    scores = out.coordinates.items["good_region_score"]
    assert scores.is_between(0.75, 1.0).all() and (out.discarded.items["good_region_score"] < 0.75).all()
    assert (out.coordinates.items["mask_distance"] > 0).any() and not job.warnings
    assert not list(protocol.check())


def test_masks_and_their_report(cleaned):
    protocol, out, _ = cleaned
    rows = {row["id"]: row for row in out.masks.items.iter_rows(named=True)}
    assert rows[1]["covered"] > 0.15 and rows[2]["covered"] < 0.02 and not rows[1]["mask_unreliable"]
    mask = read_mrc(out.masks.file(rows[1]["cover_path"]))
    assert read_mrc_header(out.masks.file(rows[1]["cover_path"])).mode == 0 and mask.data.min() >= 0 and mask.data.max() <= 100
    assert mask.data.mean() / 100 == pytest.approx(rows[1]["covered"], abs=0.05)
    summary = protocol.summary(out)
    assert summary["coordinates"] == len(out.coordinates) and summary["micrographs"] == 2
    panels = protocol.report(out)
    assert len(panels) == 4 and panels[0].html().count("<image") == 2
    assert panels[0].html().count("<circle") == len(out.coordinates) + len(out.discarded)
    assert "0.75" in protocol.methods(out)


def test_minus_one_keeps_all_with_their_scores(scene, cleaned):
    micrographs, places, _ = scene
    coordinates = coordinates_of(micrographs.root, places)
    out = CleanPicks(coordinates=coordinates, micrographs=micrographs, threshold=-1).run(
        PlainJob(micrographs.root / "all", micrographs.root)
    )
    assert out.discarded is None and len(out.coordinates) == len(places)
    _, other, _ = cleaned
    both = out.coordinates.items.join(other.coordinates.items, on="id")
    assert (both["good_region_score"] == both["good_region_score_right"]).all() and both.height == len(other.coordinates)


def test_distance_to_edges(scene, cleaned):
    micrographs, places, _ = scene
    coordinates = coordinates_of(micrographs.root, places)
    protocol = CleanPicks(coordinates=coordinates, micrographs=micrographs, edge_distance=300.0)
    out = protocol.run(PlainJob(micrographs.root / "far", micrographs.root))
    assert (out.coordinates.items["mask_distance"] >= 300.0).all()
    assert set(out.coordinates.ids()) == set(cleaned[1].coordinates.items.filter(pl.col("mask_distance") >= 300.0)["id"])


def test_places_are_scaled_to_other_micrographs(scene, cleaned):
    """Coordinates of micrographs twice as fine, whose first pixel lies elsewhere."""
    micrographs, places, _ = scene
    finer = [{**OPTICS[0], "pixel_size": PIXEL / 2, "offset_x": 40.0, "offset_y": -8.0}]
    moved = [(number, 2 * x - 20, 2 * y + 4) for number, x, y in places]
    coordinates = coordinates_of(micrographs.root, moved, optics=finer)
    out = CleanPicks(coordinates=coordinates, micrographs=micrographs).run(PlainJob(micrographs.root / "other", micrographs.root))
    assert out.coordinates.ids().to_list() == cleaned[1].coordinates.ids().to_list()
    assert out.coordinates.items["x"].to_list() == coordinates.select(out.coordinates.ids()).items["x"].to_list()


def test_a_mask_of_everything_is_not_believed(scene, monkeypatch):
    micrographs, places, _ = scene
    network = Segmenter()
    torch.nn.init.constant_(network.last.bias, 30.0)
    monkeypatch.setattr(cleaning, "cleaner", lambda: network)
    job = PlainJob(micrographs.root / "guard", micrographs.root)
    protocol = CleanPicks(coordinates=coordinates_of(micrographs.root, places), micrographs=micrographs)
    out = protocol.run(job)
    assert len(out.coordinates) == len(places) and out.coordinates.items["good_region_score"].is_nan().all()
    assert out.masks.items["mask_unreliable"].all() and "kept, without a score" in job.warnings[0]
    assert protocol.report(out) and protocol.summary(out)["masks not believed"] == 2


def test_empty_and_unreadable_micrographs(scene, tmp_path):
    images = [np.zeros((300, 300), np.float32), np.random.default_rng(0).poisson(300, (300, 300)).astype(np.float32)]
    micrographs = micrographs_of(tmp_path, [*images, images[1]])
    (tmp_path / "m3.mrc").write_bytes(b"no header")
    coordinates = coordinates_of(tmp_path, [(1, 100, 100), (2, 100, 100), (3, 100, 100)])
    job = PlainJob(tmp_path / "run", tmp_path)
    out = CleanPicks(coordinates=coordinates, micrographs=micrographs).run(job)
    assert out.coordinates.items["micrograph_id"].to_list() == [1, 2]
    assert np.isnan(out.coordinates.items["good_region_score"][0]) and out.coordinates.items["good_region_score"][1] > 0.75
    assert any("1 coordinates lie on micrographs" in each for each in job.warnings) and any(
        "masked nearly" in each for each in job.warnings
    )


def test_bright_particles_are_told_or_known(scene, cleaned):
    micrographs, places, _ = scene
    images = [read_mrc(micrographs.file(path)).data for path in micrographs.items["micrograph_path"]]
    inverted = micrographs_of(micrographs.root, [image.max() - image for image in images], ["i1", "i2"])
    inverted.items = inverted.items.with_columns(micrograph_name=pl.format("m{}", "id"))
    coordinates = coordinates_of(micrographs.root, places)
    for number, (optics, bright) in enumerate(((OPTICS, True), ([{**OPTICS[0], "contrast": "bright"}], False))):
        known = Micrographs(inverted.items, micrographs.root, optics=optics)
        job = PlainJob(micrographs.root / f"bright{number}", micrographs.root)
        out = CleanPicks(coordinates=coordinates, micrographs=known, bright=bright).run(job)
        assert out.coordinates.ids().to_list() == cleaned[1].coordinates.ids().to_list()


def test_what_cannot_be_is_refused(scene):
    micrographs, places, _ = scene
    coordinates = coordinates_of(micrographs.root, places)

    def hints(**changes):
        return [
            (hint.parameter, hint.message)
            for hint in CleanPicks(**({"coordinates": coordinates, "micrographs": micrographs} | changes)).check()
        ]

    with pytest.raises(ValidationError, match="greater than 0"):
        CleanPicks(coordinates=coordinates, micrographs=micrographs, diameter=0)
    ((name, words),) = hints(diameter=3000.0)
    assert name == "diameter" and "likely too big" in words
    ((name, words),) = hints(coordinates=Coordinates(coordinates.items, micrographs.root, optics=OPTICS))
    assert name == "diameter" and "do not tell" in words
    ((name, _),) = hints(threshold=-0.5)
    assert name == "threshold"
    elsewhere = Micrographs(micrographs.items.with_columns(micrograph_name=pl.lit("z")), micrographs.root, optics=OPTICS)
    ((name, words),) = hints(micrographs=elsewhere)
    assert name == "micrographs" and "not those of the coordinates: none is called m1" in words
    with pytest.raises(Failure, match="No coordinate lies on"):
        CleanPicks(coordinates=coordinates, micrographs=elsewhere).run(PlainJob(micrographs.root / "x", micrographs.root))
    ((name, words),) = hints(micrographs=None)
    assert name == "micrographs" and "do not tell the files" in words


def test_coordinates_that_tell_their_files_need_no_micrographs(scene, cleaned):
    micrographs, places, _ = scene
    coordinates = coordinates_of(micrographs.root, places)
    told = coordinates.items.with_columns(micrograph_path=pl.format("{}.mrc", "micrograph_name"))
    protocol = CleanPicks(coordinates=Coordinates(told, micrographs.root, optics=OPTICS, meta=coordinates.meta))
    assert not list(protocol.check())
    out = protocol.run(PlainJob(micrographs.root / "told", micrographs.root))
    assert out.coordinates.ids().to_list() == cleaned[1].coordinates.ids().to_list() and len(protocol.report(out)) == 4
