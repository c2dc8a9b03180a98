import numpy as np
import pytest

from cryoloom.numerics.simulate.contaminants import KINDS, draw_contaminant, phase_and_outline
from cryoloom.numerics.simulate.detector import HOT, draw_camera
from cryoloom.numerics.simulate.field import Recipe, draw_specimen, ice, number_of
from cryoloom.numerics.simulate.films import BORDERS, border
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.motion import Motion, draw_motion, warp
from cryoloom.numerics.simulate.movie import expose, intensities, micrograph
from cryoloom.numerics.simulate.optics import Microscope, damage
from cryoloom.numerics.simulate.phantom import p80

MICROSCOPE = Microscope(300.0, 2.7, 0.1)
STILL = Motion(np.zeros((1, 2)), np.zeros((2, 6, 3)))


def specimen(seed=0, **changes):
    settings = {"height": 160, "width": 192, "pixel_size": 4.0, "particles": 4, "ice": 0.0, "astigmatism": 0.0, "drift": 10.0} | changes
    return draw_specimen(Recipe(**settings), [p80()], MICROSCOPE, np.random.default_rng(seed))


def displacement(moved, still):
    """Where the content of `still` is found in `moved`: peak of the correlation, to a tenth of a px."""
    height, width = still.shape
    cross = forward(moved - moved.mean()) * np.conj(forward(still - still.mean()))
    fine = np.zeros((10 * height, 5 * width + 1), dtype=complex)
    rows = np.fft.fftfreq(height, 1.0 / height).astype(int)
    fine[rows[:, None], np.arange(width // 2)] = cross[:, : width // 2]
    peak = np.unravel_index(np.argmax(backward(fine, (10 * height, 10 * width))), (10 * height, 10 * width))
    y, x = ((p + n // 2) % n - n // 2 for p, n in zip(peak, (10 * height, 10 * width), strict=True))
    return x / 10.0, y / 10.0


def test_motion_starts_at_rest_and_stays_within_its_bounds():
    for seed in range(5):
        motion = draw_motion(12, 8.0, 1.5, np.random.default_rng(seed))
        assert not motion.path[0].any() and not motion.weights(0).any()
        assert 3.2 <= np.linalg.norm(motion.path, axis=1).max() <= 8.0
        x, y = np.meshgrid(np.linspace(0.0, 100.0, 41), np.linspace(0.0, 100.0, 41))
        dx, dy = motion.local(11, x, y, 100, 100)
        assert 0.7 <= np.hypot(dx, dy).max() <= 1.5 + 1e-9
        assert abs(dx.mean()) < 0.1 and abs(dy.mean()) < 0.1
    assert not draw_motion(1, 8.0, 1.5, np.random.default_rng(0)).path.any()
    assert not draw_motion(5, 0.0, 0.0, np.random.default_rng(0)).field.any()


def test_the_local_field_is_relions_polynomial():
    field = np.random.default_rng(1).normal(size=(2, 6, 3))
    dx, dy = Motion(np.zeros((4, 2)), field).local(3, np.array(30.0), np.array(80.0), 100, 100)
    x, y, z = -0.2, 0.3, 3.0
    for axis, value in enumerate((dx, dy)):
        flat = field[axis].ravel()
        expected = sum(
            (flat[3 * i] * z + flat[3 * i + 1] * z**2 + flat[3 * i + 2] * z**3) * t for i, t in enumerate([1, x, x * x, y, y * y, x * y])
        )
        assert value == pytest.approx(expected)


def test_warping_moves_content_with_the_field():
    y, x = np.mgrid[:96, :96].astype(np.float32)
    smooth = lambda x, y: np.sin(x / 5.0) + np.cos(y / 7.0)  # noqa: E731
    weights = np.zeros((2, 6))
    weights[:, 0] = 1.3, -0.7
    moved = warp(smooth(x, y).astype(np.float32), weights, 8, 80, 80)
    assert np.allclose(moved[6:-6, 6:-6], smooth(x - 1.3, y + 0.7)[6:-6, 6:-6], atol=2e-3)
    weights[:] = 0.0
    weights[0, 1] = 2.0  # content moves by 2 (x / width - 1/2): nothing in the middle column, +0.5 px a quarter to its right
    moved = warp(smooth(x, y).astype(np.float32), weights, 8, 80, 80)
    assert np.allclose(moved[10:-10, 48], smooth(x, y)[10:-10, 48], atol=2e-3)
    assert np.allclose(moved[10:-10, 68], smooth(x - 0.5, y)[10:-10, 68], atol=2e-3)


def test_camera_counts_are_poisson_and_its_gain_levels_them():
    camera = draw_camera(128, 128, 0.1, 5, 7, np.random.default_rng(0), bad_column=True)
    good = camera.gain > 0.0
    assert camera.gain[good].min() > 0.85 and camera.gain[good].max() < 1.15 and 0.02 < camera.gain[good].std() < 0.08
    assert (~good).sum() == 5 and camera.dead.sum() == 5 + 32
    rng = np.random.default_rng(1)
    frames = np.stack([camera.record(np.full((128, 128), 6.0, dtype=np.float32), 6.0, rng) for _ in range(200)])
    assert not frames[:, camera.dead].any()
    assert frames[:, camera.hot[:, 0], camera.hot[:, 1]].mean() == pytest.approx(6.0 * HOT, rel=0.02)
    good &= ~camera.dead
    good[camera.hot[:, 0], camera.hot[:, 1]] = False
    means = frames.mean(axis=0)
    assert np.allclose(means[good].mean(), 6.0, rtol=5e-3)
    assert np.mean(frames.var(axis=0)[good] / means[good]) == pytest.approx(1.0, abs=0.01)
    # What is left after the gain is the counting noise of 200 frames, not the pattern.
    assert (means * camera.gain)[good].std() < 1.05 * np.sqrt(6.0 / 200.0)
    assert means[good].std() > 1.3 * np.sqrt(6.0 / 200.0)


def test_particles_are_dark_and_where_they_are_said_to_be():
    field = specimen(particles=1, defocus_min=12000.0, defocus_max=12000.0)
    image = next(intensities(field, STILL, MICROSCOPE, 0.0))
    particle = field.particles[0]
    y, x = np.mgrid[:160, :192]
    near = np.hypot(x - particle.x, y - particle.y) < 12.0
    assert image[near].mean() < image[~near].mean() - 0.01
    weight = np.where(np.hypot(x - particle.x, y - particle.y) < 30.0, np.maximum(1.0 - image, 0.0) ** 2, 0.0)
    assert (weight * x).sum() / weight.sum() == pytest.approx(particle.x, abs=4.0)
    assert (weight * y).sum() / weight.sum() == pytest.approx(particle.y, abs=4.0)


def test_global_motion_moves_all_content_by_the_path():
    field = specimen(ice=0.05)
    motion = Motion(np.array([(0.0, 0.0), (3.4, -5.2)]), np.zeros((2, 6, 3)))
    first, second = intensities(field, motion, MICROSCOPE, 0.0)
    assert displacement(second[20:-20, 20:-20], first[20:-20, 20:-20]) == pytest.approx((3.4, -5.2), abs=0.11)


@pytest.mark.parametrize("what", ["particles", "ice"])
def test_local_motion_moves_particles_and_ice_alike(what):
    field = specimen(particles=4 if what == "particles" else 1, ice=0.0 if what == "particles" else 0.3, seed=3)
    motion = draw_motion(4, 0.0, 3.0, np.random.default_rng(2))
    frames = list(intensities(field, motion, MICROSCOPE, 0.0))
    places = [(p.x, p.y) for p in field.particles] if what == "particles" else [(50.0, 50.0), (130.0, 110.0)]
    for x, y in places:
        rows, columns = slice(max(round(y) - 24, 0), round(y) + 24), slice(max(round(x) - 24, 0), round(x) + 24)
        expected = motion.local(3, np.array(x), np.array(y), 192, 160)
        assert displacement(frames[3][rows, columns], frames[0][rows, columns]) == pytest.approx(expected, abs=0.3)


def test_dose_dims_the_particles_by_the_damage():
    field = specimen()
    motion = Motion(np.zeros((2, 2)), np.zeros((2, 6, 3)))
    first, second = (forward(frame - 1.0) for frame in intensities(field, motion, MICROSCOPE, 10.0))
    kx, ky = frequencies(160, 192, 4.0)
    s = np.hypot(kx, ky)
    for low, high in [(0.02, 0.04), (0.06, 0.08), (0.10, 0.12)]:
        ring = (s > low) & (s < high)
        measured = np.sqrt((np.abs(second[ring]) ** 2).sum() / (np.abs(first[ring]) ** 2).sum())
        weight = np.abs(first[ring]) ** 2
        expected = damage(kx, ky, 20.0, 300.0)[ring] / damage(kx, ky, 10.0, 300.0)[ring]
        assert measured == pytest.approx(np.sqrt((weight * expected**2).sum() / weight.sum()), rel=0.02)


def test_defocus_layers_follow_tilt_and_height():
    field = specimen(tilt=2000.0, height_sigma=300.0)
    for particle in field.particles:
        wanted = particle.height + 2000.0 * (particle.x / 192 - 0.5)
        assert abs(field.rise(particle.x, particle.height) - wanted) <= 25.0
    assert np.isfinite(next(intensities(field, STILL, MICROSCOPE, 0.0))).all()


def test_counts_have_the_dose_and_its_noise():
    field = specimen(gradient=0.05)
    camera = draw_camera(160, 192, 0.0, 0, 0, np.random.default_rng(0))
    counts = next(expose(field, STILL, MICROSCOPE, camera, 1.5, np.random.default_rng(4)))
    clean = next(intensities(field, STILL, MICROSCOPE, 1.5)) * 1.5 * 16.0
    assert counts.mean() == pytest.approx(24.0, rel=0.01)
    assert ((counts - clean) ** 2 / clean).mean() == pytest.approx(1.0, abs=0.03)
    assert np.ptp(field.illumination()) > 0.01


def test_a_micrograph_is_the_sum_of_its_movie():
    field = specimen()
    still = micrograph(field, MICROSCOPE, 30.0, np.random.default_rng(0))
    assert still.shape == (160, 192) and still.mean() == pytest.approx(30.0 * 16.0, rel=0.01)


def test_ice_has_the_contrast_asked_for():
    phase = ice((256, 256), 1.2, 0.03, MICROSCOPE, np.random.default_rng(0))
    assert 2.0 * phase.std() == pytest.approx(0.03)
    power = np.abs(forward(phase)) ** 2
    s = np.hypot(*frequencies(256, 256, 1.2))
    assert power[np.abs(s - 1.0 / 3.7) < 0.005].mean() / power[(s > 0.05) & (s < 0.15)].mean() == pytest.approx(4.0, rel=0.15)


def test_particles_keep_apart_from_each_other_and_from_contaminants():
    field = specimen(height=400, width=400, particles=20, contaminants=3.0, carbon_fraction=1.0, seed=2)
    places = np.array([(p.x, p.y) for p in field.particles])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(len(places), 1)]
    diameter = 2.0 * p80().radius / 4.0
    assert gaps.min() >= 1.1 * diameter - 1e-9
    for item in field.contaminants:
        assert np.linalg.norm(places - (item.x, item.y), axis=1).min() >= 0.5 * item.diameter / 4.0 + 0.5 * diameter
    assert not any(field.contaminated[round(p.y), round(p.x)] for p in field.particles)
    assert field.contaminated.mean() > 0.2


def test_what_covers_the_ice_is_numbered_and_dark():
    field = specimen(height=500, width=600, particles=20, sheets=2.0, beads=6.0, border_fraction=1.0, seed=5)
    assert {"sheet", "gold"} <= {item.kind for item in field.contaminants}
    for item in field.contaminants:
        if item.kind == "gold":
            assert field.covers[round(item.y), round(item.x)] == number_of("gold")
    beyond = np.isin(field.covers, [number_of(kind) for kind in BORDERS])
    assert 0.03 < beyond.mean() < 0.45
    assert not any(field.contaminated[round(p.y), round(p.x)] for p in field.particles)
    frame = field.background[field.margin : field.margin + 500, field.margin : field.margin + 600]
    bead, clear = field.covers == number_of("gold"), field.covers == 0
    assert np.median(frame[bead & ~beyond]) > np.median(frame[clear]) + 0.2


@pytest.mark.parametrize("kind", BORDERS)
def test_borders_are_steps_of_the_phase(kind):
    phase, beyond = border(kind, (300, 400), 8.0, MICROSCOPE, np.random.default_rng(3))
    step = np.median(phase[beyond]) - np.median(phase[~beyond])
    assert 0.05 < abs(step) < 2.0 and (step < 0) == (kind == "tear") and 0.05 < beyond.mean() < 0.42


def test_fields_without_sheets_beads_and_borders_are_drawn_as_before():
    """The same random numbers are used, and no others: data sets of a seed stay what they were."""
    field = specimen(height=400, width=400, particles=20, contaminants=3.0, carbon_fraction=1.0, seed=2)
    assert len(field.particles) == 14 and field.particles[-1].x == pytest.approx(92.7253081665278, abs=1e-9)
    assert field.defocus.u == pytest.approx(17311.9966, abs=1e-3) and abs(field.contaminated.sum() - 34327) < 10


@pytest.mark.parametrize("kind", [*KINDS, "sheet"])
def test_contaminants_cover_about_what_they_claim(kind):
    rng = np.random.default_rng(1)
    item = draw_contaminant(kind, 0.0, 0.0, 140.0, rng)
    phase, outline = phase_and_outline(item, p80(), MICROSCOPE, 2.0, rng)
    assert np.isfinite(phase).all() and (np.median(phase[outline]) < 0.0) == (kind == "droplet")
    across = 2.0 * np.sqrt(outline.sum() * 4.0 / np.pi)
    assert 0.4 * item.diameter < across < 1.6 * item.diameter
    assert not outline[0].any() and not outline[:, 0].any()
