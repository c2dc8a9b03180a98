import numpy as np
import pytest

from cryoloom.numerics.align.coefficients import HalfPlane, background, circular_mask


@pytest.mark.parametrize("box", [16, 17])
def test_the_list_is_the_half_plane_once_and_sorted(box):
    plane = HalfPlane.of(box, box)
    pairs = set(zip(plane.kx.tolist(), plane.ky.tolist(), strict=True))
    assert len(pairs) == len(plane.kx)
    assert not any((-x, -y) in pairs for x, y in pairs if (x, y) != (0, 0))
    k = np.fft.fftfreq(box, 1 / box)
    inside = np.hypot(k[:, None], k[None, :]) < box / 2
    assert 2 * len(pairs) - 1 == inside.sum()
    assert (plane.kx[0], plane.ky[0]) == (0, 0)
    assert (np.diff(plane.shell) >= 0).all()
    assert plane.ends[-1] == len(plane.kx)
    assert np.array_equal(plane.within(5).kx, HalfPlane.of(box, 5).kx)


def test_coefficients_are_those_of_the_definition():
    box, rng = 12, np.random.default_rng(0)
    image = rng.normal(size=(box, box)).astype(np.float32)
    plane = HalfPlane.of(box, 4)
    axis = np.arange(box) - box // 2
    wave = np.exp(-2j * np.pi * (plane.kx[:, None, None] * axis[None, None, :] + plane.ky[:, None, None] * axis[None, :, None]) / box)
    assert np.allclose(plane.of_images(image[None])[0], (wave * image).sum(axis=(1, 2)), atol=1e-4)


def test_shell_power_of_white_noise_is_the_pixel_count():
    box = 32
    images = np.random.default_rng(1).normal(size=(400, box, box)).astype(np.float32)
    plane = HalfPlane.of(box, 16)
    assert np.allclose(plane.shell_power(plane.of_images(images)).mean(axis=0)[2:] / box**2, 1.0, atol=0.05)


def test_mask_and_background():
    mask = circular_mask(40, 20, 5)
    assert mask[20, 20] == 1 and mask[20, 30] == 1 and mask[20, 36] == 0 and 0.4 < mask[20, 32] < 0.9
    images = np.random.default_rng(2).normal(3.0, 2.0, size=(5, 40, 40)).astype(np.float32)
    images[:, 15:25, 15:25] += 100
    mean, spread = background(images, 24)
    assert np.allclose(mean, 3, atol=0.3) and np.allclose(spread, 2, atol=0.2)
