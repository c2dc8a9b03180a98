from dataclasses import replace

from cryoloom.numerics.align.contrast import look_dark

BOX, PIXEL = 32, 6.0


def test_dark_particles_are_told_from_bright_ones_and_noise_from_neither(blobs, project, image_set):
    stack = project(blobs(BOX), 200, snr=0.1, pixel_size=PIXEL, shift=1.0)
    noise = project(blobs(BOX), 200, snr=1e-6, pixel_size=PIXEL, shift=1.0)
    found = {
        name: look_dark(image_set(replace(stack, images=images), PIXEL, 0.9 * BOX * PIXEL), 0.45 * BOX)
        for name, images in {"bright": stack.images, "dark": -stack.images, "noise": noise.images, "negative": -noise.images}.items()
    }
    assert found == {"bright": False, "dark": True, "noise": False, "negative": False}
