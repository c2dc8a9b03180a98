import copy

import numpy as np
import polars as pl
import pytest
from plain_job import PlainJob
from scipy.stats import spearmanr

from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.protocols.validate.overfitting import ValidateOverfitting
from cryoloom.spec import Failure

SIZES = "15 30 60 120"
SETTINGS = {"mask_diameter": 150.0, "subset_sizes": SIZES, "repeats": 4, "angular_step": 12.0}


class Job(PlainJob):
    """A job that can be killed after some steps of all its loops together, and goes on from what it has kept."""

    kept: dict
    left: int | None

    def iterate(self, start, step, *, done, name="iterations", total=None):
        state = self.kept[name] if name in self.kept else start()
        while not done(state):
            if self.left == 0:
                raise KeyboardInterrupt
            state = step(copy.deepcopy(state))
            self.kept[name] = copy.deepcopy(state)
            self.left = None if self.left is None else self.left - 1
        return state


def job_in(root, name, kept=None, left=None, threads=1):
    job = Job(root / "runs" / name, root, threads=threads)
    job.kept, job.left = {} if kept is None else kept, left
    return job


@pytest.fixture(scope="module")
def data(tmp_path_factory, simulate):
    return simulate(tmp_path_factory.mktemp("project"), count=320, box=32, pixel_size=6.0, snr=0.15, diameter=140.0)


@pytest.fixture(scope="module")
def validated(data, posed):
    protocol = ValidateOverfitting(particles=posed(data), reference=data.volume, **SETTINGS)
    job = job_in(data.particles.root, "r1")
    return protocol, protocol.run(job), job


def test_the_curve_of_particles_rises_above_that_of_aligned_noise(validated):
    _, out, job = validated
    items, meta = out.curve.items, out.curve.meta
    assert items["subset_size"].to_list() == [15, 30, 60, 120] and meta["verdict"] == "above noise" and not job.warnings
    assert spearmanr(items["subset_size"], items["inverse_square"]).statistic >= 0.95
    assert items["separation"][-1] > 5 and (items["noise_resolution"] > 1.4 * items["resolution"]).all()
    assert (items["shuffled_resolution"] > 1.4 * items["resolution"])[1:].all() and (items["resolution_gold"] <= items["resolution"]).all()


def test_what_more_particles_give_is_foretold(validated, data, posed):
    """By up to 60 particles, and measured with 120."""
    _, out, _ = validated
    fewer = ValidateOverfitting(particles=posed(data), shuffle=False, **SETTINGS | {"subset_sizes": "20 40 60"})
    meta = fewer.run(job_in(data.particles.root, "fewer")).curve.meta
    foretold = meta["foretold"][meta["more"].index(120)]
    assert foretold == pytest.approx(out.curve.items["resolution"][-1], rel=0.1)
    assert meta["foretold_best"][0] <= meta["foretold"][0] <= meta["foretold_worst"][0] and meta["verdict"] == "no noise bound"


def test_random_poses_are_no_better_than_noise(data, posed):
    poses = random_rotations(len(data.particles), np.random.default_rng(7))
    protocol = ValidateOverfitting(particles=posed(data, rotations=poses), reference=data.volume, shuffle=False, **SETTINGS)
    job = job_in(data.particles.root, "random")
    out = protocol.run(job)
    assert out.curve.meta["verdict"] == "not distinguishable" and "no better than maps of as much noise" in "".join(job.warnings)
    assert protocol.report(out)[0].level == "warning"


def test_killed_and_resumed_or_with_two_threads_it_gives_the_same_bits(data, validated):
    protocol, out, _ = validated
    root, kept = data.particles.root, {}
    for left in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            protocol.run(job_in(root, "killed", kept, left))
    resumed = protocol.run(job_in(root, "killed", kept, threads=2))
    assert resumed.curve.items.equals(out.curve.items) and resumed.curve.meta == out.curve.meta


def test_report_and_words_are_whole(validated):
    protocol, out, _ = validated
    panels = protocol.report(out)
    assert [panel.title for panel in panels] == ["", "Growth", "Resolution", "Numbers", "More particles"]
    assert panels[0].level == "good" and all(panel.html() for panel in panels)
    assert protocol.summary(out)["verdict"] == "above noise" and "15 to 120 particles" in protocol.methods(out)


def test_a_smaller_box_sees_less(data, posed, validated):
    protocol = ValidateOverfitting(particles=posed(data), shuffle=False, resize=True, new_size=20, **SETTINGS | {"repeats": 2})
    curve = protocol.run(job_in(data.particles.root, "small")).curve
    assert curve.meta["finest"] == pytest.approx(32 * 6.0 / 10)
    # Coarser than that limit both see the same.
    assert curve.items["resolution"][0] == pytest.approx(validated[1].curve.items["resolution"][0], rel=0.25)


def test_what_cannot_be_done_is_refused(data, posed):
    def hints(particles=None, **values):
        protocol = ValidateOverfitting(particles=posed(data) if particles is None else particles, **{"mask_diameter": 150.0} | values)
        return {hint.parameter: hint for hint in protocol.check() if hint.error}

    assert not hints(reference=data.volume)
    assert "needs a reference" in hints(noise=True)["noise"].message
    few = hints(subset_sizes="500 1000")["subset_sizes"]
    assert "160 particles of a half" in few.message and few.fix == "16 32 80 160"
    assert not hints(subset_sizes=few.fix)
    assert "rising whole numbers" in hints(subset_sizes="100 50")["subset_sizes"].message
    assert "symmetry" in hints(symmetry="Q3")
    advice = [hint.message for hint in ValidateOverfitting(particles=posed(data), subset_sizes="100 500").check() if not hint.error]
    assert any("500 exceed the 160 particles" in text for text in advice) and any("does not show" in text for text in advice)
    missing = posed(data).with_columns(
        pl.DataFrame({"id": data.particles.items["id"], "psi": [None] * 320}, schema_overrides={"psi": pl.Float64})
    )
    with pytest.raises(Failure, match="psi"):
        ValidateOverfitting(particles=missing, **SETTINGS).run(job_in(data.particles.root, "missing"))


def test_without_halves_it_says_what_that_means(data, posed):
    particles = posed(data, half_set=[None] * len(data.particles))
    job = job_in(data.particles.root, "whole")
    ValidateOverfitting(particles=particles, shuffle=False, **SETTINGS | {"repeats": 2}).run(job)
    assert any("carry no halves" in text for text in job.warnings)
