from dataclasses import replace

import numpy as np
import pytest

from cryoloom.numerics.align.coefficients import HalfPlane, circular_mask
from cryoloom.numerics.align.images import Defocus, ImageSet
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.align.storage import Held, Preparation, Streamed, background_power
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.optics import Microscope


def one_set(images, *, optics, group=None, defocus=None, **settings):
    count, box = len(images), images.shape[-1]
    group = np.zeros(count, np.int64) if group is None else group
    return ImageSet.of(iter([images[:3], images[3:]]), count, box, 3.0, 60.0, optics=optics, group=group, defocus=defocus, **settings)


@pytest.fixture
def noise_images():
    return np.random.default_rng(0).normal(size=(40, 24, 24)).astype(np.float32)


def test_power_is_that_of_the_whole_image_though_measured_in_the_mask(noise_images):
    images = one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1),))
    assert images.total_power()[0, 3:].mean() == pytest.approx(24**2, rel=0.05)
    assert images.coverage == pytest.approx(np.pi * 12**2 / 24**2, abs=0.2)


def test_transfer_functions_follow_the_optics_of_each_group(noise_images, textbook_transfer):
    count = len(noise_images)
    group = np.arange(count) % 2
    defocus = np.linspace(8000, 20000, count)
    zeros = np.zeros(count)
    optics = (Optics(300.0, 2.7, 0.1), Optics(200.0, 1.4, 0.07, phase_flipped=True))
    images = one_set(noise_images, optics=optics, group=group, defocus=Defocus(defocus, defocus, zeros, zeros))
    plane = images.plane
    for number in (0, 1):
        settings = {} if number == 0 else {"voltage": 200.0, "cs": 1.4, "amplitude": 0.07}
        wanted = textbook_transfer(24, 3.0, defocus[number : number + 1], **settings)[0]
        wanted = wanted[plane.ky.astype(int) % 24, plane.kx.astype(int)]
        found = images.transfers.take(np.array([number]), len(plane.kx))[0]
        assert np.allclose(found, np.abs(wanted) if number else wanted, atol=2e-4)


def test_images_multiplied_by_their_transfer_function_prepare_alike(noise_images):
    count = len(noise_images)
    defocus = Defocus(np.full(count, 12000.0), np.full(count, 12000.0), np.zeros(count), np.zeros(count))
    plain = one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1),), defocus=defocus)
    multiplied = one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1, premultiplied=True),), defocus=defocus)
    multiplied.storage.whole[:] *= multiplied.transfers.take(np.arange(count), len(multiplied.plane.kx))
    noise = np.full((1, 13), 24.0**2)
    for one, other in zip(*(images.prepare(np.arange(4), images.plane, noise, whole=True) for images in (plain, multiplied)), strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_images_are_freed_of_beam_tilt_held_and_streamed_alike(noise_images):
    microscope = Microscope(300.0, 2.7, 0.1, (4.0, -3.0))
    displaced = microscope.displaced(*frequencies(24, 24, 3.0))
    tilted = np.stack([backward(forward(image) * displaced, image.shape) for image in noise_images])
    group = np.arange(len(noise_images)) % 2
    straight = Optics(300.0, 2.7, 0.1)
    mixed = np.where(group[:, None, None] == 1, tilted, noise_images).astype(np.float32)
    plain = one_set(noise_images, optics=(straight,))
    freed = one_set(mixed, optics=(straight, replace(straight, beam_tilt=(4.0, -3.0))), group=group)
    every, count = np.arange(len(mixed)), len(plain.plane.kx)
    assert np.abs(one_set(mixed, optics=(straight,)).storage.whole - plain.storage.whole).max() > 10
    assert np.allclose(freed.storage.whole, plain.storage.whole, atol=1e-2)
    streamed = ImageSet.of(
        lambda rows: mixed[rows], len(mixed), 24, 3.0, 60.0, optics=(straight, replace(straight, beam_tilt=(4.0, -3.0))), group=group, defocus=None
    )  # fmt: skip
    for whole in (True, False):
        assert np.allclose(
            streamed.storage.take(every[5:9], count, whole=whole), freed.storage.take(every[5:9], count, whole=whole), atol=1e-3
        )


def test_broken_images_are_named(noise_images):
    noise_images[7, 3, 3] = np.nan
    with pytest.raises(ValueError, match="image 7"):
        one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1),))


def test_normalising_makes_backgrounds_alike(noise_images):
    images = one_set(20 * noise_images + 7, optics=(Optics(300.0, 2.7, 0.1),), normalise=True)
    assert images.total_power()[0, 3:].mean() == pytest.approx(24**2, rel=0.05)


def test_no_defocus_means_no_transfer_function(noise_images):
    images = one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1),))
    assert (images.transfers.take(np.arange(40), 20) == 1).all()


def test_streamed_images_are_those_held(noise_images, monkeypatch):
    count = len(noise_images)
    defocus = Defocus(np.linspace(8000, 20000, count), np.linspace(7000, 20000, count), np.linspace(0, 90, count), np.zeros(count))
    optics, group = (Optics(300.0, 2.7, 0.1), Optics(200.0, 1.4, 0.07)), np.arange(count) % 2
    held = one_set(3 * noise_images + 5, optics=optics, group=group, defocus=defocus, normalise=True)
    monkeypatch.setattr("cryoloom.numerics.align.images.TRANSFERS_HELD", 0)
    asked = []

    def source(rows):
        asked.append(len(rows))
        return 3 * noise_images[rows] + 5

    streamed = ImageSet.of(source, count, 24, 3.0, 60.0, optics=optics, group=group, defocus=defocus, normalise=True)
    assert streamed.transfers.held is None and not asked
    assert np.array_equal(streamed.total_power(), held.total_power())
    rows, noise = np.array([31, 4, 17]), held.total_power()
    some = np.array([3, 31, 4, 17, 5])
    for whole in (False, True):
        wanted = held.prepare(rows, held.plane.within(7), noise, whole=whole)
        for images, at in ((streamed, rows), (streamed.subset(some), np.array([1, 2, 3])), (held.subset(some), np.array([1, 2, 3]))):
            for one, other in zip(images.prepare(at, held.plane.within(7), noise, whole=whole), wanted, strict=True):
                assert np.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_noise_that_fills_the_mask_is_the_backgrounds_and_the_same_whenever_it_is_asked_for():
    rng = np.random.default_rng(1)
    plane = HalfPlane.of(32, 16)
    # Images with three times the noise power at low frequencies, and a particle in the middle.
    coloured = Preparation(plane, 20.0, noise=np.where(np.arange(17) < 6, 3.0, 1.0) * 32**2)._coloured(
        rng.standard_normal((300, 32, 32)).astype(np.float32)
    )
    images = coloured + 4.0 * circular_mask(32, 8.0, 3.0)
    found = background_power(plane, images, circular_mask(32, 20.0, 5.0))
    assert found[2:5] / 32**2 == pytest.approx(3.0, rel=0.1) and found[8:] / 32**2 == pytest.approx(1.0, rel=0.1)
    preparation = Preparation(plane, 20.0, noise=found, seed=3)
    held = Held.of(iter([images[:100], images[100:]]), 300, preparation)
    streamed = Streamed(lambda rows: images[rows], np.arange(300), preparation)
    some = np.array([250, 7])
    assert np.allclose(held.take(some, 40), streamed.subset(some).take(np.arange(2), 40), atol=1e-3)
    assert np.allclose(held.take(some, 40, whole=True), plane.of_images(images[some])[:, :40])
    assert plane.shell_power(held.masked).mean(axis=0)[10:] / 32**2 == pytest.approx(1.0, rel=0.1)
    filled = preparation.masked(images, np.arange(300))
    inside, corner = circular_mask(32, 18.0, 1.0) > 0.5, circular_mask(32, 31.0, 1.0) < 0.5
    assert np.allclose(filled[:, inside], images[:, inside], atol=1e-5)
    assert filled[:, corner].var() == pytest.approx(coloured.var(), rel=0.1)
    assert abs(np.corrcoef(filled[:, corner].ravel(), images[:, corner].ravel())[0, 1]) < 0.02


def test_filled_images_have_the_noise_of_whole_ones(noise_images):
    spectrum = np.full(13, 24.0**2)
    images = one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1),), noise=spectrum)
    assert images.coverage == 1.0
    assert images.total_power()[0, 3:].mean() == pytest.approx(24**2, rel=0.05)
    zeros = one_set(noise_images, optics=(Optics(300.0, 2.7, 0.1),))
    # Coefficients along a ring: cut to a circle, neighbours are alike; filled, they are not.
    alike = []
    for one in (images, zeros):
        ring = one.storage.masked[:, one.plane.shell == 9]
        alike.append(abs(np.mean(ring[:, 1:] * ring[:, :-1].conj())) / np.mean(np.abs(ring) ** 2))
    assert alike[0] < 0.5 * alike[1]
