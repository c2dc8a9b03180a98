"""Matched filter: how well the best of many templates explains a micrograph at each place, in σ of the noise.

With noise of power P(k) and a transfer function C(k) the likeliest template t is the one of the largest ``Σ I C t* / P``, in units of what noise
alone spreads it by, ``√(Σ C² |t|² / P)`` (Roseman 2004, doi:10.1016/j.jsb.2003.11.007; Sigworth 2004, doi:10.1016/j.jsb.2003.10.025). Of many
templates noise, too, finds a good one: what its best peaks reach is measured on the same bank with the wrong sign, which no particle has.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cryoloom.numerics.fourier.grids import frequencies_2d
from cryoloom.numerics.picking.bank import Bank, band, emphasis
from cryoloom.numerics.picking.peaks import find_peaks, overshadowed, vertex
from cryoloom.numerics.picking.scene import Scene, fast_even
from cryoloom.numerics.picking.whitening import noise_spectrum

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Transfer = Callable[[Tensor, Tensor], Tensor]
"""Gives the transfer function at ``frequency_x, frequency_y`` in 1/Å."""

FEATURES = ("log_strength", "log_contrast")
"""Natural logarithm of the strength, and that of the local energy of the whitened micrograph, 0 where there is noise alone."""

CROWD = 0.5
"""Matches of one list lie at least this many diameters apart."""

FLAT = 0.5
"""Standard deviation, in diameters, of the Gaussian that takes off illumination and ice thickness."""

AROUND = 0.3
"""That of the one over which the energy is averaged."""

FAINTEST_POWER = 1e-3
"""Least power of the noise, over its mean: micrographs that were filtered have frequencies without any."""

SHADOW, ECLIPSE = 0.9, 1.7
"""A maximum is what a shifted template makes of something beside it if that, within so many diameters, is so many times stronger."""

PIXELS = 8192
"""Places scored at once."""


@dataclass(frozen=True)
class Matches:
    """Candidates of one micrograph, strongest first.

    Attributes
    ----------
    x, y
        ``(n,)`` centre in px of the micrograph.
    strength
        ``(n,)`` score of the best template in σ of the noise, of which alone some 3 to 5 is typical.
    features
        ``(n, 2)``, see `FEATURES`.
    view, psi
        ``(n,)`` which template, from 0, turned by how many degrees.
    decoys
        ``(m, 2)`` features of the maxima of the other sign, which no particle makes.
    """

    x: Array
    y: Array
    strength: Array
    features: Array
    view: Index
    psi: Array
    decoys: Array


def find_matches(scene: Scene, bank: Bank, transfer: Transfer | None, *, border: float = 0.3, whiten: bool = True) -> Matches:
    """List where templates match `scene`; centres nearer than `border` diameters to an edge are left out.

    Where the other sign matches better it is the halo of a contaminant and left out, too.

    Parameters
    ----------
    transfer
        None: templates are compared as they are.
    whiten
        Off, all frequencies weigh the same, as if the noise were white.
    """
    field = _Filtered(scene, bank, transfer, whiten)
    if not field.seen:
        none, nothing = np.zeros(0), np.zeros((0, len(FEATURES)))
        return Matches(none, none, none, nothing, none.astype(np.int64), none, nothing)
    best, worst = field.coarse()
    apart, margin = CROWD * scene.diameter, border * scene.diameter
    rows, columns = find_peaks(best, 0.0, apart, border=margin)
    own = best[rows, columns] > worst[rows, columns]
    other_rows, other_columns = find_peaks(worst, 0.0, apart, border=margin)
    others = worst[other_rows, other_columns] > best[other_rows, other_columns]
    ours = field.refined(rows[own], columns[own], 1.0)
    theirs = field.refined(other_rows[others], other_columns[others], -1.0)
    x, y, score = (np.concatenate(both) for both in ((ours.x, theirs.x), (ours.y, theirs.y), (ours.score, theirs.score)))
    lit = ~overshadowed(x, y, score, SHADOW * scene.diameter, ECLIPSE)
    order = np.argsort(-ours.score, kind="stable")
    order = order[lit[order]]
    angles = len(bank.angles)
    return Matches(
        x=ours.x[order] * scene.scale[1],
        y=ours.y[order] * scene.scale[0],
        strength=ours.score[order],
        features=ours.features()[order],
        view=ours.template[order] // angles,
        psi=bank.angles[ours.template[order] % angles],
        decoys=theirs.features()[lit[len(ours.x) :]],
    )


@dataclass(frozen=True)
class _Peaks:
    """Refined maxima: places in working px, scores in σ, templates and local energy."""

    x: Array
    y: Array
    score: Array
    template: Index
    energy: Array

    def features(self) -> Array:
        """Return `FEATURES`."""
        return np.stack([np.log(np.maximum(self.score, 1e-3)), np.log(self.energy)], axis=1)


class _Filtered:
    """A micrograph correlated with the components of a bank."""

    def __init__(self, scene: Scene, bank: Bank, transfer: Transfer | None, whiten: bool) -> None:
        self.bank = bank
        height, width = (int(size) for size in scene.pixels.shape)
        pad = min(bank.box, height // 2, width // 2)
        shape = (fast_even(height + 2 * pad), fast_even(width + 2 * pad))
        edges = (pad, shape[1] - width - pad, pad, shape[0] - height - pad)
        pixels = torch.nn.functional.pad(scene.pixels[None, None], edges, mode="reflect")[0, 0]
        frequencies, power = noise_spectrum(scene.pixels, scene.diameter)
        self.seen = bool(power[frequencies <= 0.5].mean() > 0.0)
        if not self.seen:
            return
        power = np.maximum(power, FAINTEST_POWER * power[frequencies <= 0.5].mean())
        ky, kx = frequencies_2d(*shape)
        radius = torch.sqrt(ky * ky + kx * kx)
        noise = torch.from_numpy(np.interp(radius.numpy(), frequencies, power).astype(np.float32))
        fine = transfer(kx / scene.pixel_size, ky / scene.pixel_size) if transfer else torch.ones_like(radius)
        passed = band(radius) * (1.0 - torch.exp(-2.0 * (torch.pi * FLAT * scene.diameter * radius) ** 2))
        gain = passed / noise if whiten else passed / noise.mean()
        transform = torch.fft.rfft2(pixels)
        self.frame = (slice(pad, pad + height), slice(pad, pad + width))
        self.maps = self._correlated(transform * (fine * gain / emphasis(radius)), shape, pad)
        # What noise alone spreads the score of each view by.
        spread = (fine * gain / emphasis(radius)).square() * noise
        rings = torch.round(radius * bank.box).long().clamp(max=bank.spectra.shape[1] - 1).flatten()
        count = bank.spectra.shape[1]
        mean = torch.zeros(count).index_add_(0, rings, spread.flatten()) / torch.bincount(rings, minlength=count).clamp(min=1)
        norm = torch.sqrt(bank.spectra @ mean).clamp(min=1e-12)
        self.weights = bank.weights / norm.repeat_interleave(len(bank.angles))[:, None]
        flipped = torch.fft.irfft2(transform * (torch.sign(fine) * passed / noise.sqrt()), s=shape)
        energy = gaussian_filter(flipped.square().numpy(), AROUND * scene.diameter)[self.frame]
        self.energy = np.maximum(energy / float(_full_mean(passed.square())), 1e-3)

    def _correlated(self, transform: Tensor, shape: tuple[int, int], pad: int) -> Tensor:
        """Return the correlation with every component, centres within the micrograph: ``(k, h, w)``."""
        start, (rows, columns) = pad - self.bank.box // 2, self.frame
        height, width = rows.stop - rows.start, columns.stop - columns.start
        out = torch.empty((len(self.bank.components), height, width))
        for number, component in enumerate(self.bank.components):
            whole = torch.fft.irfft2(transform * torch.fft.rfft2(component, s=shape).conj(), s=shape)
            out[number] = whole[start : start + height, start : start + width]
        return out

    def coarse(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the best score at each place of templates at every other angle, and of the same with the other sign, ``(h, w)``."""
        weights, flat = self.bank.half(self.weights), self.maps.reshape(len(self.maps), -1)
        best, worst = torch.empty(flat.shape[1]), torch.empty(flat.shape[1])
        for start in range(0, flat.shape[1], PIXELS):
            scores = weights @ flat[:, start : start + PIXELS]
            best[start : start + PIXELS] = scores.amax(dim=0)
            worst[start : start + PIXELS] = -scores.amin(dim=0)
        shape = tuple(self.maps.shape[1:])
        return best.reshape(shape).numpy(), worst.reshape(shape).numpy()

    def refined(self, rows: Index, columns: Index, sign: float) -> _Peaks:
        """Return maxima of the coarse scores with the best of all templates at each, placed between pixels."""
        height, width = self.maps.shape[1:]
        centre_row, centre_column = np.clip(rows, 1, height - 2), np.clip(columns, 1, width - 2)
        down, across = np.array([0, -1, 1, 0, 0])[:, None], np.array([0, 0, 0, -1, 1])[:, None]
        cross = self.maps[:, centre_row + down, centre_column + across].reshape(len(self.maps), -1)
        score, template = torch.empty(cross.shape[1]), torch.empty(cross.shape[1], dtype=torch.long)
        for start in range(0, cross.shape[1], PIXELS // 4):
            part = slice(start, start + PIXELS // 4)
            score[part], template[part] = (self.weights @ (sign * cross[:, part])).max(dim=0)
        middle, above, below, left, right = score.reshape(5, -1).numpy().astype(np.float64)
        return _Peaks(
            x=centre_column + vertex(left, middle, right),
            y=centre_row + vertex(above, middle, below),
            score=middle,
            template=template.reshape(5, -1)[0].numpy(),
            energy=self.energy[rows, columns].astype(np.float64),
        )


def _full_mean(half: Tensor) -> Tensor:
    """Return the mean over the whole plane of what is given on its half ``(h, w // 2 + 1)``, `w` even."""
    return (2.0 * half.sum() - half[:, 0].sum() - half[:, -1].sum()) / (half.shape[0] * 2 * (half.shape[1] - 1))
