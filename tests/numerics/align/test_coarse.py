import numpy as np
import pytest

from cryoloom.numerics.align.calibrate import grey_scale
from cryoloom.numerics.align.coarse import Gallery, search
from cryoloom.numerics.geometry.euler import geodesic_angle
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.reconstruct.grids import reference_grid

BOX = 40


@pytest.fixture(scope="module")
def scene(blobs, project, image_set):
    phantom = blobs(BOX)
    stack = project(phantom, 60, snr=0.3, pixel_size=5.0)
    images = image_set(stack, 5.0, 190.0)
    noise = np.full((1, images.plane.last + 1), stack.noise**2 * BOX**2)
    grid = reference_grid(phantom.volume(), images.plane.within(10).radius, BOX)
    return stack, images, noise, grid, Gallery.of(grid, images.plane.within(10), rotation_grid(2, 24))


def direct(gallery, data, weight, shifts, prior):
    """Scores of one image at every shift and rotation, term by term."""
    plane = gallery.plane
    count = len(plane.kx)
    slices = gallery.slices.numpy()[:count] + 1j * gallery.slices.numpy()[count:]
    wave = np.exp(2j * np.pi / plane.box * (shifts[:, :1] * plane.kx + shifts[:, 1:] * plane.ky))
    cross = np.real(np.einsum("k,tk,kr->tr", np.conj(data[:count]), wave, slices))
    norm = (weight[:count, None] * np.abs(slices) ** 2).sum(axis=0)
    return 2 * cross - norm - 0.5 * prior * (shifts**2).sum(axis=1)[:, None], cross / np.sqrt(norm)


@pytest.mark.parametrize("correlate", [False, True])
def test_the_best_pose_is_the_best_of_all_scores(scene, correlate):
    _, images, noise, _, gallery = scene
    data, weight = images.prepare(np.arange(5), gallery.plane, noise)
    shifts = disc_lattice(4.0, 2.0)
    rotations, moves, gains = search(gallery, data, weight, shifts, 3, prior=0.1, correlate=correlate)
    assert (np.diff(gains, axis=1) <= 0).all()
    for number in range(5):
        scores = direct(gallery, data[number], weight[number], shifts, 0.1)[int(correlate)]
        shift, rotation = np.unravel_index(np.argmax(scores), scores.shape)
        assert np.array_equal(moves[number, 0], shifts[shift])
        best = scores[shift, rotation]
        assert gains[number, 0] == pytest.approx(best**2 if correlate else best, rel=1e-3)
        assert np.array_equal(rotations[number, 0], gallery.rotations.reshape(-1, 3, 3)[rotation])


def test_candidates_are_different_peaks_and_include_the_truth(scene):
    stack, images, noise, _, gallery = scene
    data, weight = images.prepare(np.arange(60), gallery.plane, noise)
    rotations, _, _ = search(gallery, data, weight, disc_lattice(6.0, 2.0), 8, prior=0.1)
    flat = rotations.reshape(60, 8, 9)
    assert all(len(np.unique(one.round(6), axis=0)) == 8 for one in flat)
    nearest = geodesic_angle(rotations, stack.rotations[:, None]).min(axis=1)
    assert np.mean(nearest < 16) > 0.95


def test_grey_scale_is_measured_and_small_when_nothing_fits(scene, project, image_set, blobs):
    stack, images, noise, grid, gallery = scene
    found = grey_scale(images, gallery, grid, noise, disc_lattice(6.0, 2.0))
    assert 0.55 < found < 1.1
    half = Gallery(gallery.plane, gallery.rotations, gallery.slices * 5, gallery.power * 25)
    assert grey_scale(images, half, grid * np.float32(5), noise, disc_lattice(6.0, 2.0)) == pytest.approx(found / 5, rel=1e-4)


def test_the_negative_of_the_reference_is_refused(scene):
    _, images, noise, grid, gallery = scene
    negative = Gallery(gallery.plane, gallery.rotations, -gallery.slices, gallery.power)
    with pytest.raises(ValueError, match="negative"):
        grey_scale(images, negative, -grid, noise, disc_lattice(6.0, 2.0))
