import hashlib

import numpy as np
import polars as pl
import pytest

from cryoloom.app.simulation.particle_set import simulate_particles
from cryoloom.app.simulation.presets import ParticlePreset
from cryoloom.data import Classes3D, Mask, Particles, Volume
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.relion import export_relion
from cryoloom.formats.star import read_star
from cryoloom.numerics.fsc.shells import fourier_shell_correlation
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import C1
from cryoloom.numerics.reconstruct.resample import matched
from cryoloom.protocols.classify3d.em import Classify3D
from cryoloom.protocols.refine.auto import AutoRefine
from cryoloom.protocols.sets.select import Select
from cryoloom.spec import Failure

BOX, PIXEL, COUNT = 32, 7.0, 400
SETTINGS = {"mask_diameter": 190.0, "initial_lowpass": 40.0}
POSES = {"rot": "rlnAngleRot", "tilt": "rlnAngleTilt", "psi": "rlnAnglePsi", "origin_x": "rlnOriginXAngst", "origin_y": "rlnOriginYAngst"}


@pytest.fixture(scope="module")
def two_states(tmp_path_factory):
    """A project folder with images of two conformations in equal parts, their poses, both maps, and the true class of each image."""
    root = tmp_path_factory.mktemp("project")
    preset = ParticlePreset(box=BOX, pixel_size=PIXEL, particles=COUNT, snr=0.4, conformations=2)
    simulate_particles(root / "data", preset, 1, threads=1, progress=lambda done, total, message: None)
    truth = read_star(root / "data/truth/particles.star")["particles"]
    items = pl.DataFrame(
        {
            "id": truth["cryoloomParticleId"], "micrograph_id": np.arange(COUNT) // 50, "stack_path": ["data/particles.mrcs"] * COUNT,
            "stack_index": np.arange(COUNT), "optics_group": np.ones(COUNT, np.int64), "enabled": np.ones(COUNT, bool),
            "fail_reason": [""] * COUNT, "defocus_u": truth["rlnDefocusU"], "defocus_v": truth["rlnDefocusV"],
            "defocus_angle": truth["rlnDefocusAngle"], "phase_shift": truth["rlnPhaseShift"],
            **{ours: truth[name] for ours, name in POSES.items()},
        }
    )  # fmt: skip
    group = {
        "optics_group": 1, "optics_group_name": "one", "pixel_size": PIXEL, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1,
        "box_size": BOX, "contrast": "bright", "phase_flipped": False, "ctf_premultiplied": False,
    }  # fmt: skip
    paths = ["data/truth/volume.mrc", "data/truth/volume_class002.mrc"]
    maps = [Volume(pl.DataFrame({"id": [1], "volume_path": [path], "box_size": [BOX]}), root, meta={"pixel_size": PIXEL}) for path in paths]
    return Particles(items, root, optics=[group]), maps, truth["rlnClassNumber"].to_numpy() - 1


def right(particles, true):
    """Return the part of particles in the class of their structure, classes named as fits best."""
    found = particles.items["class_id"].to_numpy() - 1
    return max(np.mean(found == true), np.mean(found == 1 - true))


def run(protocol, checkpoint_job, root, name="r001", **settings):
    job = checkpoint_job(name, **settings)
    job.root = root
    job.folder = root / "runs" / name
    job.folder.mkdir(parents=True, exist_ok=True)
    return protocol.run(job), job


@pytest.fixture(scope="module")
def sorted_set(two_states):
    """The set classified at its own poses."""
    from tests.protocols.conftest import CheckpointJob

    particles, maps, true = two_states
    job = CheckpointJob(particles.root / "runs/fixed", particles.root)
    return Classify3D(particles=particles, reference=maps[0], classes=2, align=False, **SETTINGS).run(job), true, maps


def test_structures_are_told_apart_and_the_table_says_what_they_are(sorted_set):
    out, true, _ = sorted_set
    assert right(out.particles, true) > 0.95
    table = out.classes.items
    assert table["count"].sum() == COUNT and table["separation"].min() > 8 and not table["clearly_worse"].any()
    assert np.allclose(table["distribution"], 0.5, atol=0.05)
    assert table["estimated_resolution"].max() < 25 and table["completeness"].min() > 0.3
    for row in table.iter_rows(named=True):
        state = np.bincount(true[out.particles.items["class_id"].to_numpy() == row["class_id"]]).argmax()
        name = "volume.mrc" if state == 0 else "volume_class002.mrc"
        truth, found = (read_mrc(out.classes.file(path)).data for path in (f"data/truth/{name}", row["volume_path"]))
        assert fourier_shell_correlation(truth, found)[1 : int(BOX * PIXEL / 25)].min() > 0.8
    probabilities = np.array(out.particles.items["class_probabilities"].to_list())
    assert probabilities.shape == (COUNT, 2) and np.allclose(probabilities.sum(axis=1), 1)


@pytest.mark.slow
def test_poses_are_found_at_the_same_time(two_states, checkpoint_job):
    particles, maps, true = two_states
    bare = Particles(particles.items.drop(*POSES), particles.root, optics=particles.optics)
    protocol = Classify3D(particles=bare, reference=maps[0], classes=2, iterations=12, **SETTINGS)
    out, job = run(protocol, checkpoint_job, particles.root, "global")
    assert right(out.particles, true) > 0.85
    assert job.notes[-1]["iteration"] == len(out.classes.meta["iterations"]) <= 12


def test_an_interruption_changes_nothing(two_states, checkpoint_job, stopped):
    particles, maps, _ = two_states
    protocol = Classify3D(particles=particles, reference=maps[0], classes=2, align=False, iterations=7, **SETTINGS)
    whole, first = run(protocol, checkpoint_job, particles.root, "whole")
    cut = checkpoint_job("cut", kill_after=6)
    cut.root = particles.root
    with pytest.raises(stopped):
        protocol.run(cut)
    rest, second = run(protocol, checkpoint_job, particles.root, "rest", resume=cut.last)
    digests = [{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in job.folder.glob("*.mrc")} for job in (first, second)]
    assert digests[0] == digests[1] and len(digests[0]) == 2
    assert whole.particles.items["class_id"].equals(rest.particles.items["class_id"])


def test_one_reference_a_class_keeps_its_number(two_states, checkpoint_job):
    particles, maps, true = two_states
    both = Volume(pl.concat([one.items for one in maps]).with_columns(id=pl.Series([1, 2])), particles.root, meta=maps[0].meta)
    protocol = Classify3D(
        particles=particles, reference=both, classes=2, align=False, iterations=4, mask_diameter=190.0, initial_lowpass=20.0
    )
    out, _ = run(protocol, checkpoint_job, particles.root, "given")
    assert np.mean(out.particles.items["class_id"].to_numpy() - 1 == true) > 0.95


def test_classes_go_on_to_selection_refinement_and_relion(sorted_set, checkpoint_job, tmp_path):
    out, _, _ = sorted_set
    root = out.particles.root
    chosen, _ = run(Select(items=out.particles, classes=out.classes, mode="classes", ids=(2,)), checkpoint_job, root, "select")
    assert len(chosen.particles) == out.classes.items.item(1, "count")
    good, _ = run(Select(items=out.particles, classes=out.classes, mode="auto"), checkpoint_job, root, "auto")
    assert len(good.particles) == COUNT
    protocol = AutoRefine(particles=chosen.particles, reference=out.classes, reference_class=2, mask_diameter=190.0, iterations=3)
    assert protocol._reference_row()["volume_path"] == out.classes.items.item(1, "volume_path")
    assert not [hint for hint in protocol.check() if hint.error]
    unknown = AutoRefine(particles=chosen.particles, reference=out.classes, reference_class=7, mask_diameter=190.0)
    assert [hint.parameter for hint in unknown.check()] == ["reference_class"]
    export_relion(out.classes, "classes", tmp_path, related={})
    model = read_star(tmp_path / "run_model.star")["model_classes"]
    assert model["rlnAccuracyRotations"].to_list() == pytest.approx(out.classes.items["accuracy_rotations"].to_list(), rel=1e-4)
    assert (tmp_path / "run_class002.mrc").exists()


def test_the_report_draws_from_the_outputs_alone(sorted_set):
    out, _, _ = sorted_set
    html = [panel.html() for panel in Classify3D.report(None, out)]
    assert len(html) == 9 and all(html) and "internal" in html[0]
    assert Classify3D.summary(None, out)["clearly worse"] == "none"


def test_a_reference_on_another_grid_is_resampled_and_said_so(two_states, checkpoint_job):
    particles, maps, true = two_states
    data = read_mrc(maps[0].file("data/truth/volume.mrc")).data
    write_mrc(particles.root / "data/coarse.mrc", 50 * matched(data, PIXEL, 40, 6.0) + 2, 6.0, volume=True)
    other = Volume(maps[0].items.with_columns(volume_path=pl.lit("data/coarse.mrc")), particles.root, meta={"pixel_size": 6.0})
    protocol = Classify3D(particles=particles, reference=other, classes=2, align=False, iterations=3, **SETTINGS)
    _, job = run(protocol, checkpoint_job, particles.root, "resampled")
    assert any("resampled" in warning for warning in job.warnings)


def test_the_range_of_a_local_search_holds_poses_near_the_given_ones(two_states, checkpoint_job):
    """With poses a few degrees off, a range of nearly nothing leaves them there, and none lets them go."""
    particles, maps, _ = two_states
    off = Particles(particles.items.with_columns(psi=pl.col("psi") + 6.0), particles.root, optics=particles.optics)
    moved = {}
    for name, reach in (("held", 0.3), ("free", None)):
        protocol = Classify3D(
            particles=off, reference=maps[0], classes=2, local_search=True, local_range=reach, iterations=3, mask_diameter=190.0,
            initial_lowpass=25.0,
        )  # fmt: skip
        out, _ = run(protocol, checkpoint_job, particles.root, name)
        found, before = (
            euler_to_matrix(*(one.items[angle].to_numpy() for angle in ("rot", "tilt", "psi"))) for one in (out.particles, off)
        )
        moved[name] = np.median(C1.angle(found, before))
    assert moved["held"] < 0.3 and moved["free"] > 2.0


def test_what_cannot_be_is_said_before_the_run(two_states):
    particles, maps, _ = two_states
    bare = Particles(particles.items.drop(*POSES), particles.root, optics=particles.optics)
    three = Volume(pl.concat([maps[0].items] * 3).with_columns(id=pl.Series([1, 2, 3])), particles.root, meta=maps[0].meta)

    def hints(**settings):
        values = {"particles": particles, "reference": maps[0], "classes": 2, **SETTINGS, **settings}
        return {hint.parameter: hint for hint in Classify3D(**values).check()}

    assert not hints()
    assert hints(align=False, particles=bare)["align"].error and hints(local_search=True, particles=bare)["local_search"].error
    assert hints(reference=three)["classes"].error and hints(symmetry="Q2")["symmetry"].error
    assert hints(relax_symmetry="C4v")["relax_symmetry"].fix == "C4"
    assert hints(classes=6)["classes"].fix == 4 and not hints(classes=6)["classes"].error
    assert not hints(mask_diameter=500.0)["mask_diameter"].error
    few = Particles(particles.items.head(20), particles.root, optics=particles.optics)
    assert hints(particles=few)["particles"].error


def test_a_mask_beyond_zero_and_one_is_refused(two_states, checkpoint_job):
    particles, maps, _ = two_states
    write_mrc(
        particles.root / "data/mask.mrc", 3 * np.ones((BOX,) * 3, np.float32) * np.linspace(0, 1, BOX, dtype=np.float32), PIXEL, volume=True
    )
    mask = Mask(pl.DataFrame({"id": [1], "mask_path": ["data/mask.mrc"], "box_size": [BOX]}), particles.root, meta={"pixel_size": PIXEL})
    with pytest.raises(Failure, match="between 0 and 1"):
        run(Classify3D(particles=particles, reference=maps[0], mask=mask, **SETTINGS), checkpoint_job, particles.root, "masked")


def test_an_image_that_is_no_number_is_disabled(two_states, checkpoint_job):
    particles, maps, _ = two_states
    stack = np.array(read_mrc(particles.root / "data/particles.mrcs").data)
    stack[3, 5, 5] = np.nan
    write_mrc(particles.root / "data/broken.mrcs", stack, PIXEL)
    broken = Particles(particles.items.with_columns(stack_path=pl.lit("data/broken.mrcs")), particles.root, optics=particles.optics)
    out, job = run(
        Classify3D(particles=broken, reference=maps[0], classes=2, align=False, iterations=3, **SETTINGS),
        checkpoint_job,
        particles.root,
        "nan",
    )
    assert out.particles.items["enabled"].to_list().count(False) == 1 and not out.particles.items["enabled"][3]
    assert out.classes.items["count"].sum() == COUNT - 1
    assert isinstance(out.classes, Classes3D)
