"""classify2d.hierarchical: outputs and their conventions, cores, resumption, forms and data that are wrong."""

import copy

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

from cryoloom.formats.stack import read_particles, write_stack
from cryoloom.numerics.align import hierarchical_schedule as schedule
from cryoloom.numerics.fourier.transforms import shift_images
from cryoloom.protocols.classify2d.hierarchical import Hierarchical2D
from cryoloom.spec import Failure

SETTINGS = {"classes": 5, "initial_classes": 3, "iterations": 3, "mask_diameter": 190.0}


@pytest.fixture
def data(simulated):
    return simulated(count=150, box=32, pixel_size=7.0, snr=0.5)


def test_levels_cores_and_the_same_bits_after_a_kill(data, checkpoint_job, stopped):
    protocol = Hierarchical2D(particles=data.particles, **SETTINGS)
    job = checkpoint_job("r001")
    out = protocol.run(job)
    assert {"classes", "particles", "levels", "core_classes", "core_particles", "stable_core_classes", "stable_core_particles"} == set(
        out.named()
    )
    assert out.levels.items["class_id"].to_list() == [1001, 1002, 1003] and out.classes.meta["level_sizes"] == [3, 5]
    assert out.classes.items["class_id"].to_list() == [1, 2, 3, 4, 5] and set(out.classes.items["parent"]) <= {1001, 1002, 1003}
    rows = out.particles.items
    assert {tuple(path) for path in rows["class_path"]} <= {(a, b) for a in (1001, 1002, 1003) for b in range(1, 6)}
    assert out.classes.items["count"].to_list() == [(rows["class_id"] == each).sum() for each in range(1, 6)]
    core, stable = set(out.core_particles.items["id"]), set(out.stable_core_particles.items["id"])
    assert stable <= core < set(rows["id"]) and out.core_classes.items["count"].sum() == len(core)
    titles = [panel.title for panel in Hierarchical2D.report(protocol, out) if panel.html()]
    assert {"Class averages", "Cores", "Stable cores", "Level 1: 3 classes", "Hierarchy", "Convergence"} <= set(titles)
    assert "3 → 5 classes" in protocol.methods(out) and protocol.summary(out)["levels"] == 2

    killed = checkpoint_job("r002", kill_after=3, threads=2)
    with pytest.raises(stopped):
        protocol.run(killed)
    again = protocol.run(checkpoint_job("r003", resume=copy.deepcopy(killed.last), threads=2))
    for name in ("classes", "levels", "core_classes"):
        assert (read_particles(getattr(out, name)) == read_particles(getattr(again, name))).all()
    assert again.particles.items.equals(rows)


def test_members_superpose_when_mirrored_centred_and_turned(data, checkpoint_job):
    """The pose convention of the tables, shown on data: mirrored along x, origin added, turned by psi."""
    out = Hierarchical2D(particles=data.particles, transfer_function="none", **SETTINGS).run(checkpoint_job())
    rows, images = out.particles.items, read_particles(out.particles)
    averages, size = read_particles(out.classes), out.classes.meta["pixel_size"]
    best = int(out.classes.items.sort("count", descending=True)["class_id"][0])
    assert rows["flip"].any() and not rows["flip"].all()
    total = np.zeros(images.shape[1:])
    for image, row in zip(images, rows.iter_rows(named=True), strict=True):
        if row["class_id"] == best:
            one = np.roll(image[:, ::-1], 1, axis=1).copy() if row["flip"] else image
            moved = shift_images(torch.from_numpy(one), torch.tensor([row["origin_x"] / 7.0, row["origin_y"] / 7.0], dtype=torch.float32))
            # SciPy turns about the middle between pixels, from +y towards +x.
            total += rotate(np.pad(moved.numpy(), ((0, 1), (0, 1))), -row["psi"], reshape=False, order=1)[:-1, :-1]
    box = averages.shape[-1]
    low, high = 16 - box // 2, 16 + (box + 1) // 2
    assert size == pytest.approx(7.0) and box <= 32
    seen, average = total[low:high, low:high], averages[best - 1]
    axis = np.arange(box) - box // 2
    inside = np.hypot(axis[:, None], axis[None, :]) < 70 / size
    assert np.corrcoef(seen[inside], average[inside])[0, 1] > 0.9


def test_given_averages_are_the_first_classes(data, checkpoint_job):
    first = Hierarchical2D(particles=data.particles, core=False, **SETTINGS).run(checkpoint_job("r001"))
    out = Hierarchical2D(particles=data.particles, initial=first.classes, **(SETTINGS | {"iterations": 1})).run(checkpoint_job("r002"))
    assert out.classes.meta["level_sizes"] == [5] and out.levels is None and first.core_classes is None
    assert (first.particles.items["class_id"] == out.particles.items["class_id"]).mean() > 0.5  # dealt out anew: 0.2


def test_correntropy_robust_and_the_rejected(data, checkpoint_job, monkeypatch):
    monkeypatch.setattr("cryoloom.protocols.classify2d.hierarchical.FEWEST_REJECTED", 5)
    out = Hierarchical2D(
        particles=data.particles, comparison="correntropy", clustering="robust", analyze_rejected=True, junk_z=1.0,
        **(SETTINGS | {"classes": 3, "iterations": 2}),
    ).run(checkpoint_job())  # fmt: skip
    assert len(out.rejected_classes) == 1 and len(out.core_particles) < 150
    assert 0.3 < out.particles.items["similarity"].mean() < 1.0


def _stop():
    raise RuntimeError("seen")


def test_every_parameter_reaches_the_method(data, checkpoint_job, monkeypatch):
    seen = []
    monkeypatch.setattr(schedule, "begin", lambda task, references: seen.append(task) or _stop())
    given = {
        "iterations": 7,
        "candidates": 3,
        "least_size": 0.1,
        "split_trials": 2,
        "mirrors": False,
        "centre": False,
        "classify_all": True,
    }
    form = {"comparison": "correntropy", "clustering": "robust", "shift_range": 28.0, "max_resolution": 16.0, "mask_diameter": 120.0}
    with pytest.raises(RuntimeError, match="seen"):
        Hierarchical2D(particles=data.particles, classes=6, initial_classes=2, **form, **given).run(checkpoint_job())
    settings, frame = seen[0].settings, seen[0].frame
    assert {name: getattr(settings, name) for name in given} == given
    assert (settings.classes, settings.initial_classes, settings.robust, settings.correntropy) == (6, 2, True, True)
    size = 224.0 / frame.sampler.layout.box
    assert (settings.reach * size, (frame.radius + frame.edge) * size) == pytest.approx((28.0, 72.0)) and frame.sampler.layout.rings == 14
    assert seen[0].pixels is not None and float(seen[0].observations.transfer.max()) == 1.0


def hints(**form):
    return {hint.parameter: (hint.message, hint.fix) for hint in Hierarchical2D(**form).check() if hint.error}


def test_forms_that_are_wrong(data):
    found = hints(particles=data.particles, classes=100)
    assert "150 particles make 75 classes" in found["classes"][0] and found["classes"][1] == 75
    found = hints(particles=data.particles, classes=6, initial_classes=8)
    assert "begins with 8 classes, more than the 6 wanted" in found["initial_classes"][0] and found["initial_classes"][1] == 6
    assert not hints(particles=data.particles) and not hints(particles=data.particles, classes=2)
    assert Hierarchical2D(particles=data.particles).automatic()["classes"] == 4


def test_data_that_are_wrong(data, checkpoint_job):
    images = read_particles(data.particles)
    images[3], images[5, 2, 2] = 1.0, np.nan
    write_stack(data.particles.file("data/particles.mrcs"), images, 7.0)
    job = checkpoint_job("r001")
    out = Hierarchical2D(particles=data.particles, **(SETTINGS | {"classes": 3, "iterations": 1})).run(job)
    assert any("2 particles are constant" in warning for warning in job.warnings)
    bad = out.particles.items.filter(~out.particles.items["enabled"])
    assert bad["id"].to_list() == [1003, 1005] and (bad["class_id"] == 0).all()
    with pytest.raises(Failure, match="148 usable particles for 75 classes"):
        Hierarchical2D(particles=data.particles, classes=75).run(checkpoint_job("r002"))


def test_nothing_similar_is_said_with_the_cure(data, checkpoint_job, monkeypatch):
    monkeypatch.setattr(schedule, "advance", lambda task, state: {**state, "label": np.full(task.count, -1)})
    with pytest.raises(Failure, match="No particle is similar to any of 3 class averages") as error:
        Hierarchical2D(particles=data.particles, **SETTINGS).run(checkpoint_job())
    assert "shift_range" in str(error.value)
