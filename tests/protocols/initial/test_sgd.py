import numpy as np
import pytest

from cryoloom.formats.mrc import read_mrc
from cryoloom.numerics.align import stochastic
from cryoloom.numerics.align.axes import agreement
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.protocols.initial.sgd import InitialModel
from cryoloom.protocols.refine.auto import AutoRefine
from cryoloom.spec import Failure

SMALL = {"count": 600, "box": 32, "pixel_size": 7.0, "snr": 0.4}


@pytest.mark.slow
def test_one_map_that_a_refinement_can_start_from(simulated, checkpoint_job):
    data = simulated(**SMALL)
    out = InitialModel(particles=data.particles, mask_diameter=170.0, batches=30).run(checkpoint_job())
    assert out.classes is None and out.particles is None
    volume = read_mrc(out.volume.file(out.volume.items.item(0, "volume_path")))
    assert volume.data.shape == (32, 32, 32) and volume.pixel_size == pytest.approx(7.0)
    refined = AutoRefine(particles=data.particles, reference=out.volume, mask_diameter=170.0, initial_lowpass=50.0).run(
        checkpoint_job("r2")
    )
    from_truth = AutoRefine(particles=data.particles, reference=data.volume, mask_diameter=170.0, initial_lowpass=50.0).run(
        checkpoint_job("r3")
    )
    found = read_mrc(from_truth.volume.file(from_truth.volume.items.item(0, "volume_path"))).data
    assert resolution_at(fourier_shell_correlation(found, data.density), 0.5, 32, 7.0) < 18
    # Frame and hand of the first map are its own: the likelihoods of the particles tell whether it is as good as the truth.
    gains = [np.median(run.particles.items["log_likelihood"]) for run in (refined, from_truth)]
    assert gains[0] == pytest.approx(gains[1], rel=0.05)
    assert list(InitialModel.summary(None, out))[0].startswith("agreement")


@pytest.mark.slow
def test_of_several_starts_the_one_whose_map_explains_the_images_best_is_kept(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 120})
    out = InitialModel(particles=data.particles, mask_diameter=170.0, batches=20, starts=2).run(checkpoint_job())
    starts = out.volume.meta["starts"]
    assert len(set(starts)) == 2
    assert np.mean([batch["gain"] for batch in out.volume.meta["batches"][-10:]]) == pytest.approx(max(starts))


@pytest.mark.slow
def test_different_particles_fall_into_different_classes(simulated, checkpoint_job):
    data = simulated(**SMALL, other=0.4)
    job = checkpoint_job()
    out = InitialModel(particles=data.particles, mask_diameter=170.0, batches=20, classes=2).run(job)
    table = out.classes.items
    member = out.particles.items["class_id"].to_numpy() - 1
    assert np.bincount(member, minlength=2).tolist() == table["count"].to_list()
    counts = np.array([[np.sum((member == k) & (data.state == state)) for state in (0, 1)] for k in (0, 1)])
    # Independent chance would give 0.6.
    assert counts.max(axis=0).sum() / 600 > 0.95 and counts.max(axis=1).sum() / 600 > 0.95
    largest = table.sort("count", descending=True).row(0, named=True)
    assert out.volume.items["volume_path"][0] == largest["volume_path"] and largest["count"] == pytest.approx(360, abs=20)
    assert table["nearest_class"].to_list() == [2, 1] and not any("nearly as well" in warning for warning in job.warnings)
    assert np.allclose([sum(row) for row in out.particles.items["class_probabilities"]], 1.0, atol=1e-3)
    summary = InitialModel.summary(None, out)
    assert summary["particles a class"] == ", ".join(map(str, table["count"]))
    titles = [panel.title for panel in InitialModel.report(None, out)]
    assert titles == ["Classes", "Maps", "Search", "Viewing directions", "Sizes of classes"]
    # A refinement takes one of the classes as its reference.
    assert not list(AutoRefine(particles=out.particles, reference=out.classes, reference_class=2, mask_diameter=170.0).check())


@pytest.mark.slow
def test_classes_of_one_structure_are_said_to_be_alike(simulated, checkpoint_job):
    data = simulated(**SMALL)
    job = checkpoint_job()
    out = InitialModel(particles=data.particles, mask_diameter=170.0, batches=20, classes=2).run(job)
    assert any("classify3d.em" in warning or "not aligned again" in warning for warning in job.warnings), out.classes.items


def test_the_form_reaches_the_search(simulated, checkpoint_job, monkeypatch):
    seen = []

    def begin(plan):
        seen.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(stochastic, "begin", begin)
    given = {"batches": 40, "first_batch": 30, "last_batch": 50, "regularisation": 2.0, "positive": False}
    protocol = InitialModel(particles=simulated(**SMALL | {"count": 80}).particles, mask_diameter=170.0, shift_range=21.0, **given)
    with pytest.raises(KeyboardInterrupt):
        protocol.run(checkpoint_job())
    assert {name: getattr(seen[0], name) for name in given} == given and seen[0].reach == pytest.approx(3.0)


def test_what_cannot_be_done_is_refused_before_any_work(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 120})

    def hints(**values):
        return {
            hint.parameter: hint for hint in InitialModel(particles=data.particles, mask_diameter=170.0, **values).check() if hint.error
        }

    assert not hints() and not hints(classes=2)
    assert "120 particles that leaves fewer than 50 each" in hints(classes=3)["classes"].message and hints(classes=3)["classes"].fix == 2
    assert "symmetry" in hints(symmetry="D0") and "symmetry" in hints(symmetry="Q7")
    few = simulated(**SMALL | {"count": 19})
    with pytest.raises(Failure, match="at least 50"):
        InitialModel(particles=few.particles, mask_diameter=170.0).run(checkpoint_job())


@pytest.mark.slow
def test_a_symmetric_first_map_lies_on_its_axes_and_a_wrong_group_is_warned_of(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 400}, symmetry="D3")
    jobs = {name: checkpoint_job(name) for name in ("D3", "D4", "C1")}
    found = {
        name: InitialModel(particles=data.particles, mask_diameter=170.0, symmetry=name, batches=30).run(job) for name, job in jobs.items()
    }
    maps = {name: read_mrc(out.volume.file(out.volume.items.item(0, "volume_path"))).data.astype(np.float32) for name, out in found.items()}
    assert agreement(maps["D3"], 7.0, 85.0, point_group("D3")) > 0.98
    assert not any("not supported" in warning for warning in jobs["D3"].warnings)
    assert any("D4 is not supported by the data" in warning for warning in jobs["D4"].warnings)
    assert found["D3"].volume.meta["symmetry"] == "D3" and found["C1"].volume.meta["symmetry"] == "C1"
    assert found["C1"].volume.meta["looks_like"].startswith("D3")
    # The frame of D3 is settled up to a half turn about y and the hand: one of these lies on the truth.
    candidates = [np.roll(maps["D3"][::flip, :, ::turn], (flip < 0, turn < 0), axis=(0, 2)) for flip in (1, -1) for turn in (1, -1)]
    assert min(resolution_at(fourier_shell_correlation(one, data.density), 0.5, 32, 7.0) for one in candidates) < 20
