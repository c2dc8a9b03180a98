"""What the header of an MRC file says, corrected where headers are known to lie."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cryoloom.spec import Failure

HEADER_BYTES = 1024
COMPRESSED_SUFFIXES = (".gz", ".bz2")
STACK_SUFFIXES = (".mrcs", ".st")
PACKED_MODE = 101
"""Two 4-bit pixels a byte, low nibble first, rows padded to whole bytes (SerialEM super-resolution movies)."""
TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2", PACKED_MODE: "u1"}

_IMOD_STAMP = 1146047817
_IMOD_SIGNED = 1


def header_type(order: Literal["<", ">"]) -> np.dtype[Any]:
    """Return the fields of the 1024 bytes as mrcfile names them."""
    from mrcfile.dtypes import HEADER_DTYPE  # a tenth of a second that forms need not wait for

    return HEADER_DTYPE.newbyteorder(order)


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
    unsigned_known
        False where bytes are signed by their mode only: many programs write unsigned ones under it.
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


def demand_whole(header: MrcHeader, path: Path, found: int) -> None:
    """Raise ``mrc-truncated`` when `found` bytes are fewer than the header promises."""
    expected = header.offset + header.data_bytes
    if found < expected:
        raise Failure(
            "mrc-truncated",
            f"{path}: expected {expected} bytes, found {found}.",
            "Copy the file again, or leave it out; the transfer or the recording was cut short.",
        )


def parse_header(raw: bytes, path: Path) -> MrcHeader:
    """Judge the first 1024 bytes of `path`; raise ``mrc-invalid`` when they are no MRC header."""
    order = _byte_order(raw, path)
    record = np.frombuffer(raw, dtype=header_type(order))[0]
    notes: list[str] = []
    if bytes(record["map"])[:3] != b"MAP":
        notes.append(f"{path.name}: no MAP stamp; read as an MRC file all the same")
        warnings.warn(notes[-1], stacklevel=4)
    mode = int(record["mode"])
    dtype = np.dtype(TYPES[mode]).newbyteorder(order)
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
        if mode in (*TYPES, 3) and all(0 < size < 1 << 24 for size in (columns, rows)) and 0 <= sections < 1 << 28:
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
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSED_SUFFIXES]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in STACK_SUFFIXES:
        return False
    return suffix in (".map", ".ccp4") or space_group != 0 or (shape[0] == shape[1] == shape[2] > 1)
