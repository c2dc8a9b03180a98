"""Polar coordinates of a band-limited image, in which an in-plane rotation is a phase and costs nothing.

An image of ``box`` px is sampled in Fourier space on rings of radius 1 ... R Fourier pixels, at H angles of half a turn (the other
half is the complex conjugate), and each ring is expanded in angular harmonics

    X(ρ, θ) = Σ_m X_m(ρ) exp(i m θ),     turned by ψ (from +x towards +y):  X_m exp(-i m ψ).

Real images obey ``X_-m = (-1)^m conj(X_m)``, so only ``m >= 0`` is kept: even orders come from the real part of a ring, odd ones from
its imaginary part. A ring of radius ρ of anything that lies within ``support`` px of the centre has no orders beyond about
``2π ρ support / box`` (the Bessel function J_m has died out), so the harmonics are kept in *groups* of neighbouring orders of one
parity, each with the rings that can have them. A group's array has the axes ``(orders, 2 · rings, ...)``: the real parts of all rings,
rising, then the imaginary parts; products with it are real matrix products.

Sums over the half-plane of Cartesian coefficients become ring sums: ``Σ f ≈ Σ_ρ πρ mean_θ f``. Rings one Fourier pixel apart are
dense enough for images cut to a circle. The coefficient at zero is not used: what it would add is nearly a constant grey value.
Alignment in polar harmonics follows Barnett, Greengard, Pataki & Spivak, SIAM J. Imaging Sci. 10:1170 (2017),
doi:10.1137/16M1097171.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_ORDERS_PER_GROUP = 8


def bandwidth(argument: float) -> int:
    """Return the order beyond which the Bessel functions ``J_m(argument)`` stay below about 1 %."""
    return math.ceil(argument + 1.5 * argument ** (1 / 3) + 1)


@dataclass(frozen=True)
class Group:
    """Harmonics ``first, first + 2, ...`` (`count` of them) of `rings` rings from ring number `ring` on, at `start` of a packed array."""

    first: int
    count: int
    ring: int
    rings: int
    start: int

    @property
    def parity(self) -> int:
        """Return 0 for even orders, 1 for odd ones."""
        return self.first % 2

    @property
    def orders(self) -> range:
        """Return the harmonic orders m."""
        return range(self.first, self.first + 2 * self.count, 2)

    @property
    def stop(self) -> int:
        """Return the end of the group in a packed array."""
        return self.start + 2 * self.count * self.rings

    def view(self, packed: Tensor, band: int) -> Tensor:
        """Return ``(..., orders, 2, rings up to band)`` of packed arrays ``(..., size)``."""
        whole = packed[..., self.start : self.stop].unflatten(-1, (self.count, 2, self.rings))
        return whole[..., : max(0, band - self.ring + 1)]


@dataclass(frozen=True)
class PolarLayout:
    """Which rings, angles and harmonics stand for an image.

    Parameters
    ----------
    box
        Edge of the image in px.
    rings
        Radius R of the outermost ring in Fourier pixels, below ``box / 2``.
    support
        Radius in px outside of which references are empty, wherever a shift may bring them.
    """

    box: int
    rings: int
    support: float

    @cached_property
    def half_angles(self) -> int:
        """Return H, the number of angles in half a turn: enough for anything within the inscribed circle."""
        return 12 * math.ceil((bandwidth(math.pi * self.rings) + 1) / 12)

    @cached_property
    def angles(self) -> Tensor:
        """Return the H angles in radians, in (-π/2, π/2), where ``kx > 0``."""
        return (torch.arange(self.half_angles, dtype=torch.float64) + 0.5) * (math.pi / self.half_angles) - math.pi / 2

    @cached_property
    def points(self) -> tuple[Tensor, Tensor]:
        """Return ``kx, ky`` of the samples in cycles/px, float64, each ``(H, R)``."""
        radius = torch.arange(1, self.rings + 1, dtype=torch.float64) / self.box
        return torch.cos(self.angles)[:, None] * radius, torch.sin(self.angles)[:, None] * radius

    def orders_within(self, band: int) -> int:
        """Return the highest harmonic order that rings up to `band` can have."""
        return min(bandwidth(2 * math.pi * band * self.support / self.box), self.half_angles - 1)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Return all groups, those of even orders first."""
        groups: list[Group] = []
        start = 0
        for parity in (0, 1):
            orders = list(range(parity, self.orders_within(self.rings) + 1, 2))
            for at in range(0, len(orders), _ORDERS_PER_GROUP):
                chunk = orders[at : at + _ORDERS_PER_GROUP]
                ring = next(ring for ring in range(1, self.rings + 1) if self.orders_within(ring) >= chunk[0])
                groups.append(Group(chunk[0], len(chunk), ring, self.rings - ring + 1, start))
                start = groups[-1].stop
        return tuple(groups)

    def groups_within(self, band: int) -> list[Group]:
        """Return the groups that have rings up to `band`."""
        return [group for group in self.groups if group.ring <= band]

    @property
    def size(self) -> int:
        """Return the length of a packed array, in float32 numbers."""
        return self.groups[-1].stop

    # -- samples to harmonics and back ------------------------------------------------------------------------------

    @cached_property
    def _analysis(self) -> dict[int, Tensor]:
        """Per group, by first order: the matrix ``(2 · orders, H)`` from one part of the samples to the harmonics."""
        matrices = {}
        for group in self.groups:
            m = torch.tensor(list(group.orders), dtype=torch.float64)[:, None] * self.angles
            parts = (torch.cos(m), -torch.sin(m)) if group.parity == 0 else (torch.sin(m), torch.cos(m))
            matrices[group.first] = (torch.stack(parts, dim=1).flatten(0, 1) / self.half_angles).to(torch.float32)
        return matrices

    @cached_property
    def _synthesis(self) -> dict[int, Tensor]:
        """Per group, by first order: the matrix ``(H, 2 · orders)`` from the harmonics to their part of the samples."""
        matrices = {}
        for group in self.groups:
            # The angles are evenly spaced, so the transposed analysis will do. Order 0 stands once, the others with ±m.
            weights = torch.full((group.count, 2), 2.0 * self.half_angles)
            weights[: group.first == 0] /= 2.0
            matrices[group.first] = (self._analysis[group.first] * weights.reshape(-1, 1)).t().contiguous()
        return matrices

    def analyse(self, samples: Tensor, band: int) -> list[Tensor]:
        """Turn samples ``(H, R or band, n)``, complex64, into the arrays ``(orders, 2 · rings, n)`` of the groups within `band`."""
        planes = (samples.real.contiguous(), samples.imag.contiguous())
        arrays = []
        for group in self.groups_within(band):
            plane = planes[group.parity][:, group.ring - 1 : band]
            matrix = self._analysis[group.first].to(samples.device)
            arrays.append((matrix @ plane.flatten(1)).reshape(group.count, 2 * plane.shape[1], -1))
        return arrays

    def synthesise(self, arrays: list[Tensor], band: int) -> Tensor:
        """Turn the arrays that `analyse` returns into samples ``(H, band, n)``."""
        count = arrays[0].shape[-1]
        planes = [arrays[0].new_zeros((self.half_angles, band * count)) for _ in range(2)]
        for group, array in zip(self.groups_within(band), arrays, strict=True):
            matrix = self._synthesis[group.first].to(array.device)
            planes[group.parity][:, (group.ring - 1) * count :].addmm_(matrix, array.reshape(2 * group.count, -1))
        return torch.complex(*planes).unflatten(1, (band, count))

    def pack(self, arrays: list[Tensor]) -> Tensor:
        """Turn the arrays of all groups into packed arrays ``(n, size)``."""
        return torch.cat([array.flatten(0, 1) for array in arrays]).t().contiguous()

    # -- weights ----------------------------------------------------------------------------------------------------

    @cached_property
    def areas(self) -> Tensor:
        """Return the area in Fourier pixels that each ring stands for in half a turn, ``πρ``, float32 ``(R,)``."""
        return math.pi * torch.arange(1, self.rings + 1, dtype=torch.float32)

    def packed_weights(self, rings: Tensor) -> Tensor:
        """Spread weights ``(..., R)`` of rings to packed arrays ``(..., size)``, orders m > 0 counted twice."""
        out = rings.new_zeros((*rings.shape[:-1], self.size))
        for group in self.groups:
            view = group.view(out, self.rings)
            view[...] = 2.0 * rings[..., None, None, group.ring - 1 :]
            if group.first == 0:
                view[..., 0, :, :] /= 2.0
        return out
