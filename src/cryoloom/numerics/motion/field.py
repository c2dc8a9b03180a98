"""The local part of motion: a quadratic in the place, free in time; and RELION's polynomial, which it can be written as.

Places are ``x, y`` in [-0.5, 0.5]: pixel over width or height, less one half.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

TERMS = 6  # 1, x, y, x², xy, y²


def quadratics(x: Tensor, y: Tensor) -> Tensor:
    """Return 1, x, y, x², xy, y² at places of any shape: ``(..., 6)``."""
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], dim=-1)


def cosines(x: Tensor, y: Tensor, waves: Tensor) -> Tensor:
    """Return the products of cosines of `waves` (k, 2), half periods over the frame, at places of any shape: ``(..., k)``."""
    turns = math.pi * waves.to(torch.float64)
    return torch.cos((x[..., None] + 0.5) * turns[:, 0]) * torch.cos((y[..., None] + 0.5) * turns[:, 1])


@dataclass(frozen=True)
class Detail:
    """What a field has beyond a quadratic: cosines along both axes, and the quadratics that make them orthogonal to all quadratics.

    Attributes
    ----------
    waves
        Half periods over the frame, (x, y), ``(k, 2)``.
    coefficients
        Of the quadratics and the cosines in each frame, px, ``(n, 6 + k, 2)``.
    """

    waves: Tensor
    coefficients: Tensor

    def at(self, frame: int, x: Tensor, y: Tensor) -> Tensor:
        """Return what is added at places of a frame, ``(..., 2)`` px."""
        return torch.cat([quadratics(x, y), cosines(x, y, self.waves)], dim=-1) @ self.coefficients[frame]


@dataclass(frozen=True)
class Field:
    """Displacement of the content at every place of every frame.

    Attributes
    ----------
    motion
        Mean over the frame, zero for the first, float64 ``(n, 2)``, (x, y) in px.
    local
        Coefficients of `quadratics` of what is added to it, float64 ``(n, 6, 2)``; None where frames move as a whole.
    detail
        What a quadratic cannot tell; only beside `local`, which is the quadratic nearest to the whole.
    """

    motion: Tensor
    local: Tensor | None = None
    detail: Detail | None = None

    def added(self, frame: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the local displacement at places of a frame, ``(..., 2)`` px."""
        if self.local is None:
            return torch.zeros(*x.shape, 2, dtype=torch.float64)
        smooth = quadratics(x, y) @ self.local[frame]
        return smooth if self.detail is None else smooth + self.detail.at(frame, x, y)

    def at(self, frame: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the whole displacement at places of a frame, ``(..., 2)`` px."""
        return self.motion[frame] + self.added(frame, x, y)

    def scaled(self, x: float, y: float) -> "Field":
        """Return the field in pixels that are `x` and `y` times as many."""
        factor = torch.tensor([x, y], dtype=torch.float64)
        return self._each(lambda values: values * factor)

    def of_frames(self, numbers: Sequence[int]) -> "Field":
        """Return the field of some of the frames, relative to where it was."""
        chosen = list(numbers)
        return self._each(lambda values: values[chosen])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Field":
        detail = self.detail and replace(self.detail, coefficients=change(self.detail.coefficients))
        return Field(change(self.motion), None if self.local is None else change(self.local), detail)

    def grid(self, side: int) -> Tensor:
        """Return the whole displacement at the centres of ``side`` × ``side`` equal parts of every frame, ``(n, side, side, 2)`` px."""
        line = (torch.arange(side, dtype=torch.float64) + 0.5) / side - 0.5
        y, x = torch.meshgrid(line, line, indexing="ij")
        return torch.stack([self.at(frame, x, y) for frame in range(len(self.motion))])

    def local_rms(self) -> float:
        """Return the root mean square over places and frames of the local displacement, the mean over frames removed, px."""
        if self.local is None:
            return 0.0
        values = self.grid(21) - self.motion[:, None, None]
        values = values - values.mean(0)
        return float(values.square().sum(-1).mean().sqrt())

    def changes(self) -> dict[str, Tensor]:
        """Return how much displacements change from frame to frame, zero for the first: ``mean`` size and deviation ``std`` over places, ``(n, 2)``."""
        values = self.grid(21)
        change = torch.diff(values, dim=0, prepend=values[:1])
        return {"mean": change.abs().mean((1, 2)), "std": change.std((1, 2), correction=0)}


def between(values: Tensor, times: Tensor, wanted: Tensor) -> Tensor:
    """Return `values` ``(n, ...)``, known at `times` ``(n,)``, at the times `wanted`: cubic in between, straight on beyond the ends."""
    if len(times) < 2 or torch.equal(times, wanted):
        return values if len(times) == len(wanted) else values.expand(len(wanted), *values.shape[1:])
    flat = values.reshape(len(times), -1).numpy()
    inside = wanted.clamp(times[0], times[-1])
    spline = CubicSpline(times.numpy(), flat, bc_type="natural")
    slopes = spline(inside.numpy(), 1) * (wanted - inside).numpy()[:, None]
    return torch.from_numpy(spline(inside.numpy()) + slopes).reshape(len(wanted), *values.shape[1:])


def relion_polynomial(field: Field) -> Tensor:
    """Return RELION's 36 coefficients of the local motion, those of x first: corrections, with the opposite sign of displacements.

    An axis is ``Σ_p z^p · {1, x, x², y, y², xy}``, p = 1, 2, 3 fastest, z the number of the frame counted from the first. The fit is by least
    squares over a grid of places and all frames; RELION adds the result to the shift of the whole frame.
    """
    frames = len(field.motion)
    if field.local is None or frames < 2:
        return torch.zeros(36, dtype=torch.float64)
    time = torch.arange(frames, dtype=torch.float64)
    powers = torch.stack([time, time**2, time**3], dim=1)
    size = powers.norm(dim=0).clamp_min(1e-30)
    fitted = torch.linalg.lstsq(powers / size, -field.local.reshape(frames, -1), driver="gelsd").solution / size[:, None]
    order = [0, 1, 3, 2, 5, 4]  # 1, x, x², y, y², xy out of 1, x, y, x², xy, y²
    return fitted.reshape(3, TERMS, 2)[:, order].permute(2, 1, 0).reshape(36)


def from_relion_polynomial(coefficients: Tensor, shifts: Tensor) -> Field:
    """Return the field that RELION's 36 `coefficients` and global `shifts` (n, 2) describe; the inverse of `relion_polynomial`."""
    frames = len(shifts)
    time = torch.arange(frames, dtype=torch.float64)
    powers = torch.stack([time, time**2, time**3], dim=1)
    table = coefficients.to(torch.float64).reshape(2, TERMS, 3)
    order = [0, 1, 3, 2, 5, 4]
    local = -torch.einsum("np,atp->nta", powers, table)[:, order]
    return Field(-shifts.to(torch.float64), local)
