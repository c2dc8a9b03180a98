"""Gatan DigitalMicrograph files, ``.dm3`` and ``.dm4``: the largest image in them, for gain references.

The layout was found out by their readers (B. Cumming, phyweb.physics.nus.edu.sg/~phybcb/info/dmformat): groups of named tags, counts and
lengths big-endian, values in the order that the header tells. Rows run from the top, as in TIFF.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cryoloom.spec import Failure

SUFFIXES = (".dm3", ".dm4")
_TYPES = {2: "i2", 3: "i4", 4: "u2", 5: "u4", 6: "f4", 7: "f8", 8: "u1", 9: "i1", 10: "u1", 11: "i8", 12: "u8"}
_STRUCT, _TEXT, _ARRAY = 15, 18, 20
_GROUP, _DATA, _END = 20, 21, 0
_UTF16, _SHORT = 4, 64
_DEEPEST, _LARGEST = 64, 1 << 20
_UNITS = {"nm": 10.0, "µm": 1e4, "Å": 1.0, "A": 1.0}


@dataclass(frozen=True)
class DmImage:
    """An image in a file, opened by `open_dm`; the object can be pickled.

    Attributes
    ----------
    frames, height, width
        Sections, rows and columns.
    dtype
        Type of the samples in the file.
    pixel_size
        Å as the calibration says, 0 if it does not.
    flip_rows
        Whether rows are reversed on reading.
    offset
        Bytes before the first sample.
    """

    path: Path
    frames: int
    height: int
    width: int
    dtype: np.dtype[Any]
    pixel_size: float
    flip_rows: bool
    offset: int

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return sections `start` to `stop` (not included), shape ``(n, height, width)``, MRC row order."""
        size = self.height * self.width
        offset = self.offset + start * size * self.dtype.itemsize
        data = np.fromfile(self.path, dtype=self.dtype, count=(stop - start) * size, offset=offset).reshape(-1, self.height, self.width)
        return data[:, ::-1] if self.flip_rows else data


def open_dm(path: Path, *, flip_rows: bool = True) -> DmImage:
    """Find the largest image of a file.

    Raises
    ------
    Failure
        ``dm-invalid`` when there is none, or the file is cut short or damaged.
    """
    cure = "Save it again from DigitalMicrograph, or convert it to MRC."
    try:
        with path.open("rb") as stream:
            tags = _Tags(stream, path.stat().st_size).read()
        found = (_image(entry, path, flip_rows) for entry in tags.get("ImageList", {}).values())
        images = [image for image in found if image is not None]
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise Failure("dm-invalid", f"{path}: not a whole DigitalMicrograph file ({error}).", cure) from error
    if not images:
        raise Failure("dm-invalid", f"{path}: holds no real image.", cure)
    return max(images, key=lambda image: image.frames * image.height * image.width)


def _image(entry: Any, path: Path, flip_rows: bool) -> DmImage | None:
    content = entry.get("ImageData", {}) if isinstance(entry, dict) else {}
    data, sides = content.get("Data"), list(content.get("Dimensions", {}).values())
    if not isinstance(data, _Array) or not 2 <= len(sides) <= 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        return None
    width, height, frames = (*sides, 1)[:3]
    if width * height * frames != data.count:
        return None
    calibration = content.get("Calibrations", {}).get("Dimension", {}).get("0", {})
    unit = calibration.get("Units")
    size = float(calibration.get("Scale", 0.0)) * _UNITS.get(unit.text if isinstance(unit, _Array) else "", 0.0)
    return DmImage(path, frames, height, width, data.dtype, round(size, 6), flip_rows, data.offset)


@dataclass(frozen=True)
class _Array:
    """Where numbers lie that are too many to read with the tags; short ones may be a text, such as a unit."""

    dtype: np.dtype[Any]
    count: int
    offset: int
    text: str


@dataclass
class _Tags:
    stream: BinaryIO
    size: int
    wide: str = field(init=False, default="I")
    order: str = field(init=False, default="<")
    version: int = field(init=False, default=0)

    def read(self) -> dict[str, Any]:
        """Return the tags as nested dictionaries; nameless ones are numbered."""
        self.version = self._number("I")
        if self.version not in (3, 4):
            raise ValueError(f"version {self.version}")
        self.wide = "Q" if self.version == 4 else "I"
        self._number(self.wide)
        self.order = "<" if self._number("I") == 1 else ">"
        return self._group(0)

    def _number(self, kind: str, order: str = ">") -> int:
        return struct.unpack(order + kind, self._bytes(struct.calcsize(order + kind)))[0]

    def _bytes(self, count: int) -> bytes:
        if count > _LARGEST:
            raise ValueError(f"a name or text of {count} bytes")
        content = self.stream.read(count)
        if len(content) < count:
            raise ValueError("it ends too early")
        return content

    def _group(self, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise ValueError("groups nested too deeply")
        self._bytes(2)  # whether it is sorted and open
        return dict(self._entries(self._number(self.wide), depth))

    def _entries(self, count: int, depth: int) -> Iterator[tuple[str, Any]]:
        for number in range(min(count, self.size)):
            kind = self._number("B")
            if kind == _END:
                return
            name = self._bytes(self._number("H")).decode("latin-1") or str(number)
            if self.version == 4:
                self._number("Q")
            if kind == _GROUP:
                yield name, self._group(depth + 1)
            elif kind == _DATA:
                yield name, self._value()
            else:
                raise ValueError(f"tag {name!r} of kind {kind}")

    def _value(self) -> Any:
        if self._bytes(4) != b"%%%%":
            raise ValueError("a tag without its mark")
        words = self._number(self.wide)
        if not 1 <= words <= _LARGEST:
            raise ValueError(f"a tag described by {words} numbers")
        kinds = [self._number(self.wide) for _ in range(words)]
        if kinds[0] in _TYPES:
            dtype = self._dtype(kinds[0])
            return np.frombuffer(self._bytes(dtype.itemsize), dtype=dtype)[0].item()
        if kinds[0] == _STRUCT:
            return self._skip(self._struct_size(kinds))
        if kinds[0] == _TEXT:
            return self._skip(2 * kinds[1])
        if kinds[0] == _ARRAY and kinds[1] == _STRUCT:
            return self._skip(self._struct_size(kinds[1:-1]) * kinds[-1])
        if kinds[0] == _ARRAY and kinds[1] in _TYPES:
            dtype, offset = self._dtype(kinds[1]), self.stream.tell()
            text = ""
            if kinds[1] == _UTF16 and kinds[2] <= _SHORT:
                text = self._bytes(2 * kinds[2]).decode("utf-16-le" if self.order == "<" else "utf-16-be", "replace").strip("\0")
                self.stream.seek(offset)
            self._skip(dtype.itemsize * kinds[2])
            return _Array(dtype, kinds[2], offset, text)
        raise ValueError(f"values of type {kinds[:2]}")

    def _dtype(self, kind: int) -> np.dtype[Any]:
        return np.dtype(self.order + _TYPES[kind])

    def _struct_size(self, kinds: list[int]) -> int:
        return sum(self._dtype(kind).itemsize for kind in kinds[4::2])

    def _skip(self, count: int) -> None:
        place = self.stream.tell() + count
        if place > self.size:
            raise ValueError(f"expected {place} bytes, found {self.size}")
        self.stream.seek(place)
