"""Movies recorded as one file a frame: gathered by name, and written as stacks."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryoloom.spec import Failure

_NUMBERED = re.compile(r"(?P<movie>.*?)[_\-. ]*(?:frames?|n)?[_\-. ]*(?P<number>\d+)$", re.IGNORECASE)
_MODES = {"int8": 0, "uint8": 6, "int16": 1, "uint16": 6, "float16": 12}
"""MRC modes that hold the samples of frames; float32 holds all others."""


@dataclass(frozen=True)
class FrameFiles:
    """The frames of one movie, in order.

    Attributes
    ----------
    movie
        What the movie would be called, as a path beside its frames.
    frames
        One file each.
    """

    movie: Path
    frames: tuple[Path, ...]


def gathered(files: Sequence[Path]) -> list[FrameFiles]:
    """Return the movies that frames belong to: ``mov_12_frame_003.mrc`` is frame 3 of ``mov_12``, ``mov_12/003.mrc`` too.

    Raises
    ------
    Failure
        ``frame-number``: a name without a number at its end, or one number twice.
    """
    movies: dict[Path, dict[int, Path]] = {}
    for file in files:
        named = _NUMBERED.match(file.stem)
        if named is None:
            message = f"{file.name}: the name of a frame ends with its number, such as movie_012_frame_003{file.suffix}."
            raise Failure("frame-number", message, "Correct the pattern, or import movies that are one file each.")
        movie = file.with_name(f"{named['movie'] or file.parent.name}{file.suffix}")
        frames = movies.setdefault(movie, {})
        if (number := int(named["number"])) in frames:
            raise Failure("frame-number", f"{file.name} and {frames[number].name} are both frame {number}.", "Leave one out.")
        frames[number] = file
    return [FrameFiles(movie, tuple(frames[number] for number in sorted(frames))) for movie, frames in movies.items()]


def usual_count(movies: Sequence[FrameFiles]) -> int:
    """Return the number of frames that most movies have; the larger one of two as frequent."""
    counts = Counter(len(movie.frames) for movie in movies)
    return max(counts, key=lambda count: (counts[count], count))


def write_frames(frames: Sequence[Path], target: Path) -> None:
    """Write frames as one MRC stack of their own type of samples.

    Raises
    ------
    Failure
        ``frame-unlike``: a file holds several images, or one of another size; and what `open_movie` raises.
    """
    from cryoloom.formats.movie import open_movie
    from cryoloom.formats.mrc import MrcWriter

    first = open_movie(frames[0])
    mode = _MODES.get(first.dtype.newbyteorder("=").name, 2)
    with MrcWriter(target, first.shape, first.pixel_size, mode=mode) as stack:
        for path in frames:
            frame = open_movie(path)
            if frame.frames != 1 or frame.shape != first.shape:
                size = f"{frame.frames} image(s) of {frame.width} × {frame.height} px"
                message = f"{path.name}: {size}, not one of {first.width} × {first.height} px as {frames[0].name}."
                raise Failure("frame-unlike", message, "Import movies that are one file each without individual_frames.")
            stack.append(frame.read(0, 1))
