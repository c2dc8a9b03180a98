"""What members leave of their class average: its power, and where it lies along its principal axes."""

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_poses import aligned
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.align.hierarchical_update import Mirrored
from cryoloom.numerics.parallel import blocks

_FITTED = 512  # members from which principal axes are found
_CHUNK = 128
_SPARE, _ROUNDS = 6, 12  # vectors beside those wanted, and multiplications, of the search for the axes
_FLOOR = 0.01  # of a squared transfer function that residuals are divided by


def residuals(task: Task, rows: Tensor, poses: Poses, average: Tensor, band: int, axes: int) -> tuple[Tensor, Tensor]:
    """Return power ``(n,)`` and principal components ``(n, axes)``, the largest last, float64, of what members leave of their average.

    Parameters
    ----------
    average
        Its samples, complex64 ``(H, band)``.

    Notes
    -----
    What is left is ``(C X - C² A) / |C|``: the noise in it is white in every image. How much of the average a member shows is no axis: images of
    other contrast are no other view.
    """
    layout, shift, observed = task.layout, poses.shift(), Mirrored(task, rows, poses.flip)
    weight = torch.sqrt(layout.areas[:band] / layout.half_angles)[:, None]

    def left(own: Tensor) -> tuple[Tensor, Tensor]:
        samples = aligned(layout, observed.signals(own), poses.angle[own], shift[own], band)
        squares = observed.squares(own)[:, :band].t()
        root = torch.sqrt(squares + _FLOOR)
        rest, shown = (samples - squares * average[:, :, None]) * (weight / root), average[:, :, None] * (weight * squares / root)
        flat, shown = (torch.view_as_real(each).permute(2, 0, 1, 3).flatten(1) for each in (rest, shown))
        amount = (flat * shown).sum(dim=1, keepdim=True) / shown.square().sum(dim=1, keepdim=True).clamp(min=1e-12)
        return flat.square().sum(dim=1), flat - amount * shown

    count = len(rows)
    some = torch.unique(torch.linspace(0, count - 1, min(count, _FITTED)).round().to(torch.int64))
    _, fitted = left(some)
    middle = fitted.mean(dim=0)
    fitted = fitted - middle
    directions = _principal((fitted @ fitted.t()).to(torch.float64), axes).to(torch.float32).t() @ fitted  # (axes, features)
    powers, components = [], []
    for cut in blocks(count, _CHUNK):
        power, rest = left(torch.arange(cut.start, cut.stop))
        powers.append(power)
        components.append((rest - middle) @ directions.t())
    return torch.cat(powers).to(torch.float64), torch.cat(components).to(torch.float64)


def _principal(gram: Tensor, axes: int) -> Tensor:
    """Return the eigenvectors ``(n, axes)`` of the largest eigenvalues, the largest last: a few more than wanted, multiplied and made orthogonal."""
    count = min(len(gram), axes + _SPARE)
    basis = torch.from_numpy(np.random.default_rng(0).standard_normal((len(gram), count)))
    for _ in range(_ROUNDS):
        basis, _ = torch.linalg.qr(gram @ basis)
    _, vectors = torch.linalg.eigh(basis.t() @ gram @ basis)
    return basis @ vectors[:, -axes:]
