"""Exhaustive search for the defocus: every (U, V, angle) of a grid, by one matrix product and look-ups.

For one sector of azimuth the spectrum depends on one defocus, so the correlations of all sectors with all defoci are one matrix
product ``(sectors, rings) @ (rings, defoci)``. A candidate (mean, a, b) reads from it at ``mean + a cos 2θ + b sin 2θ`` in each
sector. The model is ``sin² χ``, which equals ``|CTF|`` in the position of its rings and the power's excess in shape; both it and
the data lose the same smooth splines, so rings wider than the band's background filter cost sensitivity and never a bias.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryoloom.numerics.ctf.rings import SECTORS, Astigmatic, Cells, Optics, astigmatism_loss, spline_basis
from cryoloom.numerics.ctf.spectrum import Array

ENVELOPE = 60.0
"""Å²: signal power is expected to fall off as ``exp(-B s² / 2)`` with about this B beside the noise."""

FINEST = 1 / 3.4
"""1/Å: rings beyond 3.4 Å narrow the peak of the right defocus and help little to find it; those of ice, about 3.7 Å, do."""


@dataclass(frozen=True)
class Landscape:
    """How well every defocus explains the spectrum.

    Attributes
    ----------
    defocus
        The means searched, Å.
    gain
        Log-likelihood gained over a spectrum without rings, at the best plate and astigmatism of each mean.
    best
        The best candidates, at most one per peak of `gain`, best first.
    """

    defocus: Array
    gain: Array
    best: list[Astigmatic]


def search_defocus(
    cells: Cells,
    optics: Optics,
    low: float,
    high: float,
    *,
    step: float,
    shapes: Sequence[tuple[float, float]],
    plates: Array,
    smoothness: int,
    tolerance: float,
    candidates: int = 3,
) -> Landscape:
    """Score all means from `low` to `high` with all `shapes` of astigmatism and all `plates`.

    Parameters
    ----------
    low, high, step
        Of the mean defocus in Å; the step is refined when the phase would change by more than a quarter ring between nodes.
    shapes
        Astigmatisms as ``(a, b)`` in Å, see `shapes_of`; (0, 0) alone gives the one-dimensional search.
    plates
        Phase shifts in radians.
    smoothness
        How many splines per sector stand for the background.
    tolerance
        Expected astigmatism in Å, a soft restraint; zero or negative for none.
    """
    used = int(np.searchsorted(cells.rings, FINEST))
    rings = cells.rings[: max(used, 24)]
    step = min(step, 0.25 / (optics.wavelength * rings[-1] ** 2))
    margin = math.ceil(max(math.hypot(a, b) for a, b in shapes) / step) + 1
    count = math.ceil((high - low) / step) + 1
    means = low + step * np.arange(count)
    table = low + step * np.arange(-margin, count + margin + 1)
    data, weight = _sectors(cells, rings)
    basis = np.linalg.qr(spline_basis(rings, rings[0], rings[-1], smoothness) * np.sqrt(weight)[:, None])[0]
    envelope = np.sqrt(weight) * np.exp(-0.5 * ENVELOPE * rings**2)
    gain = np.full(count, -np.inf)
    shape_of, plate_of = np.zeros(count, dtype=int), np.zeros(count)
    for plate in plates:
        phase = np.outer(optics.phase_per_defocus(rings**2), table) + (optics.phase_in_focus(rings**2) + plate)[:, None]
        model = np.square(np.sin(phase)) * envelope[:, None]
        model -= basis @ (basis.T @ model)
        overlap, power = data @ model, np.square(model).sum(axis=0)
        for number, (a, b) in enumerate(shapes):
            new = _gain(overlap, power, a / step, b / step, margin) / (cells.noise * cells.correlated)
            new -= astigmatism_loss(2 * math.hypot(a, b), tolerance)
            better = new > gain
            gain = np.where(better, new, gain)
            shape_of[better], plate_of[better] = number, plate
    best = [Astigmatic(float(means[at]), *shapes[shape_of[at]], float(plate_of[at])) for at in _peaks(gain, candidates)]
    return Landscape(means, gain, best)


def _sectors(cells: Cells, rings: Array) -> tuple[Array, Array]:
    """Return the data ``(sectors, rings)`` weighted so that its product with a model is a sum over pixels, and the pixels of a cell."""
    inside = cells.ring < len(rings)
    sector, ring, pixels = cells.sector[inside], cells.ring[inside], cells.pixels[inside]
    weight = np.bincount(ring, pixels, minlength=len(rings)) / SECTORS
    data = np.zeros((SECTORS, len(rings)))
    data[sector, ring] = pixels * cells.excess[inside] / np.sqrt(weight[ring])
    return data, weight


def shapes_of(astigmatisms: Array) -> list[tuple[float, float]]:
    """Return ``(a, b)`` in Å of values of U - V at all angles: the more astigmatic, the more, so that neighbours lie about one step apart."""
    shapes = []
    step = float(np.diff(astigmatisms).min()) if len(astigmatisms) > 1 else 1.0
    for magnitude in astigmatisms:
        count = max(1, round(2 * math.pi * magnitude / step))
        double = 2 * math.pi * np.arange(count) / count
        shapes += [(0.5 * float(magnitude * np.cos(angle)), 0.5 * float(magnitude * np.sin(angle))) for angle in double]
    return shapes


def _gain(overlap: Array, power: Array, a: float, b: float, margin: int) -> Array:
    """Return ``½ overlap² / power``, summed over sectors at their defoci, for every mean; negative overlap gains nothing."""
    double = 2 * math.pi * ((np.arange(SECTORS) + 0.5) / SECTORS - 0.5)
    shift = a * np.cos(double) + b * np.sin(double)
    whole = np.floor(shift).astype(int)
    part = shift - whole
    count = overlap.shape[1] - 2 * margin - 1
    product, square = np.zeros(count), np.zeros(count)
    for sector in range(SECTORS):
        start = margin + whole[sector]
        near, far = slice(start, start + count), slice(start + 1, start + 1 + count)
        product += (1 - part[sector]) * overlap[sector, near] + part[sector] * overlap[sector, far]
        square += (1 - part[sector]) * power[near] + part[sector] * power[far]
    return 0.5 * np.square(np.maximum(product, 0)) / np.maximum(square, 1e-30)


def _peaks(gain: Array, count: int) -> list[int]:
    """Return the highest local maxima, ends included, best first; the first of equals."""
    padded = np.concatenate([[-np.inf], gain, [-np.inf]])
    peaks = np.flatnonzero((gain > padded[:-2]) & (gain >= padded[2:]))
    return [int(at) for at in peaks[np.argsort(-gain[peaks], kind="stable")][:count]]
