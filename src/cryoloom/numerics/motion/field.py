"""The local part of motion: a quadratic in the place, free in time; and RELION's polynomial, which it can be written as.

Places are ``x, y`` in [-0.5, 0.5]: pixel over width or height, less one half.
"""

from dataclasses import dataclass

import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

TERMS = 6  # 1, x, y, x², xy, y²


def quadratics(x: Tensor, y: Tensor) -> Tensor:
    """Return 1, x, y, x², xy, y² at places of any shape: ``(..., 6)``."""
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], dim=-1)


@dataclass(frozen=True)
class Field:
    """Displacement of the content at every place of every frame.

    Attributes
    ----------
    motion
        Mean over the frame, zero for the first, float64 ``(n, 2)``, (x, y) in px.
    local
        Coefficients of `quadratics` of what is added to it, float64 ``(n, 6, 2)``; None where frames move as a whole.
    """

    motion: Tensor
    local: Tensor | None = None

    def added(self, frame: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the local displacement at places of a frame, ``(..., 2)`` px."""
        if self.local is None:
            return torch.zeros(*x.shape, 2, dtype=torch.float64)
        return quadratics(x, y) @ self.local[frame]

    def at(self, frame: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the whole displacement at places of a frame, ``(..., 2)`` px."""
        return self.motion[frame] + self.added(frame, x, y)

    def scaled(self, x: float, y: float) -> "Field":
        """Return the field in pixels that are `x` and `y` times as many."""
        factor = torch.tensor([x, y], dtype=torch.float64)
        return Field(self.motion * factor, None if self.local is None else self.local * factor)

    def local_rms(self) -> float:
        """Return the root mean square over places and frames of the local displacement, the mean over frames removed, px."""
        if self.local is None:
            return 0.0
        side = torch.linspace(-0.5, 0.5, 21, dtype=torch.float64)
        values = quadratics(side[None, :].expand(21, 21), side[:, None].expand(21, 21)) @ self.local[:, None]
        values = values - values.mean(0)
        return float(values.square().sum(-1).mean().sqrt())


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
