"""Maximisation: sums of aligned images by class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_estep import Posterior
from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_observations import Signals
from cryoloom.numerics.align.class2d_poses import aligned
from cryoloom.numerics.parallel import blocks, ordered

_POSES = 128  # summed at once


@dataclass
class Sums:
    """Sufficient statistics, by class k and part q (optics group and half set).

    Attributes
    ----------
    images
        Σ γ (C X), turned and shifted back: polar samples, complex64 ``(H, R, K, Q)``.
    transfer
        Σ γ C², ring means, ``(K, Q, R)``.
    counts
        Σ γ, ``(K, Q)``.
    """

    images: Tensor
    transfer: Tensor
    counts: Tensor

    @staticmethod
    def zeros(half_angles: int, rings: int, classes: int, parts: int, device: torch.device | str = "cpu") -> "Sums":
        """Return empty sums."""
        return Sums(
            torch.zeros((half_angles, rings, classes, parts), dtype=torch.complex64, device=device),
            torch.zeros((classes, parts, rings), device=device),
            torch.zeros((classes, parts), device=device),
        )


def accumulate(
    layout: PolarLayout, observations: Signals, posterior: Posterior, part: Tensor, sums: Sums, threads: int, *, band: int
) -> None:
    """Add the images of a posterior, up to ring `band`, to `sums`; `part` is the q of every image of the observations."""
    parts = torch.arange(sums.counts.shape[1], device=part.device)
    order = torch.argsort(posterior.label, stable=True)

    def work(cut: slice) -> tuple[int, Tensor, Tensor, Tensor]:
        own = order[cut]
        image = posterior.image[own]
        samples = aligned(layout, observations.signals(image), posterior.angle[own], posterior.shift[own], band)
        share = posterior.weight[own, None] * (part[image, None] == parts)  # (poses, Q)
        images = torch.complex(samples.real @ share, samples.imag @ share)
        return int(posterior.label[own[0]]), images, share.t() @ observations.squares(image), share.sum(dim=0)

    for label, images, transfer, total in ordered(work, runs_of(posterior.label[order], _POSES), threads):
        sums.images[:, :band, label] += images
        sums.transfer[label] += transfer
        sums.counts[label] += total


def runs_of(sorted_keys: Tensor, most: int) -> list[slice]:
    """Cut rows sorted by key into slices of one key and at most `most` rows."""
    cuts, start = [], 0
    for count in torch.unique_consecutive(sorted_keys, return_counts=True)[1].tolist():
        cuts += [slice(start + cut.start, start + cut.stop) for cut in blocks(count, most)]
        start += count
    return cuts
