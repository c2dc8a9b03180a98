"""classify2d.em and the automatic choice of classes: a few views among junk, found again; halves, threads and kinds of data."""

import numpy as np
import polars as pl
import pytest

from cryoloom.app.session import create_project
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.stack import read_particles
from cryoloom.formats.star import write_star
from cryoloom.numerics.align import class2d_prepare as prepare
from cryoloom.numerics.align import class2d_schedule as schedule
from cryoloom.numerics.fourier.transforms import shift_images
from cryoloom.protocols.classify2d.em import Classify2D
from cryoloom.spec import CryoloomError

BOX, PIXEL, VIEWS, JUNK = 48, 4.0, 4, 0.15


def views(rng):
    """Four different clouds of blobs, 26 px across."""
    axis = np.arange(BOX) - BOX // 2
    out = []
    for _ in range(VIEWS):
        points = rng.normal(0, 6, (40, 2))
        points = points[np.hypot(*points.T) < 12] - points[np.hypot(*points.T) < 12].mean(axis=0)
        out.append(sum(np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / 4.0) for x, y in points))
    return [image / image.std() for image in out]


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    import torch
    from scipy.ndimage import rotate

    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(4)
    clean, images, truth = views(rng), [], []
    for number in range(480):
        view = -1 if rng.random() < JUNK else number % VIEWS
        image = rng.normal(0, 1, (BOX, BOX))
        psi, shift = rng.uniform(0, 360), rng.normal(0, 1.5, 2)
        if view >= 0:
            turned = rotate(clean[view], psi, reshape=False, order=3)
            image += 0.6 * shift_images(torch.from_numpy(turned), torch.from_numpy(shift)).numpy()
        images.append(image.astype(np.float32))
        truth.append((view, psi, *shift))
    write_mrc(folder / "particles.mrcs", np.stack(images), PIXEL, stack=True)
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["a"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
    optics |= {"rlnImagePixelSize": [PIXEL], "rlnImageSize": [BOX], "rlnImageDimensionality": [2]}
    names = [f"{number + 1:06d}@particles.mrcs" for number in range(len(images))]
    table = {"rlnImageName": names, "rlnMicrographName": ["m.mrc"] * len(names), "rlnOpticsGroup": [1] * len(names)}
    write_star(folder / "particles.star", {"optics": pl.DataFrame(optics), "particles": pl.DataFrame(table)})
    project = create_project(folder / "project")
    particles = project.run("import.particles", path=str(folder / "particles.star")).outputs.particles
    run = project.run("classify2d.em", particles=particles, classes=7, mask_diameter=130.0, max_resolution=9.0, threads=2, name="classes")
    return project, particles, run, np.array(truth)


def test_classes_are_pure(classified):
    _, _, run, truth = classified
    label = run.outputs.particles.items["class_id"].to_numpy()
    view = truth[:, 0].astype(int)
    real = view >= 0
    right = sum(np.bincount(view[real & (label == each)], minlength=VIEWS).max() for each in np.unique(label))
    assert right / real.sum() > 0.9


def test_members_superpose_when_centred_and_turned(classified):
    """Origin added to the image, then turned by psi: the pose convention of the tables, shown on data."""
    import torch
    from scipy.ndimage import rotate

    _, _, run, truth = classified
    rows = run.outputs.particles.items
    images = read_particles(run.outputs.particles.dataset)
    averages = read_particles(run.outputs.classes.dataset)
    size = run.outputs.classes.meta["pixel_size"]
    best = int(run.outputs.classes.items.sort("quality", "count", descending=True)["class_id"][0])
    member = (rows["class_id"].to_numpy() == best) & (truth[:, 0] >= 0)
    total = np.zeros((BOX, BOX))
    for image, row in zip(images[member], rows.filter(pl.Series(member)).iter_rows(named=True), strict=True):
        shift = torch.tensor([row["origin_x"] / PIXEL, row["origin_y"] / PIXEL], dtype=torch.float32)
        total += rotate(
            shift_images(torch.from_numpy(image), shift).numpy(), -row["psi"], reshape=False, order=1
        )  # SciPy turns from +y towards +x
    from cryoloom.numerics.fourier.transforms import centred_irfft2, centred_rfft2, crop_rfft2

    box = averages.shape[-1]
    small = centred_irfft2(crop_rfft2(centred_rfft2(torch.from_numpy(total)), (BOX, BOX), (box, box)), (box, box)).numpy()
    axis = np.arange(box) - box // 2
    inside = np.hypot(axis[:, None], axis[None, :]) < 50 / size
    assert np.corrcoef(small[inside], averages[best - 1][inside])[0, 1] > 0.9


def test_automatic_choice_drops_junk_and_keeps_particles(classified):
    project, _, run, truth = classified
    chosen = project.run("sets.select", items=run.outputs.particles, classes=run.outputs.classes, mode="auto").outputs.particles
    ids = run.outputs.particles.items["id"].to_list()
    kept = np.isin(ids, chosen.items["id"].to_list())
    real = truth[:, 0] >= 0
    assert (kept & real).sum() / kept.sum() > 1 - JUNK / 2
    assert (kept & real).sum() / real.sum() > 0.85


def test_threads_do_not_change_a_bit(classified):
    project, _, run, _ = classified
    other = create_project(project.root.parent / "other")
    particles = other.run("import.particles", path=str(project.root.parent / "particles.star")).outputs.particles
    again = other.run("classify2d.em", particles=particles, classes=7, mask_diameter=130.0, max_resolution=9.0, threads=1)
    assert again.outputs.classes.hash == run.outputs.classes.hash
    assert again.outputs.particles.hash == run.outputs.particles.hash


def test_too_many_classes_are_refused_with_a_number_that_would_do(classified):
    project, particles, _, _ = classified
    with pytest.raises(CryoloomError, match="classes is 200: of 480 particles"):
        project.run("classify2d.em", particles=particles, classes=200, mask_diameter=130.0)


@pytest.mark.parametrize("noise_only", [True, False])
def test_classes_of_noise_are_bad_and_said_to_show_nothing(simulated, checkpoint_job, noise_only):
    job = checkpoint_job()
    data = simulated(count=300, box=32, pixel_size=7.0, snr=0.3, noise_only=noise_only)
    out = Classify2D(particles=data.particles, classes=5, mask_diameter=170.0, iterations=8).run(job)
    assert any("no better than their negatives" in warning for warning in job.warnings) == noise_only
    assert out.classes.items["good"].any() != noise_only
    titles = [panel.title for panel in Classify2D.report(None, out) if panel.html()]
    assert {"Sizes of classes", "Likelihood", "Resolution and band", "Classes"} <= set(titles)
    assert (out.classes.items["accuracy_rotations"] > 0).all()


def _stop():
    raise RuntimeError("seen")


def test_every_parameter_reaches_the_method(simulated, checkpoint_job, monkeypatch):
    seen = []
    monkeypatch.setattr(schedule, "begin", lambda task: seen.append(task) or {"iteration": 99, "online": 0, "history": []})
    monkeypatch.setattr(prepare, "outcome", lambda task, state, shape, **more: _stop())
    given = {
        "uncertainty": 3.0, "annealing_start": 4, "annealing_length": 6, "white_noise": True, "initial_scale": 0.5, "recentre": True,
        "recentre_threshold": 0.4, "recentre_binary": True, "frc_regularised": False, "iterations": 30, "final_iterations": 2,
    }  # fmt: skip
    protocol = Classify2D(
        particles=simulated(count=40, box=32, pixel_size=7.0, snr=0.5).particles, classes=3, mask_diameter=150.0, batch_per_class=11,
        regularisation=4.0, force_max_over_poses=False, shift_range=28.0, outer_diameter=196.0, **given,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="seen"):
        protocol.run(checkpoint_job())
    settings = seen[0].settings
    assert {name: getattr(settings, name) for name in given} == given
    frame, size = seen[0].frame, 224.0 / seen[0].frame.sampler.layout.box
    assert settings.reach * size == pytest.approx(28.0)
    assert ((frame.radius + frame.edge) * size, frame.radius * size) == pytest.approx((98.0, 75.0))
    assert (settings.tau_fudge, settings.hard, settings.batch, settings.classes) == (4.0, False, 33, 3)


def test_listed_classes_ids_and_rules(classified):
    project, _, run, _ = classified
    particles, classes = run.outputs.particles, run.outputs.classes
    mine = project.run("sets.select", items=particles, classes=classes, mode="classes", ids=[1, 3]).outputs.particles
    assert set(mine.items["class_id"]) <= {1, 3}
    large = project.run("sets.select", items=classes, where="count > 30 and quality >= 0").outputs.classes
    assert (large.items["count"] > 30).all()
    nothing = project.run("sets.select", items=particles, where="max_probability > 2")
    assert len(nothing.outputs) == 0 and nothing.warnings
    with pytest.raises(CryoloomError, match="classes that are not there: 99"):
        project.run("sets.select", items=particles, classes=classes, mode="classes", ids=[99])
