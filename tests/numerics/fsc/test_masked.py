"""Phase randomisation and the mask correction: what a mask adds must be taken out again."""

import numpy as np

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.filters.sharpen import mean_amplitudes
from cryoloom.numerics.fsc import masked
from cryoloom.numerics.fsc.masked import masked_fsc, particle_fsc, randomise_phases
from cryoloom.numerics.masks.soft import spherical_mask


def noise(box, seed):
    return np.random.default_rng(seed).standard_normal((box, box, box)).astype(np.float32)


def test_randomised_phases_keep_amplitudes_and_the_low_shells():
    volume = noise(32, 0)
    mixed = randomise_phases(volume, 6, np.random.default_rng(1))
    assert np.allclose(mean_amplitudes(mixed), mean_amplitudes(volume), rtol=1e-3)
    assert np.allclose(lowpass(mixed, 1.0, 32 / 4), lowpass(volume, 1.0, 32 / 4), atol=1e-4)
    assert np.corrcoef(mixed.ravel(), volume.ravel())[0, 1] < 0.2


def test_two_noise_maps_under_a_tight_mask_agree_only_before_correction():
    mask = spherical_mask(48, 12, 2)
    shape = spherical_mask(48, 8, 3) * 30
    first, second = (lowpass(shape, 1.0, 12) + noise(48, seed) for seed in (1, 2))
    curves = masked_fsc(first, second, mask, seed=0)
    assert curves.randomised_from is not None
    beyond = slice(curves.randomised_from + 2, 24)
    assert curves.masked[beyond].max() > 0.3
    assert np.mean(np.abs(curves.corrected[beyond]) < 0.12) > 0.9


def test_several_draws_of_random_phases_steady_the_correction(monkeypatch):
    first, second = (lowpass(noise(32, 5), 1.0, 6.0) * 20 + noise(32, seed) for seed in (6, 7))
    spreads = []
    for draws in (1, masked.DRAWS):
        monkeypatch.setattr(masked, "DRAWS", draws)
        curves = [masked_fsc(first, second, spherical_mask(32, 8, 4), seed=seed).randomised[8:] for seed in range(6)]
        spreads.append(np.std(curves, axis=0).mean())
    assert spreads[1] < 0.7 * spreads[0]


def test_identical_low_frequencies_stay():
    signal = lowpass(noise(32, 5), 1.0, 6.0) * 20
    curves = masked_fsc(signal + noise(32, 6), signal + noise(32, 7), np.ones((32, 32, 32), np.float32))
    assert curves.corrected[1:4].min() > 0.9
    assert np.allclose(curves.masked, curves.unmasked)


def test_without_a_fall_nothing_is_randomised():
    volume = noise(16, 0)
    curves = masked_fsc(volume, volume + 1e-3 * noise(16, 1), np.ones((16, 16, 16), np.float32))
    assert curves.randomised_from is None
    assert np.allclose(curves.corrected, curves.masked)


def test_particle_fsc_rises_with_less_mask():
    unmasked = np.full(5, 0.2)
    wide, tight = np.full((4, 4, 4), 0.4), np.full((4, 4, 4), 0.1)
    assert particle_fsc(unmasked, tight)[0] > particle_fsc(unmasked, wide)[0] > 0.2
