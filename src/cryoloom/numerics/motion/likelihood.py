"""The likelihood of trajectories: what weights the frequencies, and what each frame's position is worth.

With unit noise, a Gaussian signal of signal-to-noise ratio ``ρ(k)`` fading by ``q_f(k)``, and displacements ``d_f``, the log-likelihood is,
up to a constant,

    J = Σ_k W |Σ_f q_f y_f exp(2πi k·d_f)|² ,      W = ρ / (1 + ρ Σ_f q_f²)

over the half plane: the correlation of all pairs of frames, weighted by what the data say of each ring instead of by a chosen B-factor.
A frame's correlation with itself does not depend on d, so it cannot hold a trajectory; nor can a static pattern, whose expected share
of the correlation is measured (it stays in place when the signal moves) and taken off. The expected curvature of J is the precision of d.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np
import torch
from scipy.special import j0, j1
from torch import Tensor

from cryoloom.numerics.motion.spectra import Band, Spectra

MOST = 0.9
"""Largest share of a ring's power that is believed to move as modelled: content enters and leaves windows, and is interpolated."""


@dataclass(frozen=True)
class Law:
    """What is known of each ring, float64 ``(rings,)``, for spectra of unit power.

    Attributes
    ----------
    radius, count
        Frequency in cycles/px; number of coefficients.
    weight
        ``W``.
    signal, static
        Power of the moving signal and of the static pattern.
    """

    radius: Tensor
    count: Tensor
    weight: Tensor
    signal: Tensor
    static: Tensor


def pair_sums(values: Tensor, band: Band, ring: Tensor, motion: Tensor, weight: Tensor, limit: float = math.inf) -> tuple[Tensor, Tensor]:
    """Correlate all frames with all others, moved back by `motion`.

    Parameters
    ----------
    values
        complex64 ``(n, bh, bw // 2 + 1)``.
    ring
        Ring of each coefficient, int64 ``(bh, bw // 2 + 1)``.
    motion
        Displacements ``(n, 2)``, (x, y) in px.
    weight
        ``W`` of each ring, float64 ``(rings,)``; if all are zero the gradient is not computed.
    limit
        Frequency along an axis, cycles/px, beyond which nothing is looked at.

    Returns
    -------
    common
        ``Σ_{f≠g} y_f y_g*`` summed over each ring, float64 ``(rings,)``; its scalar product with any weights is J.
    gradient
        Of J with respect to `motion`, float64 ``(n, 2)``.
    """
    ky, kx = band.axes()
    common, gradient = np.zeros(len(weight)), np.zeros((len(motion), 2))
    angles = (2 * math.pi * motion.to(torch.float64)).numpy()
    _pair_sums(values.numpy(), ring.numpy(), kx, ky, angles, weight.numpy(), bool(weight.any()), limit, common, gradient)
    common[0] = 0
    return torch.from_numpy(common), torch.from_numpy(gradient) * (-4 * math.pi)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _pair_sums(values, ring, kx, ky, angles, weight, sloped, limit, common, gradient):  # pragma: no cover (compiled)
    frames, height, widest = len(values), len(ky), 0
    while widest < len(kx) and kx[widest] <= limit:
        widest += 1
    width = widest
    along, down = np.empty((frames, width), np.complex64), np.empty((frames, height), np.complex64)
    for f in range(frames):
        for x in range(width):
            along[f, x] = complex(math.cos(angles[f, 0] * kx[x]), math.sin(angles[f, 0] * kx[x]))
        for y in range(height):
            down[f, y] = complex(math.cos(angles[f, 1] * ky[y]), math.sin(angles[f, 1] * ky[y]))
    real, imag, own = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    moved_re, moved_im = np.empty((frames, width), np.float32), np.empty((frames, width), np.float32)
    for y in range(height):
        if abs(ky[y]) > limit:
            continue
        width = widest
        while width > 0 and ring[y, width - 1] == 0:  # corners, where nothing is
            width -= 1
        real[:] = 0
        imag[:] = 0
        own[:] = 0
        for f in range(frames):
            cos, sin = down[f, y].real, down[f, y].imag
            row, ramp, re, im = values[f, y], along[f], moved_re[f], moved_im[f]
            for x in range(width):
                turn_re = cos * ramp[x].real - sin * ramp[x].imag
                turn_im = cos * ramp[x].imag + sin * ramp[x].real
                re[x] = row[x].real * turn_re - row[x].imag * turn_im
                im[x] = row[x].real * turn_im + row[x].imag * turn_re
                real[x] += re[x]
                imag[x] += im[x]
                own[x] += row[x].real * row[x].real + row[x].imag * row[x].imag
        for x in range(width):
            common[ring[y, x]] += real[x] * real[x] + imag[x] * imag[x] - own[x]
        if sloped:
            for x in range(width):
                real[x] *= np.float32(weight[ring[y, x]])
                imag[x] *= np.float32(weight[ring[y, x]])
            for f in range(frames):
                re, im = moved_re[f], moved_im[f]
                slope_x, slope_y = np.float32(0), np.float32(0)
                for x in range(width):
                    torque = im[x] * real[x] - re[x] * imag[x]
                    slope_x += torque * kx[x]
                    slope_y += torque
                gradient[f, 0] += slope_x
                gradient[f, 1] += slope_y * ky[y]


def pair_weights(fade: Tensor) -> Tensor:
    """Return ``Σ_{f≠g} q_f² q_g²`` of each ring: the number of pairs, each counted by what signal it has left."""
    left = fade.square()
    return (left.sum(0).square() - left.square().sum(0)).clamp_min(1e-9)


def common_power(spectra: Spectra, motion: Tensor) -> Tensor:
    """Return the power that frames moved back by `motion` (n, 2) have in common, per ring, of a total of one."""
    common, _ = pair_sums(spectra.values, spectra.band, spectra.ring, motion, torch.zeros_like(spectra.count))
    return common / (pair_weights(spectra.fade) * spectra.count.clamp_min(1))


def static_share(spectra: Spectra, motion: Tensor, moved: Tensor, unmoved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tell signal from static pattern by how much of each two sets of frames have in common: as recorded, and moved back.

    The pattern is taken as white on the detector; frames that hardly move cannot tell, and then all is signal.

    Parameters
    ----------
    moved, unmoved
        `common_power` with `motion` and with none.

    Returns
    -------
    signal, static, smeared
        Unsmoothed power of the signal and smooth power of the pattern, per ring; and what of the latter is left after moving back.
    """
    radius = spectra.radius
    pairs = pair_weights(spectra.fade)
    coherent, doubly, unfaded = (torch.zeros_like(radius) for _ in range(3))
    for f in range(1, len(motion)):  # with those before: every pair once, and counted twice
        apart = (motion[f] - motion[:f]).to(torch.float64).norm(dim=1)
        both = spectra.fade[f] * spectra.fade[:f]
        overlap = torch.from_numpy(j0(2 * math.pi * (apart[:, None] * radius).numpy()))
        coherent += 2 * (both * overlap).sum(0)
        doubly += 2 * (both.square() * overlap).sum(0)
        unfaded += 2 * both.sum(0)
    coherent, doubly, unfaded = coherent / pairs, doubly / pairs, unfaded / pairs
    # moved = signal + coherent·static, unmoved = doubly·signal + unfaded·static
    told = unfaded - doubly * coherent
    white = torch.where(spectra.count > 0, spectra.power[-1] / spectra.power.clamp_min(1e-30), 0.0)
    worth = spectra.count * pairs * (told > 0.05)
    certainty = float((worth * (told * white).square()).sum())
    if certainty <= 0:
        return moved, torch.zeros_like(moved), torch.zeros_like(moved)
    level = max(0.0, float((worth * (unmoved - doubly * moved) * told * white).sum()) / certainty)
    level *= level**2 / (level**2 + 4 / certainty)  # what chance alone could show is not believed
    return moved - coherent * level * white, level * white, coherent * level * white


def law(count: Tensor, radius: Tensor, fade: Tensor, share: Tensor, static: Tensor, half: int = 2) -> Law:
    """Turn the measured signal `share` of each ring into likelihood weights.

    Shares are averaged over ``2 half + 1`` rings (Thon rings are wider), and shrunk by what noise alone would show.
    """
    kernel = (half + 1 - torch.arange(-half, half + 1).abs()).to(torch.float64)

    def spread(rings: Tensor, taps: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(rings[None, None], taps[None, None], padding=half)[0, 0]

    gathered = spread(count, kernel).clamp_min(1e-9)
    mean = (spread(share * count, kernel) / gathered).clamp(0.0, MOST)
    variance = spread(count, kernel.square()) / (pair_weights(fade) * gathered.square())
    signal = mean.pow(3) / (mean.square() + variance).clamp_min(1e-30)
    ratio = signal / (1 - signal)
    weight = ratio / (1 + ratio * fade.square().sum(0)) / (1 - signal)
    weight[count == 0] = 0
    return Law(radius, count, weight, signal, static)


def precision(rings: Law, fade: Tensor) -> Tensor:
    """Return the expected curvature of J per axis, float64 ``(n, n)``; the mean of all displacements is not determined."""
    left = fade.square()
    worth = (2 * math.pi * rings.radius).square() * rings.count * rings.weight * rings.signal
    pairs = -(left * worth) @ left.T
    pairs.fill_diagonal_(0)
    return pairs - torch.diag(pairs.sum(1))


def static_slope(rings: Law, fade: Tensor, motion: Tensor) -> Tensor:
    """Return the gradient ``(n, 2)`` that a static pattern is expected to add to that of J; take it off."""
    strength = rings.count * rings.weight * rings.static
    gradient = torch.zeros(len(motion), 2, dtype=torch.float64)
    if not bool((strength > 0).any()):
        return gradient
    turn = 2 * math.pi * rings.radius
    for f in range(1, len(motion)):
        apart = (motion[f] - motion[:f]).to(torch.float64)
        distance = apart.norm(dim=1)
        bend = torch.from_numpy(j1((distance[:, None] * turn).numpy()))
        pull = -2 * (strength * turn * fade[f] * fade[:f] * bend).sum(1)
        force = pull[:, None] * apart / distance.clamp_min(1e-9)[:, None]
        gradient[f] += force.sum(0)
        gradient[:f] -= force
    return gradient
