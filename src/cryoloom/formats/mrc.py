"""MRC images, stacks and maps (MRC2014; Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002), as the field really writes them.

Reading forgives what does no harm (no MAP stamp, a wrong space group, either byte order, extended headers, gzip and bzip2) and refuses
what would give wrong numbers (a truncated file, an unknown mode). Writing is deterministic: no clock, one fixed label, little-endian.
"""

import bz2
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.mrc_header import HEADER_BYTES, PACKED_MODE, STACK_SUFFIXES, MrcHeader, demand_whole, parse_header
from cryoloom.formats.mrc_writer import MrcWriter, write_mrc
from cryoloom.spec import Failure

__all__ = [
    "STACK_SUFFIXES",
    "MrcHeader",
    "MrcImage",
    "MrcWriter",
    "open_mrc",
    "read_mrc",
    "read_mrc_header",
    "read_sections",
    "unpack_nibbles",
    "write_mrc",
]

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}


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
    is_volume
        Whether `data` is a map.
    header
        What the header says.
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
    header = parse_header(raw, path)
    if path.suffix.lower() not in _OPENERS:
        demand_whole(header, path, path.stat().st_size)
    return header


def read_mrc(path: Path | str) -> MrcImage:
    """Read `path` into memory.

    Returns
    -------
    MrcImage
        Volumes stored with another axis order are turned to ``[z, y, x]``; 4-bit samples are unpacked.

    Raises
    ------
    Failure
        ``mrc-truncated``, and what `read_mrc_header` raises.
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
    demand_whole(header, path, header.offset + len(content))
    return _image(_native(_samples(np.frombuffer(content, dtype=np.uint8), header)), header)


def open_mrc(path: Path | str) -> MrcImage:
    """Open `path` with its samples memory-mapped read-only; compressed and 4-bit files are read whole."""
    path = Path(path)
    header = read_mrc_header(path)
    if path.suffix.lower() in _OPENERS or header.mode == PACKED_MODE:
        return read_mrc(path)
    return _image(np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape), header)


def read_sections(path: Path | str, header: MrcHeader, start: int, stop: int) -> NDArray[Any]:
    """Read sections `start` to `stop` (not included) of an uncompressed file in its own type, shape ``(n, rows, columns)``.

    Raises
    ------
    Failure
        ``mrc-truncated``.
    """
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
