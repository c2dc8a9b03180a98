"""MRC images, stacks and maps (MRC2014; Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002), as the field really writes them.

Reading forgives what does no harm (no MAP stamp, a wrong space group, either byte order, extended headers, gzip and bzip2) and refuses
what would give wrong numbers (a truncated file, an unknown mode). Writing is deterministic: no clock, one fixed label, little-endian.
"""

import bz2
import gzip
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from cryoloom.formats.atomic import atomic
from cryoloom.spec import Failure

HEADER_BYTES = 1024
STACK_SUFFIXES = (".mrcs", ".st")
PACKED_MODE = 101
"""Two 4-bit pixels a byte, low nibble first, rows padded to whole bytes (SerialEM super-resolution movies)."""

_TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", PACKED_MODE: "u1"}
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}
_IMOD_STAMP = 1146047817
_IMOD_SIGNED = 1
_LABEL = b"cryoloom"


@dataclass(frozen=True)
class MrcHeader:
    """What a header says, corrected where it is known to lie.

    Attributes
    ----------
    shape
        ``(sections, rows, columns)`` in file order.
    mode, dtype
        MRC mode and the type of the samples in the file, byte order included (``uint8`` for IMOD's unsigned bytes).
    voxel_size
        Å along x, y, z; 0 where the file does not say.
    is_volume
        Whether the sections are the z axis of a map rather than separate images.
    axes
        The axis (1 x, 2 y, 3 z) that columns, rows and sections run along.
    origin
        Å along x, y, z.
    offset
        Bytes before the first sample.
    notes
        What was wrong and has been read nevertheless.
    """

    shape: tuple[int, int, int]
    mode: int
    dtype: np.dtype[Any]
    voxel_size: tuple[float, float, float]
    is_volume: bool
    axes: tuple[int, int, int]
    origin: tuple[float, float, float]
    offset: int
    unsigned_known: bool = True
    notes: tuple[str, ...] = field(default=())

    @property
    def pixel_size(self) -> float:
        """Return the pixel size along x in Å, 0 if the file does not say."""
        return self.voxel_size[0]

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row of samples."""
        columns = self.shape[2]
        return (columns + 1) // 2 if self.mode == PACKED_MODE else columns * self.dtype.itemsize

    @property
    def data_bytes(self) -> int:
        """Return the bytes of all samples."""
        return self.shape[0] * self.shape[1] * self.row_bytes


@dataclass(frozen=True)
class MrcImage:
    """Samples and what is needed to understand them.

    Attributes
    ----------
    data
        ``(y, x)`` for one image, ``(n, y, x)`` for a stack, ``[z, y, x]`` for a volume, in the file's type and the machine's byte order
        (memory-mapped arrays keep the file's).
    pixel_size
        Å, 0 if the file does not say.
    """

    data: NDArray[Any]
    pixel_size: float
    is_volume: bool
    header: MrcHeader


def read_mrc_header(path: Path | str) -> MrcHeader:
    """Read and judge the header of `path`; the file must hold all samples it promises (checked without reading them).

    Raises
    ------
    Failure
        ``mrc-missing``, ``mrc-invalid`` (not an MRC file, unknown mode) or ``mrc-truncated``.
    """
    path = Path(path)
    raw = _first_bytes(path)
    header = _parse(raw, path)
    if path.suffix.lower() not in _OPENERS:
        _demand_whole(header, path, path.stat().st_size)
    return header


def read_mrc(path: Path | str) -> MrcImage:
    """Read `path` into memory.

    Returns
    -------
    MrcImage
        Volumes stored with another axis order are turned to ``[z, y, x]``; 4-bit samples are unpacked.
    """
    path = Path(path)
    header = read_mrc_header(path)
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        return _image(_native(read_sections(path, header, 0, header.shape[0])), header)
    try:
        with opener(path, "rb") as stream:
            stream.seek(header.offset)
            content = stream.read(header.data_bytes)
    except (EOFError, OSError) as error:
        raise Failure("mrc-truncated", f"{path}: the compressed data end early ({error}).", "Copy the file again.") from error
    _demand_whole(header, path, header.offset + len(content))
    return _image(_native(_samples(np.frombuffer(content, dtype=np.uint8), header)), header)


def open_mrc(path: Path | str) -> MrcImage:
    """Open `path` with its samples memory-mapped read-only; compressed and 4-bit files are read whole."""
    path = Path(path)
    header = read_mrc_header(path)
    if path.suffix.lower() in _OPENERS or header.mode == PACKED_MODE:
        return read_mrc(path)
    return _image(np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape), header)


def read_sections(path: Path | str, header: MrcHeader, start: int, stop: int) -> NDArray[Any]:
    """Read sections `start` to `stop` (not included) of an uncompressed file in its own type, shape ``(n, rows, columns)``."""
    section = header.shape[1] * header.row_bytes
    packed = np.fromfile(path, dtype=np.uint8, count=(stop - start) * section, offset=header.offset + start * section)
    if packed.size < (stop - start) * section:
        raise Failure("mrc-truncated", f"{path}: the file became shorter while it was read.", "Import it again when it is complete.")
    return _samples(packed, header)


def unpack_nibbles(packed: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Turn packed rows ``(..., (columns + 1) // 2)`` into 4-bit samples ``(..., columns)``, low nibble first."""
    out = np.empty((*packed.shape[:-1], packed.shape[-1] * 2), dtype=np.uint8)
    out[..., 0::2] = packed & 0x0F
    out[..., 1::2] = packed >> 4
    return out[..., :columns]


def _samples(packed: NDArray[np.uint8], header: MrcHeader) -> NDArray[Any]:
    _, rows, columns = header.shape
    if header.mode == PACKED_MODE:
        return unpack_nibbles(packed.reshape(-1, rows, header.row_bytes), columns)
    return packed.view(header.dtype).reshape(-1, rows, columns)


def _native(data: NDArray[Any]) -> NDArray[Any]:
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def _image(data: NDArray[Any], header: MrcHeader) -> MrcImage:
    if header.is_volume and header.axes != (1, 2, 3):
        # axes[::-1] names the axis (x 1, y 2, z 3) that each array dimension runs along.
        along = header.axes[::-1]
        data = data.transpose([along.index(axis) for axis in (3, 2, 1)])
    if not header.is_volume and data.shape[0] == 1:
        data = data[0]
    return MrcImage(data, header.pixel_size, header.is_volume, header)


def _first_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise Failure("mrc-missing", f"{path}: there is no such file.", "Check the path; a moved data set leaves dangling links.")
    opener = _OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as stream:
            raw = stream.read(HEADER_BYTES)
    except (EOFError, OSError) as error:
        raise Failure("mrc-invalid", f"{path}: cannot be read ({error}).", "Copy the file again.") from error
    if len(raw) < HEADER_BYTES:
        raise Failure(
            "mrc-truncated",
            f"{path}: expected a header of {HEADER_BYTES} bytes, found {len(raw)}.",
            "Copy the file again; the transfer or the recording was cut short.",
        )
    return raw


def _demand_whole(header: MrcHeader, path: Path, found: int) -> None:
    expected = header.offset + header.data_bytes
    if found < expected:
        raise Failure(
            "mrc-truncated",
            f"{path}: expected {expected} bytes, found {found}.",
            "Copy the file again, or leave it out; the transfer or the recording was cut short.",
        )


def _parse(raw: bytes, path: Path) -> MrcHeader:
    order = _byte_order(raw, path)
    record = np.frombuffer(raw, dtype=HEADER_DTYPE.newbyteorder(order))[0]
    notes: list[str] = []
    if bytes(record["map"])[:3] != b"MAP":
        notes.append(f"{path.name}: no MAP stamp; read as an MRC file all the same")
        warnings.warn(notes[-1], stacklevel=4)
    mode = int(record["mode"])
    dtype = np.dtype(_TYPES[mode]).newbyteorder(order)
    stamp, flags = np.frombuffer(raw, dtype=np.dtype("i4").newbyteorder(order), count=2, offset=152)
    imod = int(stamp) == _IMOD_STAMP
    if mode == 0 and imod and not int(flags) & _IMOD_SIGNED:
        dtype = np.dtype("u1")
    shape = (int(record["nz"]), int(record["ny"]), int(record["nx"]))
    axes = (int(record["mapc"]), int(record["mapr"]), int(record["maps"]))
    if sorted(axes) != [1, 2, 3]:
        axes = (1, 2, 3)
    return MrcHeader(
        shape=shape,
        mode=mode,
        dtype=dtype,
        voxel_size=_voxel_size(record),
        is_volume=_is_volume(path, int(record["ispg"]), shape),
        axes=axes,
        origin=tuple(_finite(float(record["origin"][name])) for name in "xyz"),  # type: ignore[arg-type]
        offset=HEADER_BYTES + max(0, int(record["nsymbt"])),
        unsigned_known=mode != 0 or imod,
        notes=tuple(notes),
    )


def _byte_order(raw: bytes, path: Path) -> Literal["<", ">"]:
    """Return the order in which mode and sizes make sense; the machine stamp decides only when both do."""
    sane: list[tuple[Literal["<", ">"], int, int]] = []
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        columns, rows, sections, mode = (int(v) for v in np.frombuffer(raw, dtype=np.dtype("i4").newbyteorder(order), count=4))
        if mode in (*_TYPES, 3) and all(0 < size < 1 << 24 for size in (columns, rows)) and 0 <= sections < 1 << 28:
            sane.append((order, mode, sections))
    if not sane:
        raise Failure("mrc-invalid", f"{path}: not an MRC file (its mode and sizes make no sense).", "Check the format of the file.")
    chosen = next((entry for entry in sane if entry[0] == (">" if raw[212] == 0x11 else "<")), sane[0])
    order, mode, sections = chosen
    if mode == 3:
        raise Failure("mrc-invalid", f"{path}: mode 3 (complex 16-bit integers) is not supported.", "Convert it to mode 4 or 2.")
    if sections == 0:
        raise Failure("mrc-invalid", f"{path}: the header says 0 sections.", "Leave the file out; nothing was recorded in it.")
    return order


def _voxel_size(record: Any) -> tuple[float, float, float]:
    sizes = []
    for axis in "xyz":
        intervals, length = int(record[f"m{axis}"]), _finite(float(record["cella"][axis]))
        sizes.append(round(length / intervals, 6) if intervals > 0 and length > 0 else 0.0)
    return sizes[0], sizes[1], sizes[2]


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.0


def _is_volume(path: Path, space_group: int, shape: tuple[int, int, int]) -> bool:
    """Judge by the extension, then the space group; a cube with space group 0 is a map whose writer left the field empty."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _OPENERS]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in STACK_SUFFIXES:
        return False
    return suffix in (".map", ".ccp4") or space_group != 0 or (shape[0] == shape[1] == shape[2] > 1)


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
        self._dtype = np.dtype(_TYPES[mode]).newbyteorder("<")
        self._low, self._high, self._sum, self._squares = np.inf, -np.inf, 0.0, 0.0

    def __enter__(self) -> Self:
        self._context = atomic(self._path)
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
            values = stored.astype(np.float64)
            self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
            self._sum += float(values.sum())
            self._squares += float(np.square(values).sum())
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
        header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder("<"))
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
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3):
        raise ValueError(f"array must have 2 or 3 axes; got shape {array.shape}")
    if array.ndim == 3 and not stack:
        volume = volume or Path(path).suffix.lower() not in STACK_SUFFIXES
    shape = (array.shape[-2], array.shape[-1])
    with MrcWriter(path, shape, pixel_size, mode=mode, volume=volume and array.ndim == 3, origin=origin) as writer:
        writer.append(array)
