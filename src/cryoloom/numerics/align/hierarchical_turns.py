"""Correlations of images with class averages as functions of the angle, for all classes and both mirrors at once: products of polar harmonics."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import PolarLayout


class Turns:
    """Compares images with averages at every angle, in one place.

    Parameters
    ----------
    layout
        Of images and averages.
    averages
        Samples ``(H, R, K)``.
    band
        Rings compared.
    radius
        Of the particle, px: it decides how many angles are told apart.
    mirrors
        Compare mirrored images too.
    """

    def __init__(self, layout: PolarLayout, averages: Tensor, band: int, radius: float, *, mirrors: bool) -> None:
        self.layout, self.band, self.ways, self.classes = layout, band, 1 + mirrors, averages.shape[-1]
        self.groups = layout.groups_within(band)
        self.half = math.ceil(max(12.0, 3.2 * math.pi * band * radius / layout.box) / 2)
        angles = torch.arange(self.half, dtype=torch.float64) * (math.pi / self.half)
        self.tables, self.references, self.weighted = [], [], []
        for group, array in zip(self.groups, layout.analyse(averages[:, :band], band), strict=True):
            orders = torch.tensor(list(group.orders), dtype=torch.float64)
            weight = torch.where(orders == 0, 1.0, 2.0)
            phase = angles[:, None] * orders
            self.tables.append(torch.cat([weight * torch.cos(phase), -weight * torch.sin(phase)], dim=1).to(torch.float32))
            self.weighted.append(array * layout.areas[group.ring - 1 : band].repeat(2)[None, :, None])
            c, d = self.weighted[-1].chunk(2, dim=1)
            # X conj(A) of X = a + ib and A = c + id; a mirrored image has -b for b. Real parts, then imaginary ones; unmirrored, then mirrored.
            real, imaginary = [torch.cat([c, d], dim=1), torch.cat([c, -d], dim=1)], [torch.cat([-d, c], dim=1), torch.cat([-d, -c], dim=1)]
            self.references.append([torch.cat(part[: self.ways], dim=2) for part in (real, imaginary)])

    def peaks(self, images: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the highest correlations and their angles, ``(n, mirrored or not, K)``, of images of harmonics ``(orders, 2 · rings, n)``."""
        count = images[0].shape[-1]
        shape = (count, self.ways, self.classes)

        def products() -> Iterator[Tensor]:
            for group, references, image in zip(self.groups, self.references, images, strict=True):
                found = torch.empty((2, group.count, count, self.ways * self.classes))
                for part in (0, 1):
                    torch.bmm(image.transpose(1, 2), references[part], out=found[part])
                yield found

        top, angle = self._peaks(products(), math.prod(shape))
        return top.view(shape), angle.view(shape)

    def angles_without(self, images: list[Tensor], own: list[Tensor], label: Tensor) -> Tensor:
        """Return the angles of highest correlation, ``(n, mirrored or not)``, with an average each less what it holds of the image (harmonics `own`)."""
        count = len(label)

        def products() -> Iterator[Tensor]:
            for group, image, part, weighted in zip(self.groups, images, own, self.weighted, strict=True):
                area = self.layout.areas[group.ring - 1 : self.band]
                found = np.empty((2, group.count, self.ways, count), np.float32)
                _without(image.numpy(), part.numpy(), area.numpy(), weighted.numpy(), label.numpy(), found)
                yield torch.from_numpy(found)

        return self._peaks(products(), self.ways * count)[1].view(self.ways, count).t()

    def _peaks(self, products: Iterator[Tensor], count: int) -> tuple[Tensor, Tensor]:
        """Return the highest correlations and their angles, both interpolated, from real and imaginary products ``(2, orders, ...)`` of each group."""
        # Even and odd orders apart: half a turn on, the odd ones change sign.
        planes = [torch.zeros((self.half, count)) for _ in range(2)]
        for group, table, found in zip(self.groups, self.tables, products, strict=True):
            planes[group.parity].addmm_(table, found.view(2 * group.count, count))
        top, angle = (np.empty(count, np.float32) for _ in range(2))
        _peaks(planes[0].numpy(), planes[1].numpy(), top, angle)
        return torch.from_numpy(top), torch.from_numpy(angle)


def parabola(left: Tensor, centre: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return where between the neighbours, -0.5 ... 0.5, the peak of three values lies, and how high it is."""
    bend = (2.0 * centre - left - right).clamp(min=1e-12)
    away = (0.5 * (right - left) / bend).clamp(-0.5, 0.5)
    return away, centre + 0.25 * (right - left) * away


@njit(nogil=True, cache=True)
def _without(image: Any, own: Any, area: Any, weighted: Any, label: Any, out: Any) -> None:
    """Write sums over rings of X conj(A) and, mirrored, conj(X) conj(A), ``(2, orders, ways, n)``; A is the average less `own`."""
    orders, _, count = image.shape
    rings = len(area)
    sums = np.empty((4, count), np.float32)
    for m in range(orders):
        sums[:] = 0.0
        for r in range(rings):
            for n in range(count):
                a, b = image[m, r, n], image[m, rings + r, n]
                c = weighted[m, r, label[n]] - area[r] * own[m, r, n]
                d = weighted[m, rings + r, label[n]] - area[r] * own[m, rings + r, n]
                sums[0, n] += a * c
                sums[1, n] += b * d
                sums[2, n] += b * c
                sums[3, n] += a * d
        for way in range(out.shape[2]):
            sign = np.float32(-1.0 if way else 1.0)
            out[0, m, way] = sums[0] + sign * sums[1]
            out[1, m, way] = sign * sums[2] - sums[3]


@njit(nogil=True, cache=True)
def _peaks(even: Any, odd: Any, top: Any, angle: Any) -> None:
    """Write the highest of ``even ± odd`` ``(half, n)`` over a whole turn, and where it is, interpolated."""
    half, count = even.shape
    where = np.zeros(count, np.int32)
    top[:] = -np.inf
    for j in range(half):
        for n in range(count):
            value = even[j, n] + abs(odd[j, n])
            higher = value > top[n]
            top[n] = value if higher else top[n]
            where[n] = j if higher else where[n]
    step = np.float32(math.pi / half)
    for n in range(count):
        j = where[n]
        sign = np.float32(1.0) if odd[j, n] >= 0 else np.float32(-1.0)
        before, after = (j - 1) % half, (j + 1) % half
        left = even[before, n] + (sign if j > 0 else -sign) * odd[before, n]
        right = even[after, n] + (sign if j + 1 < half else -sign) * odd[after, n]
        bend = max(np.float32(2.0) * top[n] - left - right, np.float32(1e-12))
        away = min(max(np.float32(0.5) * (right - left) / bend, np.float32(-0.5)), np.float32(0.5))
        top[n] += np.float32(0.25) * (right - left) * away
        angle[n] = (j + (0 if sign > 0 else half) + away) * step
