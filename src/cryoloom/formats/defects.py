"""Defect maps of detectors: images, MotionCor2's box lists, RELION's hot pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.movie import SUFFIXES, open_movie
from cryoloom.formats.star import read_star
from cryoloom.spec import Failure

_SERIALEM_WORDS = ("camerasize", "badcolumn", "badrow", "badpixel", "partialbad", "usablearea", "rotationandflip", "isk2", "isk3")


def read_defects(path: Path | str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read which pixels are bad.

    Parameters
    ----------
    path
        An MRC or TIFF image (not 0 = bad); a text with ``x y w h`` a line (MotionCor2: from 0, MRC row order); a STAR with RELION's
        ``hot_pixels`` or any table with ``rlnCoordinateX`` and ``rlnCoordinateY``.
    shape
        ``(height, width)`` of the movies' frames. An image of half that is expanded (super-resolution movies).

    Returns
    -------
    ndarray
        bool ``(height, width)``, True where bad, in the orientation of the movies.

    Raises
    ------
    Failure
        ``defects-missing``, ``defects-shape``, ``defects-outside``, ``defects-invalid``, or ``defects-serialem`` for SerialEM's own text, whose columns and
        rows depend on the camera's rotation and are not guessed.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if any(suffix in SUFFIXES for suffix in suffixes):
        return _from_image(path, shape)
    if not path.is_file():
        raise Failure("defects-missing", f"{path}: there is no such file.", "Check the path.")
    if suffixes[-1:] == [".star"]:
        return _from_star(path, shape)
    return _from_boxes(path, shape)


def _from_image(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    movie = open_movie(path)
    bad = movie.read(0, 1)[0] != 0
    if (2 * bad.shape[0], 2 * bad.shape[1]) == tuple(shape):
        bad = np.repeat(np.repeat(bad, 2, axis=0), 2, axis=1)
    if bad.shape != tuple(shape) or movie.frames != 1:
        raise Failure(
            "defects-shape",
            f"{path}: {movie.frames} image(s) of {bad.shape[1]} × {bad.shape[0]} px, movies of {shape[1]} × {shape[0]} px.",
            "Give one map of the movies' size and orientation.",
        )
    return bad


def _from_star(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    for frame in read_star(path).values():
        if {"rlnCoordinateX", "rlnCoordinateY"} <= set(frame.columns):
            x, y = (np.rint(frame[f"rlnCoordinate{axis}"].to_numpy()).astype(np.int64) for axis in "XY")
            return _filled(path, [(int(a), int(b), 1, 1) for a, b in zip(x, y, strict=True)], shape)
    raise Failure("defects-invalid", f"{path}: no table with rlnCoordinateX and rlnCoordinateY.", "Give RELION's hot pixels.")


def _from_boxes(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if any(line.strip().lower().startswith(_SERIALEM_WORDS) for line in lines):
        raise Failure(
            "defects-serialem",
            f"{path}: SerialEM's defect list, whose meaning depends on the camera's rotation and flip.",
            "Turn it into a map of the movies with IMOD: clip defect -D defects.txt movie.mrc map.mrc.",
        )
    boxes: list[tuple[int, int, int, int]] = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            x, y, width, height = (int(word) for word in words)
        except ValueError:
            message = f"{path}: line {number} is {line.strip()!r}; expected four whole numbers, x y width height."
            raise Failure("defects-invalid", message, "Correct the line, or give a map image.") from None
        boxes.append((x, y, width, height))
    return _filled(path, boxes, shape)


def _filled(path: Path, boxes: list[tuple[int, int, int, int]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    bad = np.zeros(shape, dtype=bool)
    for x, y, width, height in boxes:
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > shape[1] or y + height > shape[0]:
            raise Failure(
                "defects-outside",
                f"{path}: the defect at x {x}, y {y} of {width} × {height} px is not inside movies of {shape[1]} × {shape[0]} px.",
                "Give the list that belongs to this detector and these (unbinned) movies.",
            )
        bad[y : y + height, x : x + width] = True
    return bad
