"""Image files of the truth, written with the reference libraries and never with the product's own writers."""

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from cryoloom.spec.errors import WrongUse

_MODE_TYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_TIFF_COMPRESSION = {"lzw": "lzw", "deflate": "adobe_deflate"}
MOVIE_FORMATS = (*(f"mrc{mode}" for mode in _MODE_TYPES), *(f"tiff-{name}" for name in _TIFF_COMPRESSION))
"""MRC of modes 0, 1, 2, 6 and 12; TIFF of 8-bit counts, compressed."""


class StackWriter:
    """An MRC stack that is filled image by image (mode 2)."""

    def __init__(self, path: Path, shape: tuple[int, int, int], pixel_size: float) -> None:
        self._file: Any = mrcfile.new_mmap(path, shape=shape, mrc_mode=2, overwrite=True)
        _describe(self._file, pixel_size, volume=False)

    def write(self, start: int, images: NDArray[np.float32]) -> None:
        """Put `images` at index `start` and after."""
        self._file.data[start : start + len(images)] = images

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def write_volume(path: Path, volume: NDArray[np.float32], pixel_size: float) -> None:
    """Write a map ``[z, y, x]``, mode 2."""
    _write_mrc(path, volume, pixel_size, volume=True)


def write_image(path: Path, image: NDArray[Any], pixel_size: float) -> None:
    """Write one image ``[y, x]`` in the mode of its type."""
    _write_mrc(path, image, pixel_size, volume=False)


def count_type(movie_format: str, mean: float) -> np.dtype[Any]:
    """Return the type in which `movie_format` holds counts.

    Raises
    ------
    WrongUse
        ``simulate-format`` for an unknown format, or when counts of that `mean` would not fit.
    """
    if movie_format not in MOVIE_FORMATS:
        raise WrongUse(
            "simulate-format", f"simulate: there is no movie format {movie_format!r}.", f"Choose one of {', '.join(MOVIE_FORMATS)}."
        )
    kind = np.dtype(np.uint8) if movie_format.startswith("tiff") else np.dtype(_MODE_TYPES[int(movie_format[3:])])
    room = np.iinfo(kind).max if kind.kind in "iu" else 2048
    if mean + 8.0 * mean**0.5 > room:
        raise WrongUse(
            "simulate-format",
            f"simulate: format {movie_format} holds counts up to {room}; {mean:.0f} electrons a pixel and frame need more.",
            "Choose mrc6, or a lower dose_per_frame.",
        )
    return kind


def movie_suffix(movie_format: str) -> str:
    """Return the ending of the files of `movie_format`."""
    return ".tif" if movie_format.startswith("tiff") else ".mrc"


def write_movie(path: Path, frames: NDArray[Any], pixel_size: float, movie_format: str) -> None:
    """Write counts ``[frame, y, x]`` of the type of `movie_format`; TIFF rows run top-down, so they are reversed there."""
    if movie_format.startswith("tiff"):
        # The page's resolution is pixels per centimetre.
        density = 1e8 / pixel_size
        tifffile.imwrite(
            path, frames[:, ::-1], compression=_TIFF_COMPRESSION[movie_format.split("-")[1]], photometric="minisblack",
            rowsperstrip=64, metadata=None, software="cryoloom", resolution=(density, density), resolutionunit="CENTIMETER",
        )  # fmt: skip
        return
    _write_mrc(path, frames, pixel_size, volume=False)


def _write_mrc(path: Path, data: NDArray[Any], pixel_size: float, *, volume: bool) -> None:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        _describe(file, pixel_size, volume=volume)


def _describe(file: Any, pixel_size: float, *, volume: bool) -> None:
    if file.data.ndim == 3:
        file.set_volume() if volume else file.set_image_stack()
    file.voxel_size = pixel_size
    # mrcfile dates its files; the same seed must give the same bytes.
    file.header.label[:] = b""
    file.header.label[0] = b"cryoloom simulation"
    file.header.nlabl = 1
