"""Movies of any supported format, as frames to read in pieces."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats import dm, eer, mrc, tiff
from cryoloom.spec import Failure, Item

SUFFIXES = (".mrc", ".mrcs", ".st", *tiff.SUFFIXES, ".eer", *dm.SUFFIXES)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LOOKED_AT = 16
"""Rows of the first frame whose samples tell whether they are signed."""
_DM = (b"\0\0\0\3", b"\0\0\0\4")


@dataclass(frozen=True)
class Movie:
    """Frames of one exposure; opened by `open_movie`, read in pieces, can be pickled.

    Attributes
    ----------
    frames, height, width
        Numbers of frames, rows and columns.
    dtype
        Type of the samples in the file.
    pixel_size
        Å as the header says, 0 if it does not.
    source
        What reads the file: its ``read(start, stop)`` gives frames in the file's own type.
    """

    path: Path
    frames: int
    height: int
    width: int
    dtype: np.dtype[Any]
    pixel_size: float
    source: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Return ``(height, width)``."""
        return self.height, self.width

    @property
    def plain_mrc(self) -> bool:
        """Return whether any program reads the file as it is: an uncompressed MRC image whose samples mean what its mode says."""
        source = self.source
        if not isinstance(source, _MrcFrames) or self.path.suffix.lower() in (".gz", ".bz2"):
            return False
        counts = source.header.mode == 0 and (source.unsigned or self.dtype == np.uint8)
        return source.header.mode in (0, 1, 2, 6, 12) and not counts

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return frames `start` to `stop` (not included; None: all) as float32 ``(n, height, width)``, MRC row order.

        Raises
        ------
        ValueError
            If there are no such frames.
        Failure
            What `mrc.read_sections`, `tiff.TiffFrames.read` and `eer.EerFrames.read` raise.
        """
        return self.raw(start, stop).astype(np.float32)

    def raw(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the same in the type of the file."""
        stop = self.frames if stop is None else stop
        if not 0 <= start <= stop <= self.frames:
            raise ValueError(f"frames {start} to {stop} of {self.path.name}, which has {self.frames}")
        return self.source.read(start, stop)


@dataclass(frozen=True)
class _MrcFrames:
    path: Path
    header: mrc.MrcHeader
    unsigned: bool

    def read(self, start: int, stop: int) -> NDArray[Any]:
        if self.path.suffix.lower() in (".gz", ".bz2"):
            data = mrc.read_mrc(self.path).data.reshape(self.header.shape)[start:stop]
        else:
            data = mrc.read_sections(self.path, self.header, start, stop)
        return data.view(np.uint8) if self.unsigned else data


def movie_of(item: Item) -> Movie:
    """Open the movie of an item of a set of movies; the frames of EER are grouped and upsampled as the set says."""
    return open_movie(item.file("movie_path"), grouping=item.row.get("eer_grouping") or 1, upsampling=item.row.get("eer_upsampling") or 1)


def open_movie(path: Path | str, *, flip_rows: bool = True, grouping: int = 1, upsampling: int = 1) -> Movie:
    """Open a movie, judging its format by its first bytes.

    Parameters
    ----------
    path
        MRC (``.mrc``, ``.mrcs``, ``.st``, plain or compressed; a space group of 1 does not matter, sections are frames), TIFF, EER, or
        DigitalMicrograph's ``.dm3`` and ``.dm4``.
    flip_rows
        Reverse the rows of TIFF pages and DigitalMicrograph's images, as the field does.
    grouping, upsampling
        Of EER: hardware frames a dose fraction, and 2 for half of the sensor's pixels.

    Raises
    ------
    Failure
        ``movie-missing``, ``movie-truncated`` for an empty file, ``movie-invalid`` when it is none of these, and what
        `mrc.read_mrc_header`, `tiff.TiffFrames`, `eer.open_eer` and `dm.open_dm` raise.
    """
    path = Path(path)
    if not path.is_file():
        raise Failure("movie-missing", f"{path}: there is no such file.", "Check the path; a moved data set leaves dangling links.")
    with path.open("rb") as stream:
        start = stream.read(4)
    if not start:
        raise Failure("movie-truncated", f"{path}: expected a movie, found 0 bytes.", "Copy the file again, or leave it out.")
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".bz2")]
    pages: tiff.TiffFrames | eer.EerFrames | dm.DmImage | None = None
    if start in _TIFF:
        eer_named = suffixes[-1:] == [".eer"]
        pages = eer.open_eer(path, grouping, upsampling) if eer_named else tiff.TiffFrames(path, flip_rows=flip_rows)
    elif start in _DM and suffixes[-1:] and suffixes[-1] in dm.SUFFIXES:
        pages = dm.open_dm(path, flip_rows=flip_rows)
    if pages is not None:
        return Movie(path, pages.frames, pages.height, pages.width, pages.dtype, pages.pixel_size, pages)
    if suffixes and suffixes[-1] in (*tiff.SUFFIXES, ".eer"):
        raise Failure("movie-invalid", f"{path}: not a TIFF file, whatever its name says.", "Check the format of the file.")
    header = mrc.read_mrc_header(path)
    frames, height, width = header.shape
    unsigned = not header.unsigned_known and _counts_look_unsigned(path, header)
    return Movie(path, frames, height, width, header.dtype, header.pixel_size, _MrcFrames(path, header, unsigned))


def _counts_look_unsigned(path: Path, header: mrc.MrcHeader) -> bool:
    """Tell whether bytes that the standard calls signed are counts above 127: read as unsigned they scatter less."""
    if path.suffix.lower() in (".gz", ".bz2"):
        return False
    # some rows of the first frame tell it, and movies are registered by the thousand
    frame = mrc.read_sections(path, replace(header, shape=(1, min(header.shape[1], _LOOKED_AT), header.shape[2])), 0, 1)
    if frame.min() >= 0 or frame.std() <= frame.view(np.uint8).std():
        return False
    warnings.warn(f"{path.name}: signed bytes that make sense only as unsigned counts; read as unsigned", stacklevel=3)
    return True
