"""pick.consensus on the positions of pickers that err in known ways."""

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import Coordinates, Micrographs
from cryoloom.data.picks import pick_rows
from cryoloom.formats.mrc import write_mrc
from cryoloom.numerics.picking.matching import agreement
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.protocols.pick.consensus import PickConsensus
from cryoloom.spec import Failure

PIXEL, DIAMETER, SIDE = 2.5, 160.0, 900
OPTICS = [{"optics_group": 1, "optics_group_name": "a", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.0, "amplitude_contrast": 0.1}]
NAMES = ("m1", "m2", "m3")


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Return three micrographs with contaminants, the true places on each, and those of what is no particle."""
    root = tmp_path_factory.mktemp("project")
    microscope, phantom = Microscope(300.0, 2.0, 0.1), random_phantom(77, DIAMETER, shape="cluster")
    rows, truth, junk = [], {}, {}
    for number, name in enumerate(NAMES, 1):
        rng = np.random.default_rng(number)
        recipe = Recipe(height=SIDE, width=SIDE, pixel_size=PIXEL, particles=60, contaminants=6.0, defocus_min=12_000, defocus_max=25_000)
        specimen = draw_specimen(recipe, [phantom], microscope, rng)
        write_mrc(root / f"{name}.mrc", micrograph(specimen, microscope, 35.0, rng), PIXEL)
        truth[name] = np.array([(one.x, one.y) for one in specimen.particles])
        junk[name] = np.argwhere(specimen.contaminated)[:, ::-1][:: max(1, specimen.contaminated.sum() // 60)].astype(float)
        rows.append({"id": number, "micrograph_name": name, "micrograph_path": f"{name}.mrc", "width": SIDE, "height": SIDE})
    frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    return Micrographs(frame, root, optics=OPTICS), truth, junk


def picker(field, seed, *, recall, false, diameter=DIAMETER, scale=1.0):
    """Return positions as a picker of this recall gives them, beside `false` wrong ones a micrograph, a third of those on contaminants."""
    micrographs, truth, junk = field
    rng, frames = np.random.default_rng(seed), []
    for row in micrographs.items.iter_rows(named=True):
        true = truth[row["micrograph_name"]]
        found = true[rng.random(len(true)) < recall]
        found = found + rng.normal(0, 0.05 * DIAMETER / PIXEL, found.shape)
        heaps = junk[row["micrograph_name"]]
        wrong = [rng.uniform(0, SIDE, (false - false // 3, 2)), heaps[rng.permutation(len(heaps))[: false // 3]]]
        places = np.concatenate([found, *wrong]).clip(0, SIDE - 1) / scale
        frames.append(pick_rows(row, diameter, x=places[:, 0], y=places[:, 1], score=np.ones(len(places))))
    optics = [{**OPTICS[0], "pixel_size": PIXEL * scale}]
    return Coordinates(pl.concat(frames), micrographs.root, optics=optics, meta={"diameter": diameter, "id_space": str(seed)})


@pytest.fixture(scope="module")
def sets(field):
    return tuple(picker(field, seed, recall=recall, false=false) for seed, recall, false in ((1, 0.9, 40), (2, 0.85, 25), (3, 0.8, 15)))


def run(field, sets, **given):
    job = PlainJob(field[0].root, field[0].root)
    protocol = PickConsensus(coordinates=sets, **given)
    assert not [hint for hint in protocol.check() if hint.error], list(protocol.check())
    return protocol, protocol.run(job), job


def judged(field, coordinates):
    """Return how positions compare with truth, over all micrographs."""
    mine = [coordinates.items.filter(pl.col("micrograph_name") == name) for name in field[1]]
    found = [(rows.select("x", "y").to_numpy(), rows["score"].to_numpy()) for rows in mine]
    return agreement(found, list(field[1].values()), DIAMETER / PIXEL)


def test_votes_alone_take_what_all_found(field, sets):
    protocol, out, _ = run(field, sets, by="votes")
    assert (out.coordinates.items["votes"] == 3).all() and (out.coordinates.items["score"] == 1).all()
    assert judged(field, out.coordinates).precision > 0.93
    two = run(field, sets, by="votes", votes=2)[1].coordinates
    assert judged(field, two).recall > judged(field, out.coordinates).recall + 0.1
    assert set(out.all_coordinates.items["found_by"].unique()) == {"1", "2", "3", "1,2", "1,3", "2,3", "1,2,3"}
    assert len(out.all_coordinates) < sum(map(len, sets)) and protocol.summary(out)["kept"] == len(out.coordinates)
    assert len(protocol.report(out)) == 3 and "3 pickers" in protocol.methods(out)


def test_networks_and_votes_are_better_than_any_picker(field, sets):
    protocol, out, _ = run(field, sets)
    ours = judged(field, out.coordinates)
    assert ours.f1 > max(judged(field, each).f1 for each in sets) + 0.1 and ours.precision > 0.92 and ours.recall > 0.9
    assert out.all_coordinates.items["score"].is_between(0, 1).all() and out.coordinates.items["score"].min() >= 0.5
    assert (out.all_coordinates.items["deep_spread"] >= 0).all() and len(protocol.report(out)) == 4


def test_a_particle_is_kept_once(field, sets):
    out = run(field, sets, threshold=-1)[1].coordinates
    for _, mine in out.items.group_by("micrograph_name"):
        places = mine.select("x", "y").to_numpy()
        apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(len(places)) * 1e6
        assert apart.min() >= 0.5 * DIAMETER / PIXEL


def test_the_order_of_the_sets_does_not_matter(field, sets):
    one, two = run(field, sets)[1].all_coordinates.items, run(field, sets[::-1])[1].all_coordinates.items
    exact = ["id", "micrograph_name", "x", "y", "votes", "deep_score"]
    assert one.select(exact).equals(two.select(exact))
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy(), abs=1e-9)


def known(coordinates, kind, seed, *, truth=None):
    """Return `coordinates` as of the picker `kind`, with scores that tell nothing, or, of a `truth`, what lies near it."""
    rng, rows = np.random.default_rng(seed), coordinates.items
    score = rng.uniform(0.5, 1.0, len(rows))
    if truth is not None:
        near = [
            np.hypot(*(truth[name] - (x, y)).T).min() < 0.2 * DIAMETER / PIXEL
            for name, x, y in rows["micrograph_name", "x", "y"].iter_rows()
        ]
        score = np.where(near, rng.uniform(0.8, 1.0, len(rows)), rng.uniform(0.05, 0.3, len(rows)))
    rows = rows.with_columns(score=pl.Series(score))
    return Coordinates(rows, coordinates.root, optics=coordinates.optics, meta={**coordinates.meta, "picker": kind})


def test_scores_of_known_pickers_are_weighed(field, sets):
    kinds = ("pick.deep", "pick.blob", "pick.template")
    telling = tuple(known(each, kind, seed, truth=field[1]) for seed, (each, kind) in enumerate(zip(sets, kinds, strict=True)))
    protocol, out, _ = run(field, telling)
    assert out.coordinates.meta["weighed"] and "votes and scores" in protocol.methods(out)
    assert judged(field, out.coordinates).f1 > judged(field, run(field, sets)[1].coordinates).f1 + 0.01
    turned = run(field, telling[::-1])[1]
    assert turned.all_coordinates.items.select("x", "y", "score").equals(out.all_coordinates.items.select("x", "y", "score"))


def test_a_picker_that_no_other_confirms_is_not_worth_what_its_kind_is(field, sets):
    astray = known(picker(field, 8, recall=0.0, false=60), "pick.template", 8)
    among = (known(sets[0], "pick.blob", 1), known(sets[1], "pick.deep", 2), astray)
    out = run(field, among)[1]
    assert not out.coordinates.meta["weighed"]
    nameless = tuple(known(each, kind, 3) for each, kind in zip(among, ("", "", "pick.template"), strict=True))
    assert out.all_coordinates.items["score"].equals(run(field, nameless)[1].all_coordinates.items["score"])
    assert judged(field, out.coordinates).precision > 0.9


def test_sets_of_other_sampling_are_brought_together(field, sets):
    coarse = picker(field, 2, recall=0.85, false=25, scale=2.0)
    one, two = (run(field, (sets[0], each), by="votes", votes=2)[1].coordinates.items for each in (sets[1], coarse))
    assert one.select("x", "y").to_numpy() == pytest.approx(two.select("x", "y").to_numpy(), abs=1e-6)


def test_one_set_is_only_looked_at(field, sets):
    out = run(field, sets[:1])[1]
    assert len(out.all_coordinates) == len(sets[0])
    assert judged(field, out.coordinates).precision > judged(field, sets[0]).precision + 0.2


def test_what_cannot_be_is_said(field, sets):
    def hints(**given):
        return " ".join(f"{hint.parameter} {hint.message}" for hint in PickConsensus(**given).check())

    assert "one set twice" not in hints(coordinates=sets)
    assert "votes are more than the 2 sets" in hints(coordinates=sets[:2], votes=3)
    assert "differs between the sets, 100 to 160" in hints(coordinates=(sets[0], picker(field, 9, recall=0.5, false=0, diameter=100.0)))
    without = Coordinates(sets[0].items.drop("micrograph_path"), sets[0].root, optics=OPTICS, meta={})
    assert "do not say which files" in hints(coordinates=(without,)) and "is not told by the coordinates" in hints(coordinates=(without,))
    elsewhere = field[0].items.with_columns(micrograph_name=pl.lit("x") + pl.col("micrograph_name"))
    others = Micrographs(elsewhere, field[0].root, optics=OPTICS)
    assert "are not those of the coordinates" in hints(coordinates=sets, micrographs=others)
    assert "is empty" in hints(coordinates=())


def test_positions_on_other_micrographs_are_left_out_and_said(field, sets):
    fewer = Micrographs(field[0].items.head(2), field[0].root, optics=OPTICS)
    _, out, job = run(field, sets, by="votes", micrographs=fewer)
    assert set(out.coordinates.items["micrograph_name"]) == {"m1", "m2"}
    assert sum("not looked at" in warning for warning in job.warnings) == 3


def test_an_empty_picker_stops_with_its_reason(field, sets):
    nothing = Coordinates(sets[0].items.head(0), sets[0].root, optics=OPTICS, meta=sets[0].meta)
    with pytest.raises(Failure, match="no position lies"):
        PickConsensus(coordinates=(nothing,), micrographs=field[0]).run(PlainJob(field[0].root, field[0].root))


def test_networks_learn_from_agreement_and_can_be_used_again(field, sets, monkeypatch):
    monkeypatch.setattr("cryoloom.protocols.pick.consensus.FEWEST", 100)
    protocol, out, _ = run(field, sets, train=True, train_steps=12)
    assert out.model is not None and out.model.meta["picker"] == "pick.consensus" and out.model.meta["agreed"] > 100
    losses = out.model.meta["losses"]
    assert len(losses) == 12 and np.mean(losses[-4:]) < np.mean(losses[:4])
    assert judged(field, out.coordinates).f1 > 0.9 and len(protocol.report(out)) == 5
    again = run(field, sets, model=out.model)[1]
    assert again.all_coordinates.items.equals(out.all_coordinates.items)
    assert not again.all_coordinates.items["deep_score"].equals(run(field, sets)[1].all_coordinates.items["deep_score"])
    other = type(out.model)(out.model.items, out.model.root, meta={"picker": "pick.deep"})
    assert any(hint.parameter == "model" for hint in PickConsensus(coordinates=sets, model=other).check())


def test_too_little_agreement_is_not_learned_from(field, sets):
    with pytest.raises(Failure, match="640 are needed"):
        run(field, sets, train=True)
