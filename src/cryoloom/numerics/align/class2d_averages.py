"""Class averages from sums of aligned images: weighted by their own half-set correlation, masked and centred."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from cryoloom.numerics.align.class2d_mstep import Sums
from cryoloom.numerics.align.class2d_observations import circle
from cryoloom.numerics.align.class2d_poses import shift_ramp
from cryoloom.numerics.align.class2d_sampling import PolarSampler

_FEW = 20  # images of the smaller half, below which a class borrows the correlation of all


@dataclass(frozen=True)
class Frame:
    """The image that references live in.

    Attributes
    ----------
    sampler
        Its polar sampling.
    radius, edge
        Of the mask: 1 up to `radius` px from the centre, falling to 0 over `edge` px.
    """

    sampler: PolarSampler
    radius: float
    edge: float

    @cached_property
    def mask(self) -> Tensor:
        """Return the mask, ``(box, box)``."""
        return circle(self.sampler.layout.box, self.radius, self.edge)

    @cached_property
    def _rim(self) -> Tensor:
        """Return weights that average over the mask's falling edge."""
        rim = self.mask * (1.0 - self.mask)
        return rim / rim.sum()

    def masked(self, images: Tensor) -> Tensor:
        """Set the background, as seen on the mask's edge, to zero in `images` ``(n, box, box)``, and mask."""
        level = (images * self._rim.to(images.device)).sum(dim=(1, 2), keepdim=True)
        return (images - level) * self.mask.to(images.device)


@dataclass(frozen=True)
class Averages:
    """What the sums of a classification give.

    Attributes
    ----------
    raw
        Averages before the mask, polar samples, complex64 ``(H, R, K)``.
    halves
        Masked averages of the two half sets, ``(K, 2, box, box)``.
    spectra
        Their polar samples, complex64 ``(H, R, K, 2)``.
    frc
        Correlation of the halves by class and ring, ``(K, R)``; -1 ... 1.
    weight, damping
        Σ γ C²/σ² that the sums were divided by, and the factor on what came out, by ring and class, ``(R, K)``.
    """

    raw: Tensor
    halves: Tensor
    spectra: Tensor
    frc: Tensor
    weight: Tensor
    damping: Tensor


def average(sums: Sums, noise: Tensor, frame: Frame, *, frc_regularised: bool, tau_fudge: float) -> Averages:
    """Divide sums by their weights and damp what the data do not support.

    Parameters
    ----------
    sums
        Parts are ``2 · optics group + half``.
    noise
        σ² by optics group and ring, ``(G, R)``.
    frc_regularised
        Signal-to-noise ratio from the correlation of halves, ``2 FRC / (1 - FRC)``; otherwise from the average's own power (RELION's
        ``τ²``; Scheres 2012).
    tau_fudge
        Factor on that ratio.
    """
    precision = (1.0 / noise).t()  # (R, G)
    images = (sums.images.unflatten(3, (-1, 2)) * precision[:, None, :, None]).sum(dim=3)  # (H, R, K, half)
    weight = torch.einsum("kghr,rg->rkh", sums.transfer.unflatten(1, (-1, 2)), precision)  # (R, K, half)
    floor = 1e-3 * weight.sum(dim=2).mean() + 1e-12
    sampler = frame.sampler
    halves = frame.masked(sampler.images((images / (weight + 0.5 * floor)).flatten(2)))
    spectra = sampler.samples(halves).unflatten(2, (-1, 2))
    frc = ring_correlation(spectra[..., 0], spectra[..., 1])
    counts = sums.counts.unflatten(1, (-1, 2)).sum(dim=1)  # (K, half)
    few = counts.amin(dim=1) < _FEW
    common = (frc * counts.sum(dim=1, keepdim=True)).sum(dim=0) / counts.sum().clamp(min=1e-12)
    frc = torch.where(few[:, None], common, frc)
    whole, total = images.sum(dim=3), weight.sum(dim=2) + floor
    if frc_regularised:
        smooth = functional.avg_pool1d(functional.pad(frc[:, None], (1, 1), mode="replicate"), 3, 1)[:, 0].clamp(0.0, 0.999)
        ratio = tau_fudge * 2.0 * smooth / (1.0 - smooth)
        damping = (ratio / (1.0 + ratio)).t()
    else:
        power = 0.5 * (whole / total).abs().square().mean(dim=0)  # (R, K), per component
        damping = total / (total + 1.0 / (tau_fudge * power).clamp(min=1e-20))
    return Averages(whole / total * damping, halves.unflatten(0, (-1, 2)), spectra, frc, total, damping)


def ring_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation of samples ``(H, R, K)`` on each ring, ``(K, R)``."""
    product = (first * second.conj()).real.sum(dim=0)
    norm = first.abs().square().sum(dim=0) * second.abs().square().sum(dim=0)
    return (product / torch.sqrt(norm).clamp(min=1e-20)).t()


def crossing(frc: Tensor, threshold: float) -> Tensor:
    """Return for every curve ``(K, R)`` the last ring number before it stays below `threshold` for two rings, int64 ``(K,)``; 0: none."""
    below = frc < threshold
    twice = below & torch.cat([below[:, 1:], torch.ones_like(below[:, :1])], dim=1)
    return torch.where(twice.any(dim=1), twice.to(torch.int64).argmax(dim=1), frc.shape[1])


def mass_centres(images: Tensor, threshold: float, *, binary: bool) -> Tensor:
    """Return the centres of mass, (x, y) in px from the box centre, of what exceeds `threshold` × maximum, ``(n, 2)``."""
    x = torch.arange(images.shape[-1], device=images.device, dtype=images.dtype) - images.shape[-1] // 2
    top = images.amax(dim=(1, 2), keepdim=True)
    above = (images > threshold * top) & (top > 0)
    mass = above.to(images.dtype) if binary else images * above
    total = mass.sum(dim=(1, 2)).clamp(min=1e-12)
    return torch.stack([(mass * x).sum(dim=(1, 2)) / total, (mass * x[:, None]).sum(dim=(1, 2)) / total], dim=1)


def moved(samples: Tensor, shifts: Tensor, frame: Frame) -> Tensor:
    """Move what samples ``(H, R, K, ...)`` show by `shifts` ``(K, 2)`` px."""
    ramp = shift_ramp(frame.sampler.layout, shifts, frame.sampler.layout.rings)
    return samples * ramp.reshape(*ramp.shape, *([1] * (samples.dim() - 3)))
