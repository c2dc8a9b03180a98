"""Images to polar samples and back: Kaiser-Bessel gridding on a twice padded transform."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from cryoloom.numerics.align.class2d_layout import PolarLayout

_WIDTH = 5
_REACH = (_WIDTH + 1) // 2
_BETA = math.pi * math.sqrt((_WIDTH / 2) ** 2 * 1.5**2 - 0.8)  # Beatty et al. 2005, oversampling 2


@dataclass(frozen=True)
class PolarSampler:
    """Samples images of ``layout.box`` px on the layout's rings (relative error about 1e-4), and sums samples back into images.

    The interpolation follows Beatty, Nishimura & Pauly, IEEE Trans. Med. Imaging 24:799 (2005), doi:10.1109/TMI.2005.848376.
    Transforms have their phase origin at the image centre ``box // 2`` and no normalisation (a coefficient of white noise of
    variance v has ``E|N|² = v box²``).
    """

    layout: PolarLayout

    @property
    def _padded(self) -> int:
        return 2 * self.layout.box

    @property
    def _columns(self) -> int:
        """Columns of the padded transform that samples touch: ``kx`` from ``-_REACH`` to ``2 R + _REACH - 1``."""
        return 2 * self.layout.rings + 2 * _REACH

    @cached_property
    def _taps(self) -> tuple[Tensor, Tensor]:
        """Return the cells ``(H · R, taps)`` of the padded transform around every sample, and their weights."""
        kx, ky = (axis.reshape(-1) * self._padded for axis in self.layout.points)
        steps = torch.arange(_WIDTH, dtype=torch.float64)
        x = torch.ceil(kx - _WIDTH / 2)[:, None] + steps
        y = torch.ceil(ky - _WIDTH / 2)[:, None] + steps
        weights = _kernel(y - ky[:, None])[:, :, None] * _kernel(x - kx[:, None])[:, None, :]
        cells = (y.long() % self._padded)[:, :, None] * self._columns + (x.long() + _REACH)[:, None, :]
        return cells.flatten(1), weights.flatten(1).to(torch.float32)

    @cached_property
    def _roll_off(self) -> Tensor:
        """What the kernel does to the image, to be divided out: ``(box, box)``."""
        x = (torch.arange(self.layout.box, dtype=torch.float64) - self.layout.box // 2) / self._padded
        root = torch.sqrt(_BETA**2 - (math.pi * _WIDTH * x) ** 2)
        profile = _WIDTH * torch.sinh(root) / root
        return (profile[:, None] * profile[None, :]).to(torch.float32)

    def samples(self, images: Tensor) -> Tensor:
        """Return the samples ``(H, R, n)``, complex64, of images ``(n, box, box)``."""
        box, padded = self.layout.box, self._padded
        wide = images.new_zeros((len(images), padded, padded))
        wide[:, :box, :box] = images / self._roll_off.to(images.device)
        # The centre goes to pixel 0, so that the transform's phase origin lies there.
        half = torch.fft.rfft2(torch.roll(wide, (-(box // 2), -(box // 2)), dims=(-2, -1)))
        mirrored = torch.roll(torch.flip(half[:, :, 1 : _REACH + 1], dims=(1, 2)), 1, dims=1).conj()
        grid = torch.cat([mirrored, half[:, :, : self._columns - _REACH]], dim=2).reshape(len(images), -1)
        table = torch.view_as_real(grid).permute(1, 0, 2).reshape(grid.shape[1], -1)
        cells, weights = (part.to(images.device) for part in self._taps)
        gathered = functional.embedding_bag(cells, table, per_sample_weights=weights, mode="sum")
        return torch.view_as_complex(gathered.unflatten(1, (-1, 2))).unflatten(0, (self.layout.half_angles, self.layout.rings))

    def images(self, samples: Tensor) -> Tensor:
        """Return the images ``(n, box, box)`` whose transform has `samples` ``(H, R, n)``, and nothing at zero or beyond ring R."""
        box, padded, count = self.layout.box, self._padded, samples.shape[-1]
        area = (2.0 / self.layout.half_angles) * self.layout.areas.to(samples.device)[:, None]  # of a sample and its conjugate
        flat = torch.view_as_real(samples * area).reshape(-1, 2 * count)
        spread = flat.new_zeros((padded * self._columns, 2 * count))
        cells, weights = (part.to(samples.device) for part in self._taps)
        for tap in range(cells.shape[1]):
            spread.index_add_(0, cells[:, tap], flat * weights[:, tap, None])
        columns = torch.view_as_complex(spread.unflatten(1, (count, 2)).permute(1, 0, 2).contiguous()).unflatten(1, (padded, -1))
        grid = columns.new_zeros((count, padded, padded))
        grid[:, :, : self._columns - _REACH] = columns[:, :, _REACH:]
        grid[:, :, -_REACH:] = columns[:, :, :_REACH]
        real = torch.fft.ifft2(grid).real * (padded**2 / box**2)
        return torch.roll(real, (box // 2, box // 2), dims=(-2, -1))[:, :box, :box] / self._roll_off.to(samples.device)


def _kernel(distance: Tensor) -> Tensor:
    inside = (1 - (2 * distance / _WIDTH) ** 2).clamp(min=0)
    return torch.special.i0(_BETA * torch.sqrt(inside)) * (distance.abs() <= _WIDTH / 2)
