import numpy as np
import pytest

from cryoloom.formats.mrc import read_mrc
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
def test_several_classes_and_their_members(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 300})
    out = InitialModel(particles=data.particles, mask_diameter=170.0, batches=20, classes=2).run(checkpoint_job())
    assert out.volume is None
    assert out.classes.items["count"].sum() == 300 and out.classes.items.height == 2
    counts = out.particles.items["class_id"].value_counts().sort("class_id")
    assert {row["class_id"]: row["count"] for row in counts.iter_rows(named=True)} == {
        row["class_id"]: row["count"] for row in out.classes.items.iter_rows(named=True) if row["count"]
    }
    assert "classes" in InitialModel.summary(None, out)


def test_too_few_particles_are_refused(simulated, checkpoint_job):
    data = simulated(**SMALL | {"count": 20})
    with pytest.raises(Failure, match="at least 50"):
        InitialModel(particles=data.particles, mask_diameter=170.0).run(checkpoint_job())


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
