"""Gain references: turned into the movies' orientation, checked, normalised; corrected counts are ``raw · factors``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.movie import open_movie
from cryoloom.spec import Failure

Rotation = Literal[0, 90, 180, 270]
Flip = Literal["none", "upside-down", "left-right"]

_UNTURNED = (".gain", ".raw")
_LOWEST, _HIGHEST = 0.1, 10.0


@dataclass(frozen=True)
class Gain:
    """A gain reference in the movies' orientation.

    Attributes
    ----------
    factors
        What frames are multiplied by, float32 ``(height, width)``, mean 1 over the good pixels, 0 where `defects`.
    defects
        Dead pixels (reference zero or negative), bool ``(height, width)``: to be filled from their neighbours.
    notes
        What was done beside turning and normalising.
    """

    factors: NDArray[np.float32]
    defects: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def oriented(image: NDArray[Any], rotation: Rotation = 0, flip: Flip = "none") -> NDArray[Any]:
    """Turn an image in MRC row order clockwise by `rotation` degrees, then mirror it; both as seen with row 0 at the top.

    This is what MotionCor2 and RELION mean by ``-RotGain 0-3`` and ``-FlipGain 1`` (upside-down) and ``2`` (left-right).
    """
    turned = np.rot90(image, -(int(rotation) // 90))
    return {"none": turned, "upside-down": turned[::-1], "left-right": turned[:, ::-1]}[flip]


def read_gain(
    path: Path | str, shape: tuple[int, int] | None, rotation: Rotation = 0, flip: Flip = "none", *, reciprocal: bool = False
) -> Gain:
    """Read a gain reference for movies of `shape`.

    Parameters
    ----------
    path
        MRC, TIFF or DigitalMicrograph (``.dm3``, ``.dm4``) with one image. TIFF and DigitalMicrograph rows are reversed as those of TIFF
        movies; those of Thermo Fisher's ``.gain`` and ``.raw`` files, which go with EER movies and are TIFF too, are not.
    shape
        ``(height, width)`` of the movies' frames; None takes the reference as it is. A reference of exactly half that is expanded: the
        movies are super-resolution, the reference is of the sensor.
    rotation, flip
        As in `oriented`.
    reciprocal
        Whether counts are to be divided by the reference.

    Raises
    ------
    Failure
        ``gain-invalid`` (not one image, NaN or infinite values, no good pixel) or ``gain-shape`` naming both shapes.
    """
    reference = read_reference(path)
    turned, notes = fitted(oriented(reference, rotation, flip), shape, path, reference.shape, rotation)
    if reciprocal:
        turned = np.where(turned > 0, 1 / np.where(turned > 0, turned, 1), 0).astype(np.float32)
    return _normalised(turned, Path(path), notes)


def read_dark(path: Path | str, shape: tuple[int, int] | None, rotation: Rotation = 0, flip: Flip = "none") -> NDArray[np.float32]:
    """Read a dark reference, which is taken off each raw frame; it lies as the gain reference of the same camera does.

    Raises
    ------
    Failure
        As `read_gain` does, with the same codes.
    """
    reference = read_reference(path, "dark")
    dark, _ = fitted(oriented(reference, rotation, flip), shape, path, reference.shape, rotation, "dark")
    return np.ascontiguousarray(dark)


def read_reference(path: Path | str, what: str = "gain") -> NDArray[np.float32]:
    """Return the one image of a gain or dark reference as it is stored, MRC row order."""
    path = Path(path)
    movie = open_movie(path, flip_rows=path.suffix.lower() not in _UNTURNED)
    if movie.frames != 1:
        raise Failure(
            f"{what}-invalid", f"{path}: {movie.frames} images; a {what} reference has one.", f"Give the {what} reference, not a movie."
        )
    reference = movie.read(0, 1)[0]
    broken = ~np.isfinite(reference)
    if broken.any():
        y, x = (int(value) for value in np.argwhere(broken)[0])
        raise Failure(
            f"{what}-invalid",
            f"{path}: {int(broken.sum())} values of the {what} reference are NaN or infinite, the first at x {x}, y {y}.",
            "Take a new reference, or set those pixels to 0 to have them filled from their neighbours.",
        )
    return reference


def fitted(
    turned: NDArray[np.float32], shape: tuple[int, ...] | None, path: Path | str, stored: tuple[int, ...], rotation: int, what: str = "gain"
) -> tuple[NDArray[np.float32], list[str]]:
    """Return a turned reference in the movies' shape, expanded where they are super-resolution, and what is to be told of that."""
    if shape is None or turned.shape == tuple(shape):
        return turned, []
    if (2 * turned.shape[0], 2 * turned.shape[1]) != tuple(shape):
        raise _other_shape(Path(path), stored, turned.shape, (shape[0], shape[1]), rotation, what)
    note = f"{what} reference of {_size(turned.shape)} expanded by 2 to the movies' {_size(shape)}"
    return np.repeat(np.repeat(turned, 2, axis=0), 2, axis=1), [note]


def _normalised(reference: NDArray[np.float32], path: Path, notes: list[str]) -> Gain:
    good = reference > 0
    if not good.any():
        raise Failure("gain-invalid", f"{path}: no value of the gain reference is above 0.", "Check that this is the gain reference.")
    mean = float(reference[good].mean(dtype=np.float64))
    factors = np.where(good, np.clip(reference / np.float32(mean), _LOWEST, _HIGHEST), np.float32(0)).astype(np.float32)
    clipped = int((good & ((reference < _LOWEST * mean) | (reference > _HIGHEST * mean))).sum())
    if clipped:
        notes.append(f"{clipped} factors limited to {_LOWEST:g} to {_HIGHEST:g} times the mean")
    dead = int(good.size - good.sum())
    if dead:
        notes.append(f"{dead} dead pixels (reference zero or negative) are filled from their neighbours")
    return Gain(np.ascontiguousarray(factors), np.ascontiguousarray(~good), tuple(notes))


def _other_shape(
    path: Path, stored: tuple[int, ...], turned: tuple[int, ...], wanted: tuple[int, int], rotation: int, what: str
) -> Failure:
    sideways = turned[::-1]
    if sideways == wanted or (2 * sideways[0], 2 * sideways[1]) == wanted:
        other = "0 or 180" if rotation in (90, 270) else "90 or 270"
        cure = f"A gain rotation of {other}° would make it fit: try both, with and without a flip; the right one gives even images."
    elif (turned[0], turned[1]) == (2 * wanted[0], 2 * wanted[1]):
        cure = "The reference is of super-resolution movies, these are binned by 2: give the reference binned by 2."
    else:
        cure = "Give the reference that was recorded with these movies."
    after = "" if stored == turned else f" ({_size(turned)} once turned by {rotation}°)"
    return Failure(f"{what}-shape", f"{path}: {what} reference of {_size(stored)} px{after}, movies of {_size(wanted)} px.", cure)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} × {shape[0]}"
