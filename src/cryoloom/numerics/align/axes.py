"""Where a map's symmetry axes lie, and how symmetric it is.

A map is judged at `DETAIL`, inside its mask and less the mean of each distance from the centre: the roundness that any compact particle shares with its
rotated copies says nothing of its axes. Every orientation of a group's axes is tried, in steps of 7.5 degrees over the asymmetric unit, by the
correlation of the map with itself turned by the group's generators (Scheres 2016, doi:10.1016/bs.mie.2016.04.012, aligns first maps so); the
best are improved continuously together with the centre.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import minimize

from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fourier.transforms import resample_volume
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.rotations import rotation_from_vector
from cryoloom.numerics.geometry.sphere import healpix_directions, rotation_grid
from cryoloom.numerics.geometry.symmetry import PointGroup, point_group
from cryoloom.numerics.masks.soft import radius_from_centre, spherical_mask
from cryoloom.numerics.reconstruct.grids import Map, working_box
from cryoloom.numerics.reconstruct.symmetry import spline_of, symmetric_map, turned_map

Array = NDArray[np.float64]

DETAIL = 20.0
"""Å."""
ORDER, STEPS = 3, 48
"""HEALPix order and in-plane steps of the search: 7.5 degrees."""
POINTS = 3000
STARTS, EVALUATIONS = 6, 400
"""Orientations improved, and correlations spent on each; for detection a third of both."""
VOXELS_A_RADIAN = 10.0
"""Scale of the centre beside the rotation: at this distance a radian moves as far."""
DETECTED = tuple(f"C{n}" for n in range(2, 13)) + tuple(f"D{n}" for n in range(2, 13)) + ("T", "O", "I2")


@dataclass(frozen=True)
class Axes:
    """A frame in which a map is most nearly symmetric: ``V'(x) = V(rotation · x + centre)``.

    Attributes
    ----------
    rotation, centre
        ``(3, 3)``, and ``(3,)`` as a fraction of the box.
    agreement
        Correlation of that map with the mean of its copies, see `agreement`.
    """

    rotation: Array
    centre: Array
    agreement: float


def agreement(volume: Map, pixel_size: float, radius: float, group: PointGroup) -> float:
    """Return the correlation at `DETAIL` of a map and the mean of its copies about its own axes, 1 if they are the same.

    Parameters
    ----------
    volume, pixel_size
        Map ``(d, d, d)`` and Å.
    radius
        Of the particle, Å.
    """
    return _Outline.of(volume, pixel_size, radius).agreement(group, np.eye(3), np.zeros(3))


def find_axes(volume: Map, pixel_size: float, radius: float, group: PointGroup) -> Axes:
    """Find the frame in which a map is most nearly symmetric under `group`; parameters as in `agreement`."""
    return _Outline.of(volume, pixel_size, radius).best(group, _frames(group))


def detect(volume: Map, pixel_size: float, radius: float) -> list[tuple[str, float]]:
    """Return how nearly a map has the symmetry of each of `DETECTED` at its best axes, the most nearly symmetric first."""
    outline = _Outline.of(volume, pixel_size, radius)
    found: dict[str, Axes] = {}
    for name in DETECTED:
        group = point_group(name)
        frames = _frames(group)
        if name[0] == "D":
            # The axis of Cn is known by now; what is left is the angle about it.
            turn = np.deg2rad(np.arange(0.0, 180.0 / int(name[1:]), 180.0 / STEPS))
            frames = found["C" + name[1:]].rotation @ rotation_from_vector(turn[:, None] * np.array([0.0, 0.0, 1.0]))
        found[name] = outline.best(group, frames, STARTS // 3, EVALUATIONS // 3)
    return sorted(((name, axes.agreement) for name, axes in found.items()), key=lambda pair: -pair[1])


def in_frame(volume: Map, axes: Axes, *, fine: bool = False) -> Map:
    """Return a map of any box moved into the frame of its axes; `fine` keeps detail up to Nyquist."""
    spline = spline_of(volume, fine=fine)
    return turned_map(spline, axes.rotation, axes.centre * len(volume), filtered=True, box=len(volume)).astype(np.float32)


def _frames(group: PointGroup) -> Array:
    """Return rotations that bring the axes of `group` to all their distinct orientations, ``(n, 3, 3)``."""
    if group.name[0] == "C":
        rot, tilt = healpix_directions(ORDER)
        half = tilt <= 90.0 + 1e-6
        return np.swapaxes(euler_to_matrix(rot[half], tilt[half], np.zeros(half.sum())), -1, -2)
    grid = rotation_grid(ORDER, STEPS).reshape(-1, 3, 3)
    return grid[group.in_unit(grid[:, 2], margin=180.0 / STEPS)]


@dataclass(frozen=True)
class _Outline:
    """A map at `DETAIL` without its radial mean, the places at which it is compared, and its values there."""

    volume: Map
    points: Array
    mask: Map

    @classmethod
    def of(cls, volume: Map, pixel_size: float, radius: float) -> "_Outline":
        full = len(volume)
        # Twice as fine as the detail needs, so that straight lines between voxels will do.
        box = min(full, working_box(2.0 * full * pixel_size / DETAIL, full))
        small = resample_volume(torch.from_numpy(lowpass(volume, pixel_size, max(DETAIL, 2.2 * pixel_size))), box).numpy()
        reach = min(radius / (pixel_size * full / box), box / 2 - 3)
        mask = spherical_mask(box, reach, 2.0)
        rng = np.random.default_rng(1)
        points = rng.normal(size=(POINTS, 3))
        points *= reach * np.cbrt(rng.random(POINTS) / (points**2).sum(axis=1) ** 1.5)[:, None]
        return cls(_without_radial_mean(small * mask), points, mask)

    def agreement(self, group: PointGroup, rotation: Array, centre: Array) -> float:
        turned = turned_map(self.volume, rotation, centre).astype(np.float32)
        copies = symmetric_map(turned, group)
        one, two = self.mask * _without_radial_mean(turned), self.mask * _without_radial_mean(copies)
        return float(np.vdot(one, two) / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-30))

    def best(self, group: PointGroup, frames: Array, starts: int = STARTS, evaluations: int = EVALUATIONS) -> Axes:
        # Along its only axis the centre of Cn is anywhere, and stays where it was.
        free = np.diag([1.0, 1.0, 0.0]) if group.name[0] == "C" else np.eye(3)
        turns = np.stack([rotation_from_vector(axis * (2 * np.pi / fold)) for axis, fold in group.axes])

        def placed(x: Array, start: Array) -> tuple[Array, Array]:
            frame = rotation_from_vector(x[:3]) @ start
            return frame, frame @ free @ frame.T @ x[3:] * VOXELS_A_RADIAN

        def score(frame: Array, centre: Array) -> float:
            points = self.points + centre
            here = sampled(self.volume, points, np.eye(3)[None])[0]
            there = sampled(self.volume, self.points, frame @ turns @ frame.T, centre)
            return float(np.mean(_correlations(here, there)))

        here = sampled(self.volume, self.points, np.eye(3)[None])[0]
        scores = np.mean(
            [_correlations(here, sampled(self.volume, self.points, frames @ turn @ np.swapaxes(frames, -1, -2))) for turn in turns], axis=0
        )
        candidates = []
        for number in np.argsort(-scores, kind="stable")[:starts]:
            start = frames[number]
            found = minimize(
                lambda x, start=start: -score(*placed(x, start)), np.zeros(6), method="Nelder-Mead",
                options={"initial_simplex": np.vstack([np.zeros(6), 0.08 * np.eye(6)]), "maxfev": evaluations, "xatol": 1e-3, "fatol": 1e-5},
            )  # fmt: skip
            candidates.append((found.fun, *placed(found.x, start)))
        _, rotation, centre = min(candidates, key=lambda each: each[0])
        return Axes(rotation, centre / len(self.volume), self.agreement(group, rotation, centre))


def _without_radial_mean(volume: Map) -> Map:
    shell = np.rint(radius_from_centre(len(volume))).astype(np.int64)
    mean = np.bincount(shell.ravel(), volume.ravel()) / np.bincount(shell.ravel())
    return (volume - mean[shell]).astype(np.float32)


def _correlations(one: NDArray[np.float32], many: NDArray[np.float32]) -> Array:
    one, many = one - one.mean(), many - many.mean(axis=-1, keepdims=True)
    return (many @ one) / np.maximum(np.linalg.norm(one) * np.linalg.norm(many, axis=-1), 1e-30)


def sampled(volume: Map, points: Array, rotations: Array, centre: Array | None = None) -> NDArray[np.float32]:
    """Return the values of a map at ``R p + centre`` (voxels from the box's centre), ``(rotations, points)``; 0 outside."""
    out = np.zeros((len(rotations), len(points)), np.float32)
    sample(volume, points.astype(np.float32), rotations.astype(np.float32), np.zeros(3) if centre is None else centre, out)
    return out


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def sample(volume, points, rotations, centre, out):
    """Write the values of `volume` at ``R p + centre`` into `out`, linear between voxels."""
    size = volume.shape[0]
    cx, cy, cz = np.float32(centre[0] + size // 2), np.float32(centre[1] + size // 2), np.float32(centre[2] + size // 2)
    one = np.float32(1)
    for n in range(rotations.shape[0]):
        a = rotations[n]
        for p in range(points.shape[0]):
            u, v, w = points[p, 0], points[p, 1], points[p, 2]
            x = a[0, 0] * u + a[0, 1] * v + a[0, 2] * w + cx
            y = a[1, 0] * u + a[1, 1] * v + a[1, 2] * w + cy
            z = a[2, 0] * u + a[2, 1] * v + a[2, 2] * w + cz
            if x < 0 or y < 0 or z < 0 or x >= size - 1 or y >= size - 1 or z >= size - 1:
                continue
            i, j, k = int(x), int(y), int(z)
            fx, fy, fz = x - np.float32(i), y - np.float32(j), z - np.float32(k)
            low = (one - fy) * ((one - fx) * volume[k, j, i] + fx * volume[k, j, i + 1])
            low += fy * ((one - fx) * volume[k, j + 1, i] + fx * volume[k, j + 1, i + 1])
            high = (one - fy) * ((one - fx) * volume[k + 1, j, i] + fx * volume[k + 1, j, i + 1])
            high += fy * ((one - fx) * volume[k + 1, j + 1, i] + fx * volume[k + 1, j + 1, i + 1])
            out[n, p] = (one - fz) * low + fz * high
