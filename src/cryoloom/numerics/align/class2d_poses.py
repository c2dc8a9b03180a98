"""The grid of in-plane poses that a search visits, and images or references brought to a pose.

A pose is an angle ψ and a shift u *in the frame of the reference*: the reference is shifted by u and then turned by ψ (from +x
towards +y) to make the image. As many shifts of K references serve for all images.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import PolarLayout


@dataclass(frozen=True)
class PoseGrid:
    """Coarse cells and their children.

    Attributes
    ----------
    nodes
        Coarse shifts ``(S, 2)``, (x, y) in px.
    step
        Distance of neighbouring nodes, px.
    turns
        Number of coarse angles, even; angle j is ``2π j / turns``.
    stride
        How many of the layout's angles a coarse angle spans.
    """

    nodes: Tensor
    step: float
    turns: int
    stride: int

    @staticmethod
    def of(layout: PolarLayout, radius: float, band: int, reach: float) -> "PoseGrid":
        """Lay the grid that a particle of `radius` px resolves with `band` rings, over shifts up to `reach` px."""
        step = layout.box / (2.0 * band)
        count = math.floor(reach / step)
        line = torch.arange(-count, count + 1, dtype=torch.float32) * step
        y, x = torch.meshgrid(line, line, indexing="ij")
        nodes = torch.stack([x, y], dim=-1).reshape(-1, 2)
        nodes = nodes[nodes.square().sum(1) <= reach**2 + 1e-3]
        wanted = max(12, 3.2 * math.pi * band * radius / layout.box)
        full = 2 * layout.half_angles
        stride = max(stride for stride in range(1, full) if full % (2 * stride) == 0 and (stride == 1 or full // stride >= wanted))
        return PoseGrid(nodes, step, full // stride, stride)

    @property
    def turn(self) -> float:
        """Return the coarse angular step in radians."""
        return 2 * math.pi / self.turns

    def children(self, level: int) -> "Children":
        """Return the 3 angles × 9 shifts that split a cell `level` times refined (1: a coarse cell)."""
        thirds = torch.tensor([-1.0, 0.0, 1.0]) / 3.0**level
        shifts = torch.cartesian_prod(thirds, thirds) * self.step
        return Children((thirds * self.turn).repeat_interleave(9), shifts.repeat(3, 1))


@dataclass(frozen=True)
class Children:
    """Poses near a cell's centre: `angles` ``(C,)`` in radians and `shifts` ``(C, 2)`` in px, applied before the cell's own."""

    angles: Tensor
    shifts: Tensor

    @staticmethod
    def none() -> "Children":
        """Return the cell's centre alone."""
        return Children(torch.zeros(1), torch.zeros((1, 2)))

    def __len__(self) -> int:
        return len(self.angles)

    def compose(self, angle: Tensor, shift: Tensor, child: Tensor) -> tuple[Tensor, Tensor]:
        """Return angle and shift of the poses of children number `child` of cells at `angle` ``(n,)`` and `shift` ``(n, 2)``."""
        own = self.angles.to(angle)[child]
        # Reference, shifted by the child, turned by the child, shifted and turned by the cell: one shift comes before both turns.
        x = torch.cos(own) * shift[:, 0] + torch.sin(own) * shift[:, 1]
        y = -torch.sin(own) * shift[:, 0] + torch.cos(own) * shift[:, 1]
        return angle + own, torch.stack([x, y], dim=1) + self.shifts.to(shift)[child]


def shift_ramp(layout: PolarLayout, shifts: Tensor, band: int) -> Tensor:
    """Return the factors, complex64 ``(H, band, n)``, that move content by `shifts` ``(n, 2)``, (x, y) in px."""
    kx, ky = (axis[:, 0].to(device=shifts.device, dtype=torch.float32) for axis in layout.points)
    angle = (-2 * math.pi) * (kx[:, None] * shifts[:, 0] + ky[:, None] * shifts[:, 1])
    ramp = torch.complex(torch.cos(angle), torch.sin(angle))[:, None]
    # Ring ρ has the ρ-th power of the first ring's factor.
    while ramp.shape[1] < band:
        ramp = torch.cat([ramp, ramp[:, : band - ramp.shape[1]] * ramp[:, -1:]], dim=1)
    return ramp


def turned(layout: PolarLayout, arrays: list[Tensor], angles: Tensor, band: int) -> list[Tensor]:
    """Turn the images of harmonics ``(orders, 2 · rings, n)`` by `angles` ``(n,)``, radians from +x towards +y."""
    out = []
    for group, array in zip(layout.groups_within(band), arrays, strict=True):
        orders = torch.tensor(list(group.orders), dtype=torch.float32, device=angles.device)
        phase = orders[:, None] * angles.to(torch.float32)
        cosine, sine = torch.cos(phase)[:, None], torch.sin(phase)[:, None]
        real, imaginary = array.chunk(2, dim=1)
        out.append(torch.cat([real * cosine + imaginary * sine, imaginary * cosine - real * sine], dim=1))
    return out


def aligned(layout: PolarLayout, harmonics: Tensor, angles: Tensor, shifts: Tensor, band: int) -> Tensor:
    """Bring images back to the frame of their reference.

    Parameters
    ----------
    harmonics
        Packed ``(n, size)``.
    angles, shifts
        The poses, ``(n,)`` in radians and ``(n, 2)`` in px.
    band
        Outermost ring wanted.

    Returns
    -------
    Samples, complex64 ``(H, band, n)``.
    """
    arrays = [group.view(harmonics, band).flatten(2).permute(1, 2, 0) for group in layout.groups_within(band)]
    samples = layout.synthesise(turned(layout, arrays, -angles, band), band)
    return samples * shift_ramp(layout, -shifts, band)


def posed(layout: PolarLayout, samples: Tensor, children: Children, band: int) -> Tensor:
    """Return references ``(H, R, K)`` in the children's poses, ``(H, band, K · C)``."""
    ramp = shift_ramp(layout, children.shifts.to(samples.device), band)
    shifted = samples[:, :band, :, None] * ramp[:, :, None, :]
    if not children.angles.any():
        return shifted.flatten(2)
    arrays = layout.analyse(shifted.flatten(2), band)
    angles = children.angles.to(samples.device).repeat(samples.shape[2])
    return layout.synthesise(turned(layout, arrays, angles, band), band)
