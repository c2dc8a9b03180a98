"""Point groups as lists of rotations, in RELION's and Xmipp's axes, and poses taken modulo a group.

A map of a group looks the same from every mate: ``V(R x) = V(x)`` for each operator R, so the poses ``A`` and ``A · R`` show the same image.
The asymmetric unit of directions is the set of those nearer to `POLE` than to any of its mates: about the z axis, and for Cn and Dn the wedge
``-180/n ≤ rot ≤ 180/n``, for Dn above the equator.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.geometry.rotations import rotation_from_vector

Array = NDArray[np.float64]
Axis = tuple[tuple[float, float, float], int]

LARGEST_FOLD = 99
GOLDEN = (1 + np.sqrt(5.0)) / 2
POLE = np.array([np.sin(np.deg2rad(5.0)), 0.0, np.cos(np.deg2rad(5.0))])
"""A direction on no axis of any group, so that all its mates differ."""
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_AXES: dict[str, tuple[Axis, ...]] = {
    "T": ((_Z, 3), ((0.0, np.sqrt(2.0), 1.0), 2)),
    "O": ((_X, 4), (_Y, 4)),
    "I1": ((_X, 2), (_Z, 2), ((GOLDEN, 0.0, -1.0), 5)),
    "I2": ((_X, 2), (_Z, 2), ((1.0, 0.0, GOLDEN), 5)),
    "I3": ((_Z, 5), (_Y, 2), ((-2.0, 0.0, 1.0), 5)),
    "I4": ((_Z, 5), (_Y, 2), ((2.0, 0.0, 1.0), 5)),
}
_ORDERS = {"T": 12, "O": 24, "I1": 60, "I2": 60, "I3": 60, "I4": 60}
_IMPROPER = re.compile(r"C[IS]|(C\d+)[VH]|S(\d+)|(D\d+)[VHD]|(T)[DH]|(O)H|(I[1-4]?)H")


class NoSuchGroup(ValueError):
    """A name that is no group of rotations; `fix` is one that may be meant."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class PointGroup:
    """A group of rotations; see `point_group`.

    Attributes
    ----------
    name
        ``C1``, ``D7``, ``I2``: upper case, ``I`` written as ``I2``.
    operators
        ``(order, 3, 3)``, the identity first.
    axes
        Generating axes, unit vectors ``(x, y, z)``, with their folds.
    """

    name: str
    operators: Array
    axes: tuple[tuple[Array, int], ...]

    @property
    def order(self) -> int:
        """Return the number of operators."""
        return len(self.operators)

    @cached_property
    def on_grid(self) -> NDArray[np.bool_]:
        """Return which operators carry a cubic grid onto itself, ``(order,)``; they form a group."""
        return (np.abs(self.operators - np.rint(self.operators)) < 1e-9).all(axis=(1, 2))

    @cached_property
    def _walls(self) -> Array:
        """Return the normals, pointing out, of the planes that bound the asymmetric unit, ``(order - 1, 3)``."""
        away = self.operators[1:] @ POLE - POLE
        return away / np.linalg.norm(away, axis=1, keepdims=True)

    def in_unit(self, directions: Array, margin: float = 0.0) -> NDArray[np.bool_]:
        """Return which unit vectors ``(..., 3)`` lie in the asymmetric unit, or within `margin` degrees outside one of its walls."""
        return (np.asarray(directions) @ self._walls.T <= np.sin(np.deg2rad(margin)) + 1e-9).all(axis=-1)

    def reduced(self, rotations: Array) -> Array:
        """Return for poses ``(..., 3, 3)`` the mate whose direction lies in the asymmetric unit."""
        nearness = rotations[..., 2, :] @ (self.operators @ POLE).T
        return rotations @ self.operators[np.argmax(nearness, axis=-1)]

    def mates(self, rotations: Array) -> Array:
        """Return all mates of poses ``(..., 3, 3)``, shape ``(..., order, 3, 3)``."""
        return rotations[..., None, :, :] @ self.operators

    def cosine(self, first: Array, second: Array) -> Array:
        """Return the cosine of the angle between poses ``(..., 3, 3)``, the nearest mates taken."""
        return (self._traces(first, second).max(axis=-1) - 1.0) / 2.0

    def angle(self, first: Array, second: Array) -> Array:
        """Return the angle in degrees between poses ``(..., 3, 3)``, the nearest mates taken."""
        return np.rad2deg(np.arccos(np.clip(self.cosine(first, second), -1.0, 1.0)))

    def _traces(self, first: Array, second: Array) -> Array:
        """Return the traces of ``first · R · secondᵀ``, ``(..., order)``."""
        relative = np.swapaxes(second, -1, -2) @ first
        return np.swapaxes(relative, -1, -2).reshape(*relative.shape[:-2], 9) @ self.operators.reshape(-1, 9).T


@lru_cache(maxsize=64)
def point_group(name: str) -> PointGroup:
    """Return the group of a name: ``Cn``, ``Dn``, ``T``, ``O``, ``I1`` to ``I4``, ``I`` (which is ``I2``), in either case.

    Raises
    ------
    NoSuchGroup
        For any other name, and for groups with mirrors, which no chiral particle can have.
    """
    key = name.strip().upper() or "C1"
    key = "I2" if key == "I" else key
    fold = re.fullmatch(r"([CD])([1-9]\d*)", key)
    if fold and int(fold[2]) <= LARGEST_FOLD:
        axes: tuple[Axis, ...] = ((_Z, int(fold[2])),) + (((_X, 2),) if fold[1] == "D" else ())
        order = int(fold[2]) * len(axes)
    elif key in _AXES:
        axes, order = _AXES[key], _ORDERS[key]
    else:
        raise _refusal(name.strip(), key)
    units = tuple((np.array(axis) / np.linalg.norm(axis), fold) for axis, fold in axes)
    operators = _closed([rotation_from_vector(axis * (2 * np.pi / fold)) for axis, fold in units], order)
    return PointGroup(key, operators, units)


def _closed(generators: list[Array], order: int) -> Array:
    """Return all products of the generators, the identity first.

    Raises
    ------
    ArithmeticError
        If they are not `order` rotations that form a group.
    """
    found = np.eye(3)[None]
    while True:
        products = np.concatenate([found, *(found @ generator for generator in generators)])
        _, first = np.unique(np.rint(products.reshape(-1, 9) * 1e4), axis=0, return_index=True)
        distinct = products[np.sort(first)]
        if len(distinct) == len(found) or len(distinct) > order:
            break
        found = distinct
    whole = np.rint(distinct)
    distinct = np.where(np.abs(distinct - whole) < 1e-9, whole, distinct)
    if len(distinct) != order or np.abs(np.linalg.det(distinct) - 1).max() > 1e-6:
        raise ArithmeticError(f"{len(distinct)} operators close a group that should have {order}")
    distinct.setflags(write=False)
    return distinct


def _refusal(given: str, key: str) -> NoSuchGroup:
    if key in ("I5", "I5H"):
        return NoSuchGroup(f"{given}: other programs carry the name but none defines it; icosahedral settings are I1 to I4", "I2")
    improper = _IMPROPER.fullmatch(key)
    if improper:
        proper = next((part for part in improper.groups() if part), "C1")
        proper = f"C{int(proper) // 2 or 1}" if key[0] == "S" else proper
        return NoSuchGroup(f"{given}: contains mirrors or inversions, which would turn a chiral particle into its other hand", proper)
    near = re.match(r"([CD])0*([1-9]\d?)(?!\d)|[TO]|I[1-4]?", key)
    fix = f"{near[1]}{near[2]}" if near and near[1] else near[0] if near else "C1"
    return NoSuchGroup(
        f"{given}: no such point group; there are C1 to C{LARGEST_FOLD}, D1 to D{LARGEST_FOLD}, T, O and I1 to I4 (I is I2)", fix
    )


C1 = point_group("C1")
