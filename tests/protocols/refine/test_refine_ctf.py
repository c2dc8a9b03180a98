import numpy as np
import polars as pl
import pytest

from cryoloom.app.simulation.particle_set import simulate_particles
from cryoloom.app.simulation.presets import preset_named
from cryoloom.data import Particles, Volume
from cryoloom.formats.alignment import alignable
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.particle_table import read_particles_star, with_identities
from cryoloom.formats.relion import export_relion
from cryoloom.formats.star import read_star
from cryoloom.protocols.refine.ctf import RefineCTF
from cryoloom.spec import Failure

SET = {
    "particles": 320, "box": 56, "pixel_size": 1.6, "phantom_diameter": 70.0, "snr": 0.4, "shift_sigma": 2.0, "per_micrograph": 32,
    "mean_defocus": True, "field": 2000.0,
}  # fmt: skip
DIAMETER = 75.0


class Planted:
    """A stack at its true poses with the mean defocus of its micrographs, half maps with noise of their own, and the truth."""

    def __init__(self, root, **settings):
        simulate_particles(root / "sim", preset_named("s1", SET | settings), 1, threads=1, progress=lambda *_: None)
        told, truth = (read_particles_star(root / "sim" / name) for name in ("particles.star", "truth/particles.star"))
        poses = [truth.items[name] for name in ("rot", "tilt", "psi", "origin_x", "origin_y")]
        items = with_identities(told.items).drop("image_file", "micrograph_file").with_columns(*poses)
        items = items.with_columns(
            stack_path=pl.lit("sim/particles.mrcs"), half_set=1 + pl.col("stack_index") % 2, enabled=pl.lit(True), fail_reason=pl.lit("")
        )
        self.particles = Particles(items, root, optics=[{**group, "contrast": "bright"} for group in told.optics])
        self.truth, self.tilt = truth.items, truth.optics[0]
        density, rng = read_mrc(root / "sim/truth/volume.mrc").data, np.random.default_rng(0)
        for half in (1, 2):
            write_mrc(
                root / f"half{half}.mrc", density + rng.normal(0, 0.5 * density.std(), density.shape).astype(np.float32), 1.6, volume=True
            )
        maps = {"id": [1], "volume_path": ["half1.mrc"], "half_map1_path": ["half1.mrc"], "half_map2_path": ["half2.mrc"], "box_size": [56]}
        self.volume = Volume(pl.DataFrame(maps), root, meta={"pixel_size": 1.6})

    def errors(self, particles):
        both = (
            particles.items.sort("stack_index").select("defocus_u", "defocus_v").to_numpy()
            - self.truth.select("defocus_u", "defocus_v").to_numpy()
        )
        return np.abs(both.mean(axis=1))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return Planted(tmp_path_factory.mktemp("tilted"), tilt=25.0, height_sigma=80.0, beam_tilt_x=1.5, beam_tilt_y=-1.0)


def protocol(planted, **settings):
    return RefineCTF(particles=planted.particles, volume=planted.volume, mask_diameter=DIAMETER, defocus_range=1200.0, **settings)


@pytest.fixture
def run(checkpoint_job):
    """Run the protocol in a job of its own inside the planted set's folder."""

    def make(planted, name="r001", *, settings=None, **job):
        made = checkpoint_job(name, **job)
        made.root = planted.particles.root
        return protocol(planted, **(settings or {})).run(made), made

    return make


@pytest.fixture(scope="module")
def outcome(planted, tmp_path_factory):
    from plain_job import PlainJob

    class Job(PlainJob):
        def iterate(self, start, step, *, done, name="", total=None):
            state = start()
            while not done(state):
                state = step(state)
            return state

    return protocol(planted).run(Job(tmp_path_factory.mktemp("run"), planted.particles.root)).particles


def test_the_defocus_error_of_a_tilted_set_is_more_than_halved(planted, outcome):
    before, after = planted.errors(planted.particles), planted.errors(outcome)
    assert np.median(after) < 0.35 * np.median(before)
    assert np.sqrt(np.mean(after**2)) < 0.5 * np.sqrt(np.mean(before**2))
    claimed = np.sqrt(np.mean(outcome.items["defocus_error"].to_numpy() ** 2))
    assert 0.5 < np.sqrt(np.mean(after**2)) / claimed < 2.0


def test_the_beam_tilt_is_recovered_and_leaves_images_freed_of_it(planted, outcome):
    group, told = outcome.optics[0], outcome.meta["ctf_refinement"]["beam_tilts"][0]
    for axis, error in zip("xy", told["error"], strict=True):
        assert group[f"beam_tilt_{axis}"] == pytest.approx(planted.tilt[f"beam_tilt_{axis}"], abs=max(4 * error, 0.2))
    before, after = (alignable(each, DIAMETER).images for each in (planted.particles, outcome))
    # What the tilt does is a change of phase alone.
    rows = np.arange(4)
    one, two = (images.storage.take(rows, len(images.plane.kx), whole=True) for images in (before, after))
    assert np.allclose(np.abs(one), np.abs(two), rtol=1e-4, atol=1e-3) and not np.allclose(one, two, rtol=0.1)


def test_what_is_right_already_stays(tmp_path, run):
    level = Planted(tmp_path, height_sigma=0.0)
    out, _ = run(level)
    assert np.median(level.errors(out.particles)) < 40.0
    assert "beam_tilt_x" not in out.particles.optics[0]
    change = out.particles.items["astigmatism"] - (level.truth["defocus_u"] - level.truth["defocus_v"])
    assert change.abs().median() < 60.0


def test_only_what_is_asked_changes(planted, run):
    only_tilt, _ = run(planted, "r002", settings={"defocus": "none", "astigmatism": False})
    assert only_tilt.particles.items["defocus_u"].equals(planted.particles.items["defocus_u"])
    assert abs(only_tilt.particles.optics[0]["beam_tilt_x"]) > 0.5
    micrographs, _ = run(planted, "r003", settings={"defocus": "micrograph", "beam_tilt": False})
    change = micrographs.particles.items.group_by("micrograph_id").agg(pl.col("defocus_change").std())
    assert change["defocus_change"].max() < 1e-6 and "beam_tilt_x" not in micrographs.particles.optics[0]


def test_threads_and_interruption_change_nothing(planted, outcome, checkpoint_job, stopped):
    two, cut = checkpoint_job("two", threads=2, kill_after=2), checkpoint_job("cut")
    with pytest.raises(stopped):
        protocol(planted).run(two)
    cut.resume = two.last
    rest = protocol(planted).run(cut).particles
    assert rest.items.equals(outcome.items)
    assert rest.optics == outcome.optics and rest.meta == outcome.meta


def test_relion_is_told(planted, outcome, tmp_path):
    (path,) = export_relion(outcome, "particles", tmp_path / "out", related={})
    blocks = read_star(path)
    assert blocks["optics"]["rlnBeamTiltX"][0] == pytest.approx(outcome.optics[0]["beam_tilt_x"])
    assert blocks["particles"]["rlnDefocusU"][0] == pytest.approx(outcome.items["defocus_u"][0], abs=0.01)


def test_report_summary_and_methods(planted, outcome):
    from cryoloom.protocols.refine.ctf import Refined

    made, out = protocol(planted), Refined(outcome)
    titles = [panel.title for panel in made.report(out)]
    assert "Change of the defocus over micrographs" in titles and "Beam tilt" in titles
    assert all(panel.html() for panel in made.report(out))
    assert made.summary(out)["median tilt (°)"] == pytest.approx(25.0, abs=6.0)
    assert "beam tilt" in made.methods(out)


@pytest.mark.parametrize(
    ("change", "settings", "field"),
    [
        ({"drop": "half_set"}, {}, "particles"),
        ({"drop": "defocus_u"}, {}, "particles"),
        ({"optics": {"phase_flipped": True}}, {}, "particles"),
        ({"maps": "half_map2_path"}, {}, "volume"),
        ({}, {"defocus": "none", "astigmatism": False, "beam_tilt": False}, "defocus"),
        ({}, {"finest": 40.0}, "finest"),
    ],
)
def test_what_cannot_be_refined_is_said_before(planted, change, settings, field):
    items, volume = planted.particles.items, planted.volume
    optics = [group | change.get("optics", {}) for group in planted.particles.optics]
    if "drop" in change:
        items = items.drop(change["drop"])
    if "maps" in change:
        volume = Volume(volume.items.drop(change["maps"]), volume.root, meta=volume.meta)
    made = RefineCTF(particles=Particles(items, planted.particles.root, optics=optics), volume=volume, mask_diameter=DIAMETER, **settings)
    assert [hint.parameter for hint in made.check() if hint.error] == [field]


def test_a_map_that_particles_do_not_show_is_refused(planted, run):
    turned = planted.particles.items.with_columns(pl.col("rot", "tilt").shuffle(seed=1))
    other = Particles(turned, planted.particles.root, optics=planted.particles.optics)
    wrong = type("Wrong", (), {"particles": other, "volume": planted.volume})
    with pytest.raises(Failure, match="do not show the map.s detail"):
        run(wrong, "r009")
