"""Picking by hand as browser and scripts do it: every edit lasts, models learn from corrections, saving finishes the run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from blobby_micrographs import Scenery, draw, matched

import cryoloom
from cryoloom.app.picking import PickingSession
from cryoloom.app.picking_edits import JOURNAL
from cryoloom.data import Micrographs
from cryoloom.data.marks import Marks
from cryoloom.formats.mrc import write_mrc
from cryoloom.spec import Failure, WrongUse

DIAMETER, SIZE = 200.0, 2.4
ACROSS = DIAMETER / SIZE


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Return the folder of three micrographs, and the true centres by id."""
    folder = tmp_path_factory.mktemp("micrographs")
    true = {}
    for number, defocus in enumerate((9000, 15000, 12000), 1):
        image, true[number] = draw(Scenery(ice=2, defocus=defocus), number - 1)
        write_mrc(folder / f"m{number}.mrc", image, SIZE)
    return folder, true


@pytest.fixture
def micrographs(scene):
    rows = [{"id": n, "micrograph_name": f"m{n}", "micrograph_path": f"m{n}.mrc", "width": 640, "height": 640} for n in (1, 2, 3)]
    frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
    return Micrographs(frame, scene[0], optics=[{"optics_group": 1, "pixel_size": SIZE}])


@pytest.fixture
def opened(micrographs, tmp_path):
    return lambda: PickingSession(micrographs, tmp_path, Marks(DIAMETER))


def places(session, micrograph):
    return session.picks(micrograph).select("x", "y").rows()


def test_edits_last_and_are_undone_one_by_one(opened):
    session = opened()
    first = session.add(1, 100.0, 120.0)
    session.add_many(1, [(300.0, 300.0), (400.0, 100.0)])
    session.move(1, first, 110.0, 121.0)
    assert session.remove_nearest(1, 301.0, 310.0) == first + 1 and session.remove_nearest(1, 600.0, 600.0) is None
    session.set_region(1, (0.0, 0.0, 450.0, 450.0))
    assert places(session, 1) == [(110.0, 121.0), (400.0, 100.0)]
    again = opened()  # as after a kill
    assert places(again, 1) == places(session, 1) and again.region(1) == (0.0, 0.0, 450.0, 450.0)
    assert again.micrographs().rows()[0] == (1, "m1", 2, 0, "manual") and again.next() == 2
    again.undo()
    again.undo()
    assert places(again, 1) == [(110.0, 121.0), (300.0, 300.0), (400.0, 100.0)] and again.region(1) is None
    again.undo()
    again.undo()
    assert places(opened(), 1) == [(100.0, 120.0)]
    again.redo()
    assert places(opened(), 1) == [(100.0, 120.0), (300.0, 300.0), (400.0, 100.0)] and again.can_redo
    again.undo()
    assert again.add(1, 5.0, 5.0) > first + 2, "numbers are not used twice"
    again.undo()
    again.undo()
    assert again.next() == 1 and again.micrographs()["state"][0] == "available"
    with pytest.raises(WrongUse, match="no edit that could be taken back"):
        again.undo()
    again.redo()
    again.redo()
    with pytest.raises(WrongUse, match="No edit has been taken back"):
        again.redo()
    assert places(again, 1) == [(100.0, 120.0), (5.0, 5.0)], "what was done by hand ended the others"


def test_a_torn_last_line_of_the_journal_costs_that_edit_alone(opened, tmp_path):
    opened().add(1, 100.0, 120.0)
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"do": "pick", "micrograph": 1, "numb')
    session = opened()
    assert places(session, 1) == [(100.0, 120.0)]
    session.add(1, 50.0, 60.0)
    assert places(opened(), 1) == [(100.0, 120.0), (50.0, 60.0)]


def test_the_model_picks_and_learns_from_corrections(opened, scene):
    session, true = opened(), scene[1]
    session.add_many(1, true[1].tolist())
    told = session.train()
    assert told["particles"] == len(true[1]) and told["precision"] > 0.8
    picks = session.autopick(2)
    assert len(matched(picks.select("x", "y").to_numpy(), true[2], 0.2 * ACROSS)) >= 0.8 * len(true[2])
    assert session.micrographs().rows()[1][2:] == (0, len(picks), "supervised") and picks["score"].min() >= 0.5
    worst = picks.sort("score")["number"][0]
    session.remove(2, worst)
    added = session.add(2, *true[2][0])
    again = session.autopick(2)
    gone = picks.filter(pl.col("number") == worst).select("x", "y").row(0)
    assert added in again["number"] and np.hypot(again["x"] - gone[0], again["y"] - gone[1]).min() > 0.3 * ACROSS
    session.set_least(0.9)
    assert session.micrographs()["auto"][1] < len(again)
    session.undo()
    learned = session.accept(2)
    assert learned["particles"] > told["particles"] and session.micrographs()["state"][1] == "corrected"
    with pytest.raises(WrongUse, match="has been accepted"):
        session.autopick(2)
    reopened = opened()
    assert reopened.micrographs().equals(session.micrographs())
    assert reopened.autopick(3).select("x", "y", "score").equals(session.autopick(3).select("x", "y", "score")), "the same model"
    reopened.reopen(2)
    assert reopened.micrographs()["state"][1] == "supervised"


def test_a_region_is_learned_from_alone_and_the_rest_is_picked(opened, scene):
    session, true = opened(), scene[1]
    upper = true[1][true[1][:, 1] < 400]
    session.add_many(1, upper.tolist())
    session.set_region(1, (0.0, 0.0, 640.0, 400.0 + 0.3 * ACROSS))
    session.train()
    picks = session.autopick(1)
    lower = picks.filter(pl.col("score").is_not_null() & (pl.col("y") > 400)).select("x", "y").to_numpy()
    assert len(matched(lower, true[1][true[1][:, 1] >= 400], 0.2 * ACROSS)) >= 3
    assert session.micrographs()["state"][0] == "manual" and session.micrographs()["manual"][0] == len(upper)


def test_what_cannot_be_is_refused(opened):
    session = opened()
    for words, verb in (
        ("(700, 10) is not on m1, of 640 × 640 px", lambda: session.add(1, 700.0, 10.0)),
        ("no micrograph 9", lambda: session.add(9, 1.0, 1.0)),
        ("has no pick 4", lambda: session.remove(1, 4)),
        ("is empty", lambda: session.set_region(1, (5.0, 5.0, 5.0, 9.0))),
        ("There is no model yet", lambda: session.autopick(1)),
        ("0 particles are marked: pick at least 10 particles", session.train),
        ("Pick at least 10 particles", session.save),
        ("not above 0", lambda: session.set_diameter(0.0)),
    ):
        with pytest.raises(WrongUse) as refused:
            verb()
        assert words in str(refused.value)
    assert session.marks.count == 0


def test_a_run_waits_is_picked_in_and_finishes(scene, tmp_path):
    folder, true = scene
    project = cryoloom.create_project(tmp_path / "project")
    acquisition = {"pixel_size": SIZE, "voltage": 300, "cs": 2.0, "amplitude_contrast": 0.1}
    imported = project.run("import.micrographs", pattern=str(folder / "*.mrc"), threads=1, **acquisition)
    wanted = {"micrographs": imported.outputs.micrographs, "diameter": DIAMETER}
    with pytest.raises(Failure, match="needs-you"):
        project.run("pick.manual", wanted, threads=1)
    run = project.find("r002")
    assert run.state == "needs-you"
    script = f"import cryoloom; cryoloom.open_project({str(project.root)!r}).picking('r002').add_many(1, {true[1][:5].tolist()})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)  # another program, that ends before it saves
    session = project.picking(run)
    session.add_many(1, true[1][5:].tolist())
    saved = session.save()
    assert saved.state == "finished" and len(saved.outputs.coordinates) == len(true[1])
    with pytest.raises(WrongUse, match="has been saved"):
        project.picking(run)
    with pytest.raises(WrongUse, match="nobody picks in"):
        project.picking(imported)
    both = [
        project.run("pick.learned", {"micrographs": wanted["micrographs"], "model": saved.outputs.model}, threads=threads, again=True)
        for threads in (1, 2)
    ]
    assert both[0].outputs.coordinates.items.equals(both[1].outputs.coordinates.items)
    replayed = project.replay(saved.outputs.coordinates, tmp_path / "again", threads=1)
    assert replayed.ok and Path(tmp_path / "again/runs/r002/marks.json").exists()
