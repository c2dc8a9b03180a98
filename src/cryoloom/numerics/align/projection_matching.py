"""Projection matching: how like every image is to the view of a map from every direction, at the best in-plane angle and shift.

Images and views are compared by Pearson's correlation within a circle and a band: coefficients on rings (`class2d_layout`), the mean left
out, each scaled to unit power. A view of the map in the pose ``A_j`` of psi 0 is seen in an image as ``X(ρ, θ) = A_j(ρ, θ + psi)``, so that in
angular harmonics

    c(psi) = Re Σ_m exp(-i m psi) Σ_ρ conj(A_m(ρ)) X_m(ρ):

two products of real matrices give the correlation at all angles. Directions over the whole sphere stand for mirrored images too, since the
view from the opposite side is the mirror image.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_poses import shift_ramp
from cryoloom.numerics.align.class2d_sampling import PolarSampler
from cryoloom.numerics.align.coefficients import background, circular_mask
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.parallel import blocks, ordered
from cryoloom.numerics.reconstruct.grids import Map, reference_grid
from cryoloom.numerics.reconstruct.kernels import gather

Images = NDArray[np.float32]
Array = NDArray[np.float64]

COLUMNS, DIRECTIONS = 64, 128
"""(Image, shift) pairs and directions compared at once: products that stay in the cache."""
EDGE = 2.0
"""px, of the circle inside which images are compared."""


@dataclass(frozen=True)
class Frame:
    """In what images and views are compared.

    Attributes
    ----------
    box
        px of the images.
    rings
        Band: rings 1 to this, in cycles per box, below ``box / 2``.
    radius
        px of the circle on the images and of the sphere on the map.
    turns
        In-plane angles tried, even.
    """

    box: int
    rings: int
    radius: float
    turns: int = 72

    @cached_property
    def layout(self) -> PolarLayout:
        """Return the rings and angles of the samples."""
        return PolarLayout(self.box, self.rings, self.radius)

    @cached_property
    def turning(self) -> tuple[Tensor, Tensor]:
        """Return, for even and odd orders, the matrix ``(turns / 2, 2 · orders)`` from products of harmonics to half a turn of scores."""
        angle = torch.arange(self.turns // 2, dtype=torch.float64)[:, None] * (2 * math.pi / self.turns)
        even, odd = (self._phases(angle, parity) for parity in (0, 1))
        return even, odd

    def _phases(self, angle: Tensor, parity: int) -> Tensor:
        orders = [m for group in self.layout.groups if group.parity == parity for m in group.orders]
        phase = angle * torch.tensor(orders, dtype=torch.float64)
        return torch.cat([torch.cos(phase), torch.sin(phase)], dim=1).to(torch.float32)


@dataclass(frozen=True)
class Views:
    """Images or projections as they are compared.

    Attributes
    ----------
    samples
        Complex64 ``(H, R, n)``, without the mean, of unit power: ``Σ πρ mean_θ |X|² = 1``, or 0 for an image of nothing.
    """

    samples: Tensor

    def __len__(self) -> int:
        return self.samples.shape[2]

    @classmethod
    def of(cls, frame: Frame, samples: Tensor) -> "Views":
        """Scale samples to unit power."""
        power = (samples.abs().square().mean(dim=0) * frame.layout.areas[:, None]).sum(dim=0)
        return cls(samples / power.clamp(min=1e-30).sqrt())


@dataclass(frozen=True)
class Matches:
    """The best pose of every image at every direction.

    Attributes
    ----------
    correlation
        Pearson's, ``(n, directions)``.
    distance
        Of the images, each of unit power, as IMED measures it (Wang, Zhang & Feng 2005, doi:10.1109/TPAMI.2005.165): their difference counts after a blur.
    psi
        Degrees, ``(n, directions)``.
    shift
        What is to be added to the image, px, (x, y): number of the shift tried, ``(n, directions)``.
    """

    correlation: NDArray[np.float32]
    distance: NDArray[np.float32]
    psi: NDArray[np.float32]
    shift: NDArray[np.int16]


def within_circle(frame: Frame, images: Images) -> Images:
    """Return images ``(n, box, box)`` less their background, cut to the circle."""
    mean, _ = background(images, 2 * frame.radius)
    return ((images - mean[:, None, None]) * circular_mask(frame.box, 2 * frame.radius, EDGE)).astype(np.float32)


def image_views(frame: Frame, images: Images) -> Views:
    """Return images ``(n, box, box)`` as they are compared, within the circle."""
    return Views.of(frame, PolarSampler(frame.layout).samples(torch.from_numpy(within_circle(frame, images))))


def map_views(frame: Frame, volume: Map, rotations: Array) -> Views:
    """Return the projections of a map ``(d, d, d)``, of the images' extent and ``d <= box``, in poses ``(n, 3, 3)``.

    What lies outside the sphere is left out.
    """
    scale = len(volume) / frame.box
    cut = volume * spherical_mask(len(volume), frame.radius * scale, EDGE * scale)
    grid = reference_grid(cut.astype(np.float32), float(frame.rings), frame.box)
    kx, ky = (axis.reshape(-1).numpy().astype(np.float32) * np.float32(frame.box) for axis in frame.layout.points)
    found = np.empty((len(rotations), len(kx), 2), np.float32)
    gather(grid, kx, ky, rotations.astype(np.float32), found)
    samples = torch.view_as_complex(torch.from_numpy(found)).t().reshape(frame.layout.half_angles, frame.rings, -1)
    return Views.of(frame, samples)


def match(
    frame: Frame, images: Views, gallery: Views, shifts: Array, *, centres: Array | None = None, blur: float = 1.0, threads: int = 1
) -> Matches:
    """Match every image with every view.

    Parameters
    ----------
    images, gallery
        Of `image_views`, and of `map_views` in poses of psi 0: with the psi found, the pose is ``Rz(psi) · A_j``.
    shifts
        Tried, ``(T, 2)`` px, (x, y), to be added to the image to centre it.
    centres
        Of each image, ``(n, 2)`` px, to which `shifts` are added; None for 0.
    blur
        px, standard deviation of the Gaussian by which `Matches.distance` blurs.
    threads
        The result does not depend on it.
    """
    layout, count = frame.layout, len(images)
    steps = torch.from_numpy(np.asarray(shifts, np.float64)).to(torch.float32)
    middle = torch.zeros((count, 2)) if centres is None else torch.from_numpy(np.asarray(centres)).to(torch.float32)
    ring = torch.arange(1, frame.rings + 1, dtype=torch.float64) / frame.box
    damping = torch.exp(-2 * math.pi**2 * blur**2 * ring**2).to(torch.float32)
    harmonics = layout.pack(layout.analyse(gallery.samples, frame.rings))
    weighted = [harmonics * layout.packed_weights(layout.areas), harmonics * layout.packed_weights(layout.areas * damping)]
    power = [_blurred_power(frame, views, damping) for views in (images, gallery)]
    found = Matches(*(np.empty((count, len(gallery)), kind) for kind in (np.float32, np.float32, np.float32, np.int16)))
    frame.turning  # noqa: B018 (computed once, before the threads ask for it)
    layout.analyse(images.samples[:, :, :1], frame.rings)

    def work(part: slice) -> None:
        ramp = shift_ramp(layout, (middle[part, None] + steps).flatten(0, 1), frame.rings)
        moved = images.samples[:, :, part].repeat_interleave(len(steps), dim=2) * ramp
        arrays = layout.analyse(moved, frame.rings)
        for some in blocks(len(gallery), DIRECTIONS):
            sharp, blurred = (_products(frame, each[some], arrays) for each in weighted)
            even, odd = (matrix @ product for matrix, product in zip(frame.turning, sharp, strict=True))
            best_poses(
                even.numpy(), odd.numpy(), blurred[0].numpy(), blurred[1].numpy(), frame.turning[0].numpy(), frame.turning[1].numpy(),
                power[0][part], power[1][some], len(steps), found.correlation[part, some], found.distance[part, some], found.psi[part, some],
                found.shift[part, some],
            )  # fmt: skip

    for _ in ordered(work, blocks(count, max(1, COLUMNS // len(steps))), threads):
        pass
    return found


def _blurred_power(frame: Frame, views: Views, damping: Tensor) -> NDArray[np.float32]:
    """Return ``Σ πρ exp(-2π² blur² k²) mean_θ |X|²``, ``(n,)``."""
    return ((frame.layout.areas * damping)[:, None] * views.samples.abs().square().mean(dim=0)).sum(dim=0).numpy()


def _products(frame: Frame, gallery: Tensor, arrays: list[Tensor]) -> list[Tensor]:
    """Return ``conj(A_m) X_m`` summed over rings, of even and of odd orders: ``(2 · orders, directions · columns)``, real over imaginary parts."""
    rows, columns = len(gallery), arrays[0].shape[2]
    out = [torch.empty((2, matrix.shape[1] // 2, rows, columns)) for matrix in frame.turning]
    at = [0, 0]
    for group, right in zip(frame.layout.groups, arrays, strict=True):
        own = slice(at[group.parity], at[group.parity] + group.count)
        at[group.parity] = own.stop
        moved = group.view(gallery, frame.rings).permute(1, 0, 2, 3)
        torch.bmm(moved.flatten(2), right, out=out[group.parity][0, own])
        torch.bmm(torch.stack([-moved[:, :, 1], moved[:, :, 0]], dim=2).flatten(2), right, out=out[group.parity][1, own])
    return [product.flatten(0, 1).flatten(1) for product in out]


@njit(nogil=True, cache=True, error_model="numpy")
def best_poses(even, odd, blurred_even, blurred_odd, turn_even, turn_odd, own, others, shifts, correlation, distance, psi, shift):
    """Write correlation, distance, psi and shift of the best angle and shift of each image (rows) at each direction (columns).

    `even` and `odd` ``(turns / 2, directions · images · shifts)`` are scores of half a turn; in the other half odd ones change their sign.
    """
    half, columns = even.shape
    images, directions = correlation.shape
    best = np.full(columns, np.float32(-np.inf))
    where = np.zeros(columns, np.int16)
    for p in range(half):
        for n in range(columns):
            first, second = even[p, n] + odd[p, n], even[p, n] - odd[p, n]
            if first > best[n]:
                best[n] = first
                where[n] = p
            if second > best[n]:
                best[n] = second
                where[n] = p + half
    for r in range(directions):
        for b in range(images):
            start = (r * images + b) * shifts
            n = start
            for t in range(start + 1, start + shifts):
                if best[t] > best[n]:
                    n = t
            p = where[n]
            sides = np.empty(2)
            for side in range(2):
                q = (p + 2 * side - 1) % (2 * half)
                sides[side] = even[q % half, n] + (odd[q % half, n] if q < half else -odd[q % half, n])
            bend = sides[0] + sides[1] - 2.0 * best[n]
            offset = 0.5 * (sides[0] - sides[1]) / bend if bend < -1e-12 else 0.0
            cross = 0.0
            for m in range(turn_even.shape[1]):
                cross += turn_even[p % half, m] * blurred_even[m, n]
            sign = 1.0 if p < half else -1.0
            for m in range(turn_odd.shape[1]):
                cross += sign * turn_odd[p % half, m] * blurred_odd[m, n]
            correlation[b, r] = best[n]
            distance[b, r] = np.sqrt(max(own[b] + others[r] - 2.0 * cross, 0.0))
            psi[b, r] = (p + offset) * (180.0 / half)
            shift[b, r] = n - start
