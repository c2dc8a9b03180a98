"""Particle images as the classification sees them: cut, normalised, multiplied by their CTF, in polar harmonics."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_sampling import PolarSampler
from cryoloom.numerics.align.optics import Optics
from cryoloom.numerics.fourier.transforms import centred_irfft2, centred_rfft2, crop_rfft2


class Signals(Protocol):
    """What averages are made of: of some images, harmonics of ``C X`` ``(b, size)`` and ring means of ``C²`` ``(b, R)``."""

    def signals(self, rows: Tensor) -> Tensor:
        """Return the harmonics."""
        ...

    def squares(self, rows: Tensor) -> Tensor:
        """Return the ring means."""
        ...


@dataclass(frozen=True)
class Observations:
    """What all later steps need of n images X with transfer functions C; rings as in `layout`.

    Attributes
    ----------
    harmonics
        Packed polar harmonics of ``C X``, float32 ``(n, size)``.
    power
        Ring means of ``|X|²``, float32 ``(n, R)``.
    transfer
        Ring means of ``C²``, float32 ``(n, R)``: astigmatism stays in `harmonics`, but is averaged here, so that turning a reference
        changes none of the sums over ``C² |A|²``.
    usable
        False for images without variance or with values that are not finite; their rows are zero.
    scale
        Grey scale of every image, which multiplies its transfer function, ``(n,)``; None: one.
    """

    harmonics: Tensor
    power: Tensor
    transfer: Tensor
    usable: Tensor
    scale: Tensor | None = None

    def signals(self, rows: Tensor) -> Tensor:
        """Return the harmonics of some images by the transfer function of their grey scale, ``(b, size)``."""
        found = self.harmonics[rows]
        return found if self.scale is None else found * self.scale[rows, None]

    def squares(self, rows: Tensor) -> Tensor:
        """Return the ring means of the squared transfer function of some images at their grey scale, ``(b, R)``."""
        found = self.transfer[rows]
        return found if self.scale is None else found * self.scale[rows, None].square()


def normalised(images: Tensor, mask_radius: float) -> tuple[Tensor, Tensor]:
    """Return images ``(n, N, N)`` with mean 0 and standard deviation 1 outside `mask_radius` px, and which of them are usable.

    Where the circle fills the box, the corners outside the inscribed circle serve as background.
    """
    size = images.shape[-1]
    x = torch.arange(size, device=images.device) - size // 2
    outside = (x[:, None] ** 2 + x[None, :] ** 2) > min(mask_radius, 0.5 * size) ** 2
    finite = torch.isfinite(images).all(dim=(1, 2)) if images.dim() == 3 else torch.isfinite(images).all()
    images = torch.where(finite[:, None, None], images, 0.0)
    background = images[:, outside].to(torch.float64)
    mean, deviation = background.mean(dim=1), background.std(dim=1)
    usable = finite & (deviation > 1e-12)
    scale = torch.where(usable, 1.0 / deviation.clamp(min=1e-12), 0.0)
    return (images - mean[:, None, None].to(images.dtype)) * scale[:, None, None].to(images.dtype), usable


def circle(box: int, radius: float, edge: float, *, device: torch.device | None = None) -> Tensor:
    """Return a disc ``(box, box)`` of 1 up to `radius` px from the centre, falling to 0 over `edge` px as a raised cosine."""
    x = torch.arange(box, device=device, dtype=torch.float32) - box // 2
    distance = torch.sqrt(x[:, None] ** 2 + x[None, :] ** 2)
    return 0.5 + 0.5 * torch.cos(torch.pi * ((distance - radius) / edge).clamp(0.0, 1.0))


def observe(
    images: Tensor,
    sampler: PolarSampler,
    *,
    pixel_size: float,
    mask_radius: float,
    defocus: Tensor | None,
    optics: Optics,
) -> Observations:
    """Prepare images of one optics group.

    Parameters
    ----------
    images
        ``(n, N, N)``, bright particles; N may be odd.
    sampler
        For images of ``sampler.layout.box <= N`` px over the same extent.
    pixel_size
        Å/px of `images`.
    mask_radius
        Of the particle, in px of `images`; what lies outside sets the grey scale.
    defocus
        ``(n, 4)``: defocus_u, defocus_v (Å), defocus_angle, phase_shift (degrees); None: no CTF was applied (C = 1).
    optics
        Of all the images.
    """
    size, box = images.shape[-1], sampler.layout.box
    clean, usable = normalised(images, mask_radius)
    if size != box:
        spectra = crop_rfft2(centred_rfft2(clean), (size, size), (box, box))
        clean = centred_irfft2(spectra, (box, box))
    # Only what lies in the inscribed circle turns into itself; a narrow edge keeps the noise of rings nearly independent.
    clean = clean * circle(box, 0.5 * box - 3.0, 3.0, device=images.device)
    samples = sampler.samples(clean)
    transfer = _transfer(sampler.layout, box / (size * pixel_size), defocus, optics, images)
    observed = samples if optics.premultiplied else samples * transfer
    power = samples.abs().square().mean(dim=0).t()
    squared = transfer.square().mean(dim=0).t().expand(len(images), -1)
    if optics.premultiplied:
        # Rings near a CTF zero say nothing of the noise there; the neighbours of other images do.
        power = power / squared.clamp(min=0.05)
    layout = sampler.layout
    return Observations(layout.pack(layout.analyse(observed, layout.rings)), power.contiguous(), squared.contiguous(), usable)


def _transfer(layout: PolarLayout, frequency: float, defocus: Tensor | None, optics: Optics, like: Tensor) -> Tensor:
    """Return C at the samples, ``(H, R, n)`` (n = 1 without CTF); `frequency` is 1/Å of one cycle per working pixel."""
    if defocus is None:
        return like.new_ones((layout.half_angles, layout.rings, 1))
    kx, ky = (axis[..., None].to(like.device) * frequency for axis in layout.points)
    return optics.transfer(kx, ky, *defocus.to(device=like.device, dtype=torch.float64).unbind(1))
