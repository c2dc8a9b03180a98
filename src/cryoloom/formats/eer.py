"""EER movies: hundreds of hardware frames of single electrons, summed into dose fractions while they are decoded.

Guo et al. 2020, doi:10.1107/S205225252000929X. A frame is a TIFF page of run lengths between events, each with two bits a side for the
place within the pixel. Rows are not reversed: they run as those of the camera's own ``.gain`` references, and RELION reads both so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.tiff import EER_COMPRESSIONS, last_byte, truncated
from cryoloom.spec import Failure

_RUN_BITS: dict[int, int] = dict(zip(EER_COMPRESSIONS, (8, 7, 0), strict=True))
"""Bits of a run length by the compression of the page; 0: tags say them."""
UPSAMPLINGS = (1, 2)
_SKIP_BITS, _ACROSS_BITS, _DOWN_BITS = 65007, 65008, 65009


@dataclass(frozen=True)
class EerFrames:
    """The dose fractions of an EER file; the object can be pickled.

    Attributes
    ----------
    grouping, upsampling
        As in `open_eer`.
    hardware_frames
        Frames in the file; the last ones that make no whole fraction are left out.
    frames, height, width
        Fractions, and rows and columns after upsampling.
    pixel_size
        Å after upsampling as the file says, 0 if it does not.
    total_dose
        e/Å² of all hardware frames as the file says, 0 if it does not.
    bits
        Of the run lengths, and of an event's place within its pixel across and down.
    places
        Offset and length of every hardware frame, bytes.
    """

    path: Path
    grouping: int
    upsampling: int
    hardware_frames: int
    height: int
    width: int
    pixel_size: float
    total_dose: float
    bits: tuple[int, int, int]
    places: tuple[tuple[int, int], ...]

    @property
    def frames(self) -> int:
        """Return the number of whole fractions."""
        return self.hardware_frames // self.grouping

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the counts."""
        return np.dtype(np.uint16)

    def read(self, start: int, stop: int) -> NDArray[np.uint16]:
        """Return fractions `start` to `stop` (not included) as counts, shape ``(n, height, width)``.

        Raises
        ------
        Failure
            ``eer-invalid`` naming a frame that cannot be decoded.
        """
        import imagecodecs

        out = np.zeros((stop - start, self.height, self.width), dtype=np.uint16)
        superres = self.upsampling.bit_length() - 1
        with self.path.open("rb") as stream:
            for number in range(start * self.grouping, stop * self.grouping):
                offset, length = self.places[number]
                stream.seek(offset)
                # The decoder takes whole words of 64 bits; writers need not end in one.
                events = stream.read(length) + bytes(-length % 8)
                fraction = out[number // self.grouping - start]
                try:
                    imagecodecs.eer_decode(events, fraction.shape, *self.bits, superres=superres, out=fraction)
                except (ValueError, RuntimeError) as error:
                    raise Failure(
                        "eer-invalid", f"{self.path}: frame {number + 1} cannot be decoded ({error}).", "Copy it again."
                    ) from error
        return out


def open_eer(path: Path, grouping: int = 1, upsampling: int = 1) -> EerFrames:
    """Open an EER file.

    Parameters
    ----------
    grouping
        Hardware frames a fraction.
    upsampling
        1 for the sensor's own pixels (4k), 2 for half of them (8k).

    Raises
    ------
    Failure
        ``tiff-truncated``, ``eer-invalid``, ``eer-grouping`` when there are fewer frames than one fraction takes, or ``eer-upsampling`` when
        events have no place within the pixel.
    """
    import tifffile

    expected, found = last_byte(path), path.stat().st_size
    if found < expected:
        raise truncated(path, expected, found)
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in (tiff.pages[number].aspage() for number in range(len(tiff.pages))) if page.compression in _RUN_BITS]
        shapes = {page.shape for page in pages}
        if not pages or len(shapes) > 1 or any(len(page.dataoffsets) != 1 for page in pages):
            raise Failure("eer-invalid", f"{path}: {len(pages)} frames of shapes {sorted(shapes)}.", "Check the format of the file.")
        first = pages[0]
        bits = _RUN_BITS[int(first.compression)] or int(first.tags.valueof(_SKIP_BITS, 7))
        places = tuple((page.dataoffsets[0], page.databytecounts[0]) for page in pages)
        said = tiff.eer_metadata or {}
        sides = (int(first.tags.valueof(code, 2)) if first.compression == 65002 else 2 for code in (_ACROSS_BITS, _DOWN_BITS))
    if len(pages) < grouping:
        message = f"{path}: {len(pages)} frames, fewer than the {grouping} of one fraction."
        raise Failure("eer-grouping", message, "Lower the frames per fraction: --eer-grouping.")
    across, down = sides
    if min(across, down) < upsampling.bit_length() - 1:
        raise Failure("eer-upsampling", f"{path}: its events have no place within the pixel.", "Read it without upsampling.")
    sensor = _number(said, "sensorPixelSize.width") * 1e10
    dose = _number(said, "totalDose") / sensor**2 if sensor else 0.0
    height, width = (side * upsampling for side in first.shape)
    return EerFrames(path, grouping, upsampling, len(pages), height, width, sensor / upsampling, dose, (bits, across, down), places)


def _number(said: dict[str, Any], name: str) -> float:
    value = said.get(name, 0.0)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) and value > 0 else 0.0
