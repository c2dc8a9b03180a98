"""TIFF and BigTIFF movies and images: pages are frames, LZW, deflate and predictors included.

TIFF rows run from the top, MRC rows from the bottom: RELION, MotionCor2, IMOD and SerialEM reverse the rows whenever they read or write
TIFF, and so does this reader, so that a movie saved both ways gives the same micrograph and the same gain fits it.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cryoloom.files import writing
from cryoloom.spec import Failure

if TYPE_CHECKING:
    import tifffile

SUFFIXES = (".tif", ".tiff")
EER_COMPRESSIONS = (65000, 65001, 65002)


class TiffFrames:
    """The pages of a TIFF file, opened when needed; the object can be pickled.

    Parameters
    ----------
    path
        The file. Every page must have one shape and one type, and lie wholly in the file.
    flip_rows
        Whether to reverse the rows (the field's convention); False for files written without it.

    Raises
    ------
    Failure
        ``tiff-missing``, ``tiff-invalid``, ``tiff-truncated`` or ``tiff-mixed``.
    """

    def __init__(self, path: Path | str, *, flip_rows: bool = True) -> None:
        import tifffile

        self.path, self.flip_rows = Path(path), flip_rows
        if not self.path.is_file():
            raise Failure("tiff-missing", f"{path}: there is no such file.", "Check the path; a moved data set leaves dangling links.")
        expected, found = last_byte(self.path), self.path.stat().st_size
        if found < expected:
            raise truncated(self.path, expected, found)
        try:
            with tifffile.TiffFile(self.path) as tiff:
                first = tiff.pages.first
                if first.compression in EER_COMPRESSIONS:
                    raise Failure("eer-name", f"{path}: an EER movie under another name.", "Name it .eer.")
                if first.dtype is None or len(first.shape) != 2:
                    raise Failure(
                        "tiff-invalid", f"{path}: page of shape {first.shape} is not a grey image.", "Check the format of the file."
                    )
                shapes = {page.shape for page in tiff.pages}
                if len(shapes) > 1:
                    raise Failure("tiff-mixed", f"{path}: pages of several sizes, {sorted(shapes)}.", "Check the format of the file.")
                self.frames = len(tiff.pages)
                self.height, self.width = first.shape
                self.dtype = np.dtype(first.dtype)
                self.pixel_size = _pixel_size(first)
        except tifffile.TiffFileError as error:
            raise Failure("tiff-invalid", f"{path}: not a TIFF file ({error}).", "Check the format of the file.") from error

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return pages `start` to `stop` (not included) in the file's own type, shape ``(n, height, width)``, MRC row order.

        Raises
        ------
        Failure
            ``tiff-invalid`` naming a page that cannot be decoded.
        """
        import tifffile

        out = np.empty((stop - start, self.height, self.width), dtype=self.dtype)
        with tifffile.TiffFile(self.path) as tiff:
            for number in range(start, stop):
                try:
                    page = tiff.pages[number].asarray(maxworkers=1)
                except (tifffile.TiffFileError, ValueError, RuntimeError, OSError) as error:
                    message = f"{self.path}: page {number + 1} cannot be decoded ({error})."
                    raise Failure("tiff-invalid", message, "Copy the file again.") from error
                out[number - start] = page[::-1] if self.flip_rows else page
        return out


def write_tiff(path: Path | str, frames: NDArray[Any], *, compression: str | None = "lzw", flip_rows: bool = True) -> None:
    """Write frames ``(n, y, x)`` or one image ``(y, x)`` given in MRC row order, one page a frame, without a clock or a software tag."""
    import tifffile

    frames = np.asarray(frames)
    with writing(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=frames.nbytes > 1 << 31) as tiff:
        for frame in frames if frames.ndim == 3 else frames[None]:
            page = np.ascontiguousarray(frame[::-1] if flip_rows else frame)
            tiff.write(page, photometric="minisblack", compression=compression, metadata=None, software=False, contiguous=False)


def truncated(path: Path, expected: int, found: int) -> Failure:
    """Return what to tell of a file that ends before its directories say."""
    return Failure(
        "tiff-truncated",
        f"{path}: expected at least {expected} bytes, found {found}.",
        "Copy the file again, or leave it out; the transfer or the recording was cut short.",
    )


@dataclass(frozen=True)
class _Layout:
    """How numbers lie in a TIFF file: byte order, and the widths that BigTIFF doubles."""

    order: str
    count: str
    offset: str

    @property
    def entry(self) -> int:
        """Return the bytes of a directory entry: tag, type, number of values, value or its place."""
        return 4 + 2 * struct.calcsize(self.offset)

    def number(self, raw: bytes, kind: str) -> int:
        """Return the first number in `raw`."""
        return struct.unpack_from(self.order + kind, raw)[0]


_WIDTHS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_OFFSETS, _LENGTHS = (273, 324), (279, 325)


def last_byte(path: Path) -> int:
    """Follow the page directories and return the end of the furthest directory, strip or tile that they name."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(16)
        layout, offset = _start(head, path)
        furthest, seen = 0, set[int]()
        while offset and offset not in seen:
            seen.add(offset)
            width = struct.calcsize(layout.count)
            if offset + width > size:
                return offset + width
            stream.seek(offset)
            entries = layout.number(stream.read(width), layout.count) * layout.entry
            end = offset + width + entries + struct.calcsize(layout.offset)
            if end > size:
                return end
            directory = stream.read(end - offset - width)
            furthest = max(furthest, end, _data_end(stream, directory[:entries], layout, size))
            offset = layout.number(directory[entries:], layout.offset)
    return furthest


def _start(head: bytes, path: Path) -> tuple[_Layout, int]:
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "<")
    version = struct.unpack(f"{order}H", head[2:4])[0] if len(head) >= 8 else 0
    layout = _Layout(order, "Q", "Q") if version == 43 else _Layout(order, "H", "I")
    if version not in (42, 43) or (version == 43 and len(head) < 16):
        raise Failure("tiff-invalid", f"{path}: not a TIFF file.", "Check the format of the file.")
    offset = layout.number(head[8:] if version == 43 else head[4:], layout.offset)
    if not offset:
        raise Failure("tiff-invalid", f"{path}: a TIFF file without pages.", "Leave the file out; nothing was recorded in it.")
    return layout, offset


def _data_end(stream: BinaryIO, entries: bytes, layout: _Layout, size: int) -> int:
    """Return the end of the last strip or tile, or of the tables of their places, of one directory."""
    places: dict[int, tuple[int, ...]] = {}
    end = 0
    for start in range(0, len(entries), layout.entry):
        entry = entries[start : start + layout.entry]
        tag, kind = struct.unpack_from(f"{layout.order}HH", entry)
        if tag not in (*_OFFSETS, *_LENGTHS) or kind not in _WIDTHS:
            continue
        values = layout.number(entry[4:], layout.offset)
        width = struct.calcsize(_WIDTHS[kind]) * values
        raw = entry[4 + struct.calcsize(layout.offset) :]
        if width > len(raw):
            place = layout.number(raw, layout.offset)
            end = max(end, place + width)
            if place + width > size:
                return end
            stream.seek(place)
            raw = stream.read(width)
        places[tag] = struct.unpack(f"{layout.order}{values}{_WIDTHS[kind]}", raw[:width])
    for offsets, lengths in zip(_OFFSETS, _LENGTHS, strict=True):
        ends = (start + length for start, length in zip(places.get(offsets, ()), places.get(lengths, ()), strict=False))
        end = max(end, max(ends, default=0))
    return end


def _pixel_size(page: "tifffile.TiffPage") -> float:
    """Return the pixel size in Å from the resolution tags, 0 unless they are metric and tell a plausible microscope's pixel."""
    resolution, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    if resolution is None or unit is None or int(unit.value) != 3:
        return 0.0
    numerator, denominator = resolution.value
    size = 1e8 * denominator / numerator if numerator else 0.0
    return round(size, 6) if 0.05 < size < 50 else 0.0
