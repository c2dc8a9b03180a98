"""MRC files written image by image, the same bytes for the same images."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cryoloom.files import writing
from cryoloom.formats.mrc_header import HEADER_BYTES, STACK_SUFFIXES, TYPES, header_type
from cryoloom.spec import Failure

_LABEL = b"cryoloom"
ROWS = 64
"""Of an image whose squares are summed at once."""


class MrcWriter:
    """Write a stack image by image; the file appears, whole, when the ``with`` block ends well.

    Parameters
    ----------
    path
        The file to write.
    shape
        ``(rows, columns)`` of every image.
    pixel_size
        Å.
    mode
        0 int8, 1 int16, 2 float32, 6 uint16, 12 float16.
    volume
        Whether the sections are the z axis of a map.
    origin
        Å along x, y, z.
    """

    def __init__(
        self,
        path: Path | str,
        shape: tuple[int, int],
        pixel_size: float,
        *,
        mode: int = 2,
        volume: bool = False,
        origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        if mode not in (0, 1, 2, 6, 12):
            raise ValueError(f"mode must be 0, 1, 2, 6 or 12; got {mode}")
        self.shape, self.mode = shape, mode
        self.sections = 0
        self._path, self._pixel_size, self._volume, self._origin = Path(path), float(pixel_size), volume, origin
        self._dtype = np.dtype(TYPES[mode]).newbyteorder("<")
        self._low, self._high, self._sum, self._squares = np.inf, -np.inf, 0.0, 0.0

    def __enter__(self) -> Self:
        self._context = writing(self._path)
        self._stream = self._context.__enter__().open("wb")
        self._stream.write(bytes(HEADER_BYTES))
        return self

    def append(self, images: NDArray[Any]) -> None:
        """Write one image ``(y, x)`` or several ``(n, y, x)``.

        Raises
        ------
        Failure
            ``mrc-range`` when a value does not fit the mode.
        """
        images = np.asarray(images)
        if images.ndim == 2:
            images = images[None]
        if images.shape[1:] != self.shape:
            raise ValueError(f"images must be {self.shape}; got {images.shape[1:]}")
        for image in images:
            # Section by section, so that a stack written at once and one written in pieces have the same statistics.
            stored = self._stored(image)
            self._stream.write(np.ascontiguousarray(stored).data)
            self._low, self._high = min(self._low, float(stored.min())), max(self._high, float(stored.max()))
            for top in range(0, len(stored), ROWS):
                values = stored[top : top + ROWS].astype(np.float64)
                self._sum += float(values.sum())
                self._squares += float(np.square(values, out=values).sum())
            self.sections += 1

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                self._stream.seek(0)
                self._stream.write(self._header())
        finally:
            self._stream.close()
            self._context.__exit__(kind, error, trace)

    def _stored(self, image: NDArray[Any]) -> NDArray[Any]:
        if self._dtype.kind == "f":
            if self.mode == 12 and np.abs(image).max(initial=0) > 65504:
                raise self._range_failure(image, 65504)
            return image.astype(self._dtype, copy=False)
        limits = np.iinfo(self._dtype)
        rounded = image if image.dtype.kind in "iub" else np.rint(image)
        if not (rounded.min() >= limits.min and rounded.max() <= limits.max):
            raise self._range_failure(image, limits.max)
        return rounded.astype(self._dtype, copy=False)

    def _range_failure(self, image: NDArray[Any], limit: float) -> Failure:
        return Failure(
            "mrc-range",
            f"{self._path}: values from {float(image.min()):g} to {float(image.max()):g} do not fit MRC mode {self.mode} (to {limit:g}).",
            "Write mode 2 (float32).",
        )

    def _header(self) -> bytes:
        rows, columns = self.shape
        header = np.zeros((), dtype=header_type("<"))
        header["nx"], header["ny"], header["nz"], header["mode"] = columns, rows, self.sections, self.mode
        header["mx"], header["my"], header["mz"] = columns, rows, self.sections if self._volume else 1
        for axis in "xyz":
            header["cella"][axis] = int(header[f"m{axis}"]) * self._pixel_size
        header["cellb"]["alpha"] = header["cellb"]["beta"] = header["cellb"]["gamma"] = 90.0
        header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
        count = max(1, self.sections * rows * columns)
        mean = self._sum / count
        header["dmin"], header["dmax"], header["dmean"] = (self._low, self._high, mean) if self.sections else (0.0, 0.0, 0.0)
        header["rms"] = np.sqrt(max(0.0, self._squares / count - mean * mean))
        header["ispg"] = 1 if self._volume else 0
        header["nversion"] = 20141
        for axis, value in zip("xyz", self._origin, strict=True):
            header["origin"][axis] = value
        header["map"] = b"MAP "
        header["machst"] = [0x44, 0x44, 0, 0]
        header["nlabl"] = 1
        header["label"][0] = _LABEL.ljust(80)
        return header.tobytes()


def write_mrc(
    path: Path | str,
    array: NDArray[Any],
    pixel_size: float,
    *,
    volume: bool = False,
    stack: bool = False,
    mode: int = 2,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write an image ``(y, x)``, a stack ``(n, y, x)`` or a map ``[z, y, x]``.

    Parameters
    ----------
    path
        The file to write.
    array
        Samples; converted to the type of `mode`.
    pixel_size
        Å.
    volume, stack
        What a three-dimensional array is. With neither, an ``.mrcs`` or ``.st`` file is a stack and any other a map.
    mode, origin
        As in `MrcWriter`.

    Raises
    ------
    ValueError
        If `array` has neither two nor three axes, and what `MrcWriter` raises.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3):
        raise ValueError(f"array must have 2 or 3 axes; got shape {array.shape}")
    if array.ndim == 3 and not stack:
        volume = volume or Path(path).suffix.lower() not in STACK_SUFFIXES
    shape = (array.shape[-2], array.shape[-1])
    with MrcWriter(path, shape, pixel_size, mode=mode, volume=volume and array.ndim == 3, origin=origin) as writer:
        writer.append(array)
