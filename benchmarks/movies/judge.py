"""How far an alignment is off the truth, and what its sums show of the specimen."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.formats.star import read_star
from cryoloom.numerics.motion.field import Field, from_relion_polynomial

PLACES = 5


def field_of(path: Path) -> Field:
    """Return the motion in a STAR file of RELION's form; its shifts are what lays a frame on the first, minus what its content did."""
    tables = read_star(path)
    shifts = torch.from_numpy(tables["global_shift"].select("rlnMicrographShiftX", "rlnMicrographShiftY").to_numpy().copy())
    local = tables.get("local_motion_model")
    coefficients = torch.zeros(36) if local is None else torch.from_numpy(local["rlnMotionModelCoeff"].to_numpy().astype(np.float64))
    return from_relion_polynomial(coefficients, shifts)


def errors(found: Field, true: Field) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean squares ``(x, y)`` of what the motion of whole frames, and displacements at `PLACES`², are off, means removed."""
    whole = found.motion - true.motion
    side = torch.linspace(-0.4, 0.4, PLACES, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    places = torch.stack([found.at(f, x, y) - true.at(f, x, y) for f in range(len(true.motion))])
    return tuple((off - off.mean(0)).square().reshape(-1, 2).mean(0).numpy() for off in (whole, places))  # pyright: ignore[reportReturnType]


def shells(image: NDArray[np.float32], clean: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per shell of a pixel the amplitude of `clean` in `image`, and the correlation of the two; edges are left out."""
    edge = max(image.shape) // 32
    first, second = (torch.fft.rfft2(_tapered(one[edge:-edge, edge:-edge])) for one in (image, clean))
    height, width = (side - 2 * edge for side in image.shape)
    radius = torch.sqrt(torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width) ** 2)
    ring = (radius * min(height, width)).round().to(torch.int64).flatten()
    cross, one, two = (
        torch.bincount(ring, weights=values.to(torch.float64).flatten()).numpy()
        for values in ((first * second.conj()).real, first.abs().square(), second.abs().square())
    )
    return cross / np.maximum(two, 1e-30), cross / np.sqrt(np.maximum(one * two, 1e-30))


def quality(
    sums: dict[str, NDArray[np.float32]], best: NDArray[np.float32], clean: NDArray[np.float32], pixel_size: float
) -> dict[str, Any]:
    """Compare the sums of the first movie of a set with the sum of its truth, `best`.

    Returns
    -------
    kept
        Amplitude of the signal at 4 Å or 3 px, whichever is coarser, of that in `best`: mean of the shells 15 % to either side.
    worst_gain, gain
        Signal to noise of the weighted over the plain sum: the least of bands of shells, and its mean beyond 7 Å.
    """
    side = min(clean.shape) - 2 * (max(clean.shape) // 32)
    frequency = np.arange(side // 2) / side / pixel_size
    plain, weighted, true = (shells(image, clean) for image in (sums["plain"], sums["weighted"], best))
    aim = min(1 / 4.0, 1 / (3 * pixel_size))
    band = (frequency > 0.85 * aim) & (frequency < 1.15 * aim)
    bands = np.array_split(np.arange(5, len(frequency)), 24)
    # The correlation of noisy and clean is √(S / (S + N)); summed over bands, for single shells are noise.
    ratio = [_snr(weighted[1][part].mean()) / _snr(plain[1][part].mean()) for part in bands]
    fine = [value for value, part in zip(ratio, bands, strict=True) if frequency[part].mean() > 1 / 7.0 and plain[1][part].mean() > 0.01]
    seen = [value for value, part in zip(ratio, bands, strict=True) if plain[1][part].mean() > 0.01]
    return {
        "kept": float(plain[0][: len(frequency)][band].sum() / true[0][: len(frequency)][band].sum()),
        "worst_gain": float(min(seen)),
        "gain": float(np.mean(fine)) if fine else None,
    }


def _snr(correlation: float) -> float:
    share = max(correlation, 1e-4) ** 2
    return share / (1 - share)


def _tapered(image: NDArray[np.float32]) -> torch.Tensor:
    window = [torch.hann_window(side, periodic=False) for side in image.shape]
    return torch.from_numpy(image - image.mean()) * window[0][:, None] * window[1]
