"""How near the engine's kernels come to what the machine can do, one thread: ``python -m benchmarks.alignment.kernels``.

The global search is a product of matrices and is compared with the fastest one measured here; slices, insertions and Levenberg-Marquardt
steps are bound by memory and are given in nanoseconds a coefficient, beside the time of copying the bytes they touch.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from cryoloom.numerics.align.coarse import IMAGES, Gallery, norm_terms, peaks, shift_factors, shifted_rows
from cryoloom.numerics.align.coefficients import HalfPlane
from cryoloom.numerics.align.levenberg import evaluate
from cryoloom.numerics.geometry.euler import random_rotations
from cryoloom.numerics.geometry.sphere import disc_lattice, rotation_grid
from cryoloom.numerics.reconstruct.kernels import empty_grid, gather, scatter

SHELLS = (12, 24, 31, 47, 63)
BAND, LATTICE = 12, (7.5, 2.5)
"""Of the global search measured: the last shell, and reach and step of the shifts in px."""


def seconds(work: Callable[[], object], least: float = 0.5) -> float:
    """Return the median time of a call, after one that compiles and warms."""
    work()
    times, until = [], time.perf_counter() + least
    while len(times) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def product_rate() -> float:
    """Return the floating-point operations a second of a large single-precision product."""
    one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 2 * 1024**3 / seconds(lambda: one @ other)


def global_search(peak: float) -> str:
    """Return what the products of the global search reach of `peak`, and the whole of it with its reduction, ns a score."""
    rng = np.random.default_rng(0)
    plane = HalfPlane.of(96, BAND)
    grid = rng.standard_normal((4 * BAND + 7, 4 * BAND + 7, 2 * BAND + 4, 2)).astype(np.float32)
    gallery = Gallery.of(grid, plane, rotation_grid(2, 24))
    shifts = disc_lattice(*LATTICE)
    data = (rng.standard_normal((IMAGES, len(plane.kx))) + 1j * rng.standard_normal((IMAGES, len(plane.kx)))).astype(np.complex64)
    weight, factors = np.abs(data), shift_factors(plane, shifts)
    rows = shifted_rows(data, factors)
    operations = 2 * rows.shape[0] * rows.shape[1] * gallery.slices.shape[1]
    part = operations / seconds(lambda: rows @ gallery.slices) / peak
    directions, angles = gallery.rotations.shape[:2]
    index, where, gains = np.empty((IMAGES, 40), np.int64), np.empty((IMAGES, 40), np.int64), np.empty((IMAGES, 40), np.float32)
    penalty = np.zeros(len(shifts), np.float32)

    def whole() -> None:
        cross = (shifted_rows(data, factors) @ gallery.slices).numpy()
        peaks(cross, norm_terms(gallery, weight).numpy(), penalty, directions, angles, False, index, where, gains)

    scores = rows.shape[0] * gallery.slices.shape[1]
    return f"global search: {100 * part:.0f} % of {peak / 1e9:.0f} GFLOP/s in its product; {1e9 * seconds(whole) / scores:.1f} ns a score in all"


def slices(last: int) -> str:
    """Return ns a coefficient of slicing, inserting and evaluating (value, gradient, curvature) out to shell `last`."""
    rng = np.random.default_rng(0)
    plane = HalfPlane.of(2 * last + 2, last)
    count, rotations = len(plane.kx), random_rotations(64, rng)
    single = rotations.astype(np.float32)
    sums = empty_grid(plane.radius, 4)
    grid = rng.standard_normal((*sums.shape[:3], 2)).astype(np.float32)
    found = np.empty((64, count, 2), np.float32)
    data, weight = found[0].view(np.complex64)[:, 0].copy(), np.ones(count, np.float32)
    gradient, curvature = np.empty(5), np.empty((5, 5))

    def insert() -> None:
        for n in range(64):
            scatter(sums, plane.kx, plane.ky, count, single[n], found[n], weight)

    def climb() -> None:
        for n in range(64):
            evaluate(grid, plane.kx, plane.ky, count, plane.box, data, weight, rotations[n], np.zeros(2), gradient, curvature)

    copied, target = grid.ravel(), np.empty(grid.size, np.float32)
    bandwidth = 2 * grid.nbytes / seconds(lambda: np.copyto(target, copied))
    times = [1e9 * seconds(work) / (64 * count) for work in (lambda: gather(grid, plane.kx, plane.ky, single, found), insert, climb)]
    return (
        f"shell {last:3d}: slice {times[0]:5.1f}, insertion {times[1]:5.1f}, evaluation {times[2]:5.1f} ns a coefficient; "
        f"grid of {grid.nbytes / 2**20:.0f} MiB, copied at {bandwidth / 1e9:.1f} GB/s"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(global_search(product_rate()) + "\n")
    for last in SHELLS:
        sys.stdout.write(slices(last) + "\n")
