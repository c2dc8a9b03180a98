"""Grey and colour images as PNG data addresses inside a page."""

import base64

import numpy as np
from numpy.typing import NDArray


def to_grey(image: NDArray[np.floating], *, low: float = 0.5, high: float = 99.5) -> NDArray[np.uint8]:
    """Map `image` to 0-255 between two percentiles of its finite values."""
    values = np.asarray(image, dtype=np.float32)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros(values.shape, dtype=np.uint8)
    darkest, brightest = np.percentile(finite, [low, high])
    scaled = (np.nan_to_num(values, nan=darkest) - darkest) / max(brightest - darkest, 1e-20)
    return (np.clip(scaled, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def shrink(image: NDArray[np.floating], largest: int) -> NDArray[np.floating]:
    """Average whole blocks of pixels until neither side is above `largest`."""
    factor = int(np.ceil(max(image.shape) / largest))
    if factor <= 1:
        return image
    height, width = (side // factor * factor for side in image.shape)
    return image[:height, :width].reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))


def png_address(pixels: NDArray[np.uint8]) -> str:
    """Return ``data:image/png;base64,...`` of grey ``(h, w)`` or colour ``(h, w, 3)`` pixels, row 0 at the top."""
    import imagecodecs

    return "data:image/png;base64," + base64.b64encode(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6)).decode()
