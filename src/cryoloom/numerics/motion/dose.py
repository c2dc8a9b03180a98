"""What radiation leaves of the signal, and how frames are weighted by it (Grant & Grigorieff 2015, doi:10.7554/eLife.06980)."""

import torch
from torch import Tensor


def critical_dose(frequency: Tensor, voltage: float) -> Tensor:
    """Return the dose in e/Å² after which a signal of `frequency` (1/Å) has fallen to 1/e of its power at `voltage` kV.

    Measured at 300 kV; 0.8 of it at 200 kV, 0.64 at 100 kV, linear in between.
    """
    if voltage >= 200:
        scale = 0.8 + 0.2 * (min(voltage, 300.0) - 200) / 100
    else:
        scale = 0.64 + 0.16 * (max(voltage, 100.0) - 100) / 100
    return scale * (0.245 * frequency.clamp_min(1e-6) ** -1.665 + 2.81)


def left(frequency: Tensor, dose: Tensor, voltage: float) -> Tensor:
    """Return ``exp(-D / 2N)``, the fraction of a signal's amplitude left after `dose` (e/Å²); the two broadcast."""
    return torch.exp(-dose / (2.0 * critical_dose(frequency, voltage)))


def weights(frequency: Tensor, doses: Tensor, voltage: float) -> Tensor:
    """Return weights of frames in a weighted sum, ``q / √(n Σ q²)``: noise stays white, and the mean that of the unweighted mean.

    Of every frame, ``(n,)`` cumulated `doses` in e/Å², at every `frequency` in 1/Å, ``(k,)``: float64 ``(n, k)``.
    """
    q = torch.where(frequency > 0, left(frequency[None, :].to(torch.float64), doses[:, None].to(torch.float64), voltage), 1.0)
    return q / (q.square().sum(0) * len(doses)).sqrt()
