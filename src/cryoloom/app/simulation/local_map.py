"""Write half maps whose resolution differs from side to side, the yardstick of local resolution."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.app.simulation.files import write_volume
from cryoloom.app.simulation.presets import LocalMapPreset
from cryoloom.numerics.simulate.fourier import backward, forward

Array = NDArray[np.float64]


def simulate_local_map(directory: Path, preset: LocalMapPreset, seed: int) -> dict[str, Any]:
    """Write ``map.mrc``, ``map_half1_unfil.mrc``, ``map_half2_unfil.mrc`` and, in ``truth``, the clean map, its resolution (Å) and the mask.

    A ball of random texture, band-limited at `fine` Å for x > 0 and at `coarse` Å for x < 0 with a smooth seam two px wide; the signal's variance
    in the ball over the white noise's in each half is `signal_to_noise`.
    """
    box = preset.box
    rng = np.random.default_rng((seed, 0))
    axis = np.arange(box, dtype=np.float64) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = np.sqrt(x * x + y * y + z * z) <= preset.radius
    texture = forward(rng.standard_normal((box, box, box)))
    share = 0.5 * (1.0 + np.tanh(x))
    sides = [_band_limited(texture, preset.pixel_size / resolution) for resolution in (preset.fine, preset.coarse)]
    fine, coarse = (side / side[ball].std() for side in sides)
    signal = ball * (share * fine + (1.0 - share) * coarse)
    sigma = np.sqrt(signal[ball].var() / preset.signal_to_noise)
    halves = [signal + sigma * rng.standard_normal(signal.shape) for _ in range(2)]
    (directory / "truth").mkdir()
    resolution = np.where(ball, np.where(x > 0.0, preset.fine, preset.coarse), 0.0)
    files = {
        "map.mrc": 0.5 * (halves[0] + halves[1]),
        "map_half1_unfil.mrc": halves[0],
        "map_half2_unfil.mrc": halves[1],
        "truth/volume.mrc": signal,
        "truth/resolution.mrc": resolution,
        "truth/mask.mrc": ball,
    }
    for name, volume in files.items():
        write_volume(directory / name, volume.astype(np.float32), preset.pixel_size)
    return {"settings": asdict(preset), "paths": {"volume": "map.mrc", "truth": "truth/volume.mrc", "resolution": "truth/resolution.mrc"}}


def _band_limited(transform: NDArray[np.complex128], limit: float) -> Array:
    """Keep digital frequencies up to `limit`."""
    box = transform.shape[0]
    k, half = np.fft.fftfreq(box), np.fft.rfftfreq(box)
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + half[None, None, :] ** 2)
    return backward(transform * (radius <= limit), (box, box, box))
