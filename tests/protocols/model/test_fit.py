"""model.fit lays a model in a map, tells the hand, and says what is wrong with what it is given."""

import os
import subprocess
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob

from cryoloom.data import AtomicModel, Mask, Volume
from cryoloom.formats.atomic_model import read_model, traced_model
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.reconstruct.hand import mirrored_map
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.model.fit import ModelFit
from cryoloom.spec import Failure

BOX, PIXEL, ORIGIN = 36, 4.0, (100.0, -40.0, 8.0)
ROTATION = random_rotations(1, np.random.default_rng(4))[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def particle():
    """Return a particle of two domains, its centre where a header of `ORIGIN` puts that of the box."""
    phantom = random_phantom(3, 110.0, 400)
    return replace(phantom, lobes=np.minimum(phantom.lobes, 1))


@pytest.fixture(scope="module")
def truth(particle):
    """Return where its atoms lie in the frame of the header."""
    return particle.positions + np.array(ORIGIN) + PIXEL * (BOX // 2)


@pytest.fixture(scope="module")
def stored_map(root, particle):
    """Return a function that stores the particle's map with half maps, or another with none."""
    made = iter(range(99))

    def store(data=None, *, mirrored=False, kind=Volume, column="volume_path", **meta):
        name = f"map{next(made)}"
        clean = density(particle, BOX, PIXEL) if data is None else data
        clean = mirrored_map(clean) if mirrored else clean
        row = {"id": 1, "box_size": len(clean)}
        rng = np.random.default_rng(2)
        for part in (column, "half_map1_path", "half_map2_path")[: 3 if data is None else 1]:
            noise = 0.0 if part == column else 0.4 * clean.std() * rng.standard_normal(clean.shape, np.float32)
            write_mrc(root / f"{name}_{part}.mrc", clean + noise, PIXEL, volume=True, origin=ORIGIN)
            row[part] = f"{name}_{part}.mrc"
        return kind(pl.DataFrame([row]), root, meta={"pixel_size": PIXEL, **meta})

    return store


@pytest.fixture(scope="module")
def stored_model(root, particle):
    made = iter(range(99))

    def store(positions):
        name = f"model{next(made)}.cif"
        traced_model(positions, particle.lobes, particle.b_factors).write(root / name)
        row = {"id": 1, "model_path": name, "atoms": len(positions), "residues": len(positions), "chains": 2}
        return AtomicModel(pl.DataFrame([row]), root)

    return store


@dataclass
class StepJob(PlainJob):
    """Iterates over states kept on its way, from one of them where it is given, and runs programs."""

    resume: dict | None = None
    kill_after: int | None = None

    def iterate(self, start, step, *, done, name="iterations", total=None):
        self.last = self.resume or start()
        for _ in range(99 if self.kill_after is None else self.kill_after):
            if done(self.last):
                return self.last
            self.last = step(self.last)
        raise InterruptedError

    def run_program(self, command, *, name, environment=None):
        folder = self.folder / name
        folder.mkdir()
        subprocess.run(command, cwd=folder, check=True)
        return folder


def moved_to(model, truth):
    return np.sqrt(((read_model(model.file(model.items["model_path"][0])).positions - truth) ** 2).sum(axis=1).mean())


@pytest.fixture(scope="module")
def mirrored_fit(root, stored_map, stored_model, particle):
    """Return the fit of a model that lies elsewhere in a map of the wrong hand, its job and protocol."""
    job = StepJob(root / "runs" / "r001", root)
    protocol = ModelFit(
        volume=stored_map(mirrored=True), model=stored_model(particle.positions @ ROTATION.T - 70.0), resolution=8.5, places=4
    )
    assert not list(protocol.check())
    return protocol.run(job), job, protocol


def test_the_model_lies_in_the_map_whose_hand_is_its_own(mirrored_fit, truth, particle):
    out, job, _ = mirrored_fit
    row = out.model.items.row(0, named=True)
    assert moved_to(out.model, truth) < 0.5
    assert row["mirrored"] and "mirror image" in job.warnings[0]
    given = read_mrc(out.volume.file(out.volume.items["volume_path"][0]))
    assert given.header.origin == ORIGIN
    assert np.allclose(given.data[1:], density(particle, BOX, PIXEL)[1:], atol=1e-5)
    assert row["map_correlation"] > 0.95 and row["model_resolution"] < 9.0
    assert {"half_map1_path", "half_map2_path"} <= set(out.volume.items.columns)


def test_what_is_said_of_it(mirrored_fit):
    out, _, protocol = mirrored_fit
    assert set(out.fsc.items.columns) >= {"fsc", "fsc_unmasked", "fsc_half1", "fsc_half2"}
    assert out.residues.items["residue_correlation"].median() > 0.95
    assert out.solutions.items["rank"].to_list() == list(range(1, len(out.solutions) + 1))
    assert out.solutions.items["search_z"][0] > 1.1 * out.solutions.items["search_z"][1]
    assert "mirrored" in protocol.summary(out)["hand"]
    assert "Q-score" in protocol.methods(out)
    panels = protocol.report(out)
    titles = [panel.title for panel in panels]
    assert titles[0] == "Hand" and {"Model in the map, across z", "Map and model", "Chain A", "Chain B", "Worst residues", "Places"} <= set(
        titles
    )
    assert all(panel.html() for panel in panels)


def test_chains_are_moved_one_by_one_and_a_stopped_run_goes_on(root, stored_map, stored_model, truth, particle):
    apart = truth + np.where(particle.lobes == 0, 2.5, -2.0)[:, None]
    protocol = ModelFit(volume=stored_map(), model=stored_model(apart), resolution=8.5, search=False, bodies="chains after whole")
    whole = StepJob(root / "runs" / "r002", root)
    out = protocol.run(whole)
    assert out.solutions.items["body"].to_list() == ["whole", "A", "B"] or out.solutions.items["body"].to_list() == ["whole", "B", "A"]
    assert moved_to(out.model, truth) < 0.4 < moved_to(stored_model(apart), truth)
    killed = StepJob(root / "runs" / "r003", root, kill_after=1)
    with pytest.raises(InterruptedError):
        protocol.run(killed)
    again = protocol.run(StepJob(root / "runs" / "r004", root, resume=killed.last))
    files = [each.model.file(each.model.items["model_path"][0]).read_bytes() for each in (out, again)]
    assert files[0] == files[1]


def test_units_are_repeated_by_symmetry(root, stored_map, stored_model, particle):
    unit = replace(particle, positions=particle.positions * 0.5 + np.array([28.0, 0.0, 0.0]))
    both = replace(
        unit, positions=np.concatenate([unit.positions, unit.positions * [-1, -1, 1]]), weights=np.tile(unit.weights, 2),
        b_factors=np.tile(unit.b_factors, 2), lobes=np.tile(unit.lobes, 2),
    )  # fmt: skip
    there = unit.positions + np.array(ORIGIN) + PIXEL * (BOX // 2)
    protocol = ModelFit(
        volume=stored_map(density(both, BOX, PIXEL)),
        model=stored_model(there + 1.5),
        resolution=8.5,
        search=False,
        symmetry="C2",
        mates=True,
    )
    out = protocol.run(StepJob(root / "runs" / "r005", root))
    found = read_model(out.model.file(out.model.items["model_path"][0]))
    assert [chain.name for chain in found.structure[0]] == ["A", "B", "A2", "B2"]
    middle = np.array(ORIGIN) + PIXEL * (BOX // 2)
    first, second = np.split(found.positions - middle, 2)
    assert np.allclose(second, first * [-1, -1, 1], atol=2e-3)
    assert np.sqrt(((first - unit.positions) ** 2).sum(axis=1).mean()) < 0.7


def test_servalcat_is_run_where_it_is(root, stored_map, stored_model, truth, tmp_path, monkeypatch):
    """It takes the first voxel for 0, whatever the header says (0.4.142): so must the model that it is given."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert "not installed" in ModelFit.absent()["refinement"]["servalcat"]
    program = tmp_path / "servalcat"
    stats = '[{"geom": {"summary": {"r.m.s.Z": {"Bond distances, non H": 0.75}}}}]'
    program.write_text(
        '#!/bin/sh\necho "$@" > arguments\nwhile [ "$1" != --model ]; do shift; done\ncp "$2" refined.mmcif\n'
        f"echo '{stats}' > refined_stats.json\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.delenv("CLIBD_MON", raising=False)
    assert "CLIBD_MON" in ModelFit.absent()["refinement"]["servalcat"]
    monkeypatch.setenv("CLIBD_MON", str(tmp_path))
    assert "has no list/mon_lib_list.cif" in ModelFit.absent()["refinement"]["servalcat"]
    (tmp_path / "list").mkdir()
    (tmp_path / "list/mon_lib_list.cif").touch()
    assert not ModelFit.absent()
    job = StepJob(root / "runs" / "r006", root)
    settings = {"resolution": 8.5, "search": False, "refinement": "servalcat", "cross_validation": True, "weight": 0.5}
    out = ModelFit(volume=stored_map(), model=stored_model(truth), **settings).run(job)
    words = (job.folder / "servalcat" / "arguments").read_text()
    assert (
        "refine_spa_norefmac --halfmaps" in words and "--cross_validation" in words and "--weight 0.5" in words and "--jellybody" in words
    )
    assert moved_to(out.model, truth) < 0.3
    given = read_model(job.folder / "before_refinement.cif").positions
    assert np.allclose(given + ORIGIN, read_model(out.model.file(out.model.items["model_path"][0])).positions, atol=2e-3)
    assert out.model.meta["bond_rmsz"] == 0.75


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"symmetry": "Q"}, "symmetry"),
        ({"resolution": 7.0}, "resolution"),
        ({"low_pass": 7.0}, "low_pass"),
        ({"mates": True}, "mates"),
    ],
)
def test_what_cannot_be_is_said(stored_map, stored_model, truth, values, parameter):
    hints = list(ModelFit(volume=stored_map(), model=stored_model(truth), **values).check())
    assert [hint.parameter for hint in hints] == [parameter]


def test_a_map_that_tells_no_resolution_needs_it(stored_map, stored_model, truth, particle):
    bare = stored_map(density(particle, BOX, PIXEL))
    hints = ModelFit(volume=bare, model=stored_model(truth), refinement="servalcat").check()
    assert {hint.parameter for hint in hints} == {"resolution", "refinement"}
    assert not list(ModelFit(volume=stored_map(density(particle, BOX, PIXEL), resolution=9.0), model=stored_model(truth)).check())


def test_models_that_do_not_belong_are_refused(root, stored_map, stored_model, truth, particle):
    job = StepJob(root / "runs" / "r007", root)
    broken = density(particle, BOX, PIXEL)
    broken[3] = np.nan
    small = np.eye(20, dtype=np.float32)[None].repeat(20, axis=0)
    cases = {
        "model-too-large": {"model": stored_model(truth * 2.0)},
        "model-elsewhere": {"model": stored_model(truth + 500.0), "search": False},
        "mask-box": {"model": stored_model(truth), "mask": stored_map(small, kind=Mask, column="mask_path")},
        "map-nan": {"model": stored_model(truth), "volume": stored_map(broken)},
    }  # fmt: skip
    for code, values in cases.items():
        with pytest.raises(Failure) as problem:
            ModelFit(**{"volume": stored_map(), "resolution": 8.5, **values}).run(job)
        assert problem.value.code == code and problem.value.cure
    centred = ModelFit(volume=stored_map(), model=stored_model(truth + 500.0), resolution=8.5, search=False, recentre=True).run(job)
    assert moved_to(centred.model, truth) < 0.5
