"""Grey and colour images as PNG files, and as data addresses inside a page."""

import base64

import numpy as np
from numpy.typing import NDArray


def to_grey(image: NDArray[np.floating], *, low: float = 0.5, high: float = 99.5) -> NDArray[np.uint8]:
    """Map `image` to 0-255 between two percentiles of its finite values."""
    return grey_between(image, *grey_limits(image, low=low, high=high))


def grey_limits(image: NDArray[np.floating], *, low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of the finite values of `image`; 0 and 0 where there are none."""
    values = np.asarray(image, dtype=np.float32)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 0.0
    darkest, brightest = np.percentile(finite, [low, high])
    return float(darkest), float(brightest)


def grey_between(image: NDArray[np.floating], darkest: float, brightest: float) -> NDArray[np.uint8]:
    """Map `image` to 0-255 from one value to another; what is not a number is dark."""
    values = np.asarray(image, dtype=np.float32)
    scaled = (np.nan_to_num(values, nan=darkest) - np.float32(darkest)) * np.float32(255.0 / max(brightest - darkest, 1e-20))
    return (np.clip(scaled, 0.0, 255.0) + np.float32(0.5)).astype(np.uint8)


def shrink(image: NDArray[np.floating], largest: int) -> NDArray[np.floating]:
    """Average whole blocks of pixels until neither side is above `largest`."""
    factor = int(np.ceil(max(image.shape) / largest))
    if factor <= 1:
        return image
    height, width = (side // factor * factor for side in image.shape)
    return image[:height, :width].reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of grey ``(h, w)`` or colour ``(h, w, 3)`` pixels, row 0 at the top."""
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6))


def png_address(pixels: NDArray[np.uint8]) -> str:
    """Return ``data:image/png;base64,...`` of such a file."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels)).decode()
