"""Particle sets as the alignment engine takes them: checked, and read in blocks into memory, or again and again if they would not fit it.

Heavy libraries are imported inside the functions; protocols may import this module at their top.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import Classes3D, Mask, Particles, Volume
from cryoloom.formats.common_grid import CommonGrid
from cryoloom.formats.mrc import read_mrc
from cryoloom.spec import Failure, WrongUse

if TYPE_CHECKING:
    from cryoloom.numerics.align.images import Defocus, ImageSet
    from cryoloom.numerics.align.optics import Optics

BLOCK = 256
HELD = 3 << 28
"""Bytes of coefficients up to which they are held in memory; the images of larger sets are read and transformed whenever they are needed."""
BAD_FRACTION = 0.01
"""Images without content or with values that are not finite are left out up to this fraction; more mean that the stack is broken."""
DEFOCUS = ("defocus_u", "defocus_v", "defocus_angle")
POSE = ("rot", "tilt", "psi", "origin_x", "origin_y")
SAME_PARTICLE = 0.25
"""Boxes nearer than this part of the mask's diameter hold one particle, and go into one half."""


class Sampled(Protocol):
    """Whatever has a box (px) and a pixel size (Å)."""

    @property
    def box(self) -> int: ...  # noqa: D102
    @property
    def pixel_size(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Alignable:
    """Images in memory, and what was found on the way.

    Attributes
    ----------
    images
        See `cryoloom.numerics.align.images`.
    rows
        The set's rows of these images, in the same order, with the columns of their optics group.
    pixel_size, box
        Å/px and px.
    mask_diameter
        Å, at most the box.
    left_out
        Id to reason of images that cannot be used.
    warnings
        What the user should know.
    """

    images: "ImageSet"
    rows: pl.DataFrame
    pixel_size: float
    box: int
    mask_diameter: float
    left_out: dict[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def alignable(
    particles: Particles,
    mask_diameter: float,
    *,
    finest: float | None = None,
    least: int = 2,
    transfer: str = "full",
    zero_mask: bool = True,
    seed: int = 0,
) -> Alignable:
    """Read a particle set for alignment.

    Parameters
    ----------
    particles
        Bright particles; optics groups of other boxes and pixel sizes are brought to those of the largest group.
    mask_diameter
        Å, of the circle inside which images are compared.
    finest
        Å; coefficients beyond are not kept. None keeps all.
    least
        Fewest images that will do.
    transfer
        See `cryoloom.data.alignment.TransferFunction`.
    zero_mask
        Fill what the circle cuts off with zeros; otherwise with noise like the background's, drawn by `seed`.

    Raises
    ------
    Failure
        ``particles-dark``, ``particles-few``, ``particles-mixed`` (images not square), ``particles-broken`` (too many unusable images).
    WrongUse
        ``mask-diameter`` when the circle is too small to align anything.
    """
    from cryoloom.numerics.align.images import ImageSet
    from cryoloom.numerics.align.storage import held_bytes

    rows = particles.enabled()
    if rows.height < least:
        raise Failure("particles-few", f"{rows.height} enabled particles; at least {least} are needed.", "Select or pick more.")
    groups = _acquisition(particles, rows)
    grid = CommonGrid.of(particles, rows)
    pixel_size, box = grid.pixel_size, grid.box
    left_out, scale = _survey(grid, mask_diameter / pixel_size)
    warnings = grid.notices()
    if left_out:
        warnings.append(f"{len(left_out)} images are constant or hold values that are not finite; they are left out.")
        rows = rows.filter(~pl.col("id").is_in(list(left_out)))
        grid = replace(grid, rows=rows)
    if mask_diameter > grid.extent:
        warnings.append(f"The mask diameter of {mask_diameter:g} Å exceeds the box of {grid.extent:.0f} Å and is cut to it.")
        mask_diameter = grid.extent
    if mask_diameter < 16 * pixel_size:
        raise WrongUse(
            "mask-diameter",
            f"A mask of {mask_diameter:g} Å is {mask_diameter / pixel_size:.0f} px across.",
            f"Give the particle's largest diameter plus a tenth, in Å; the box is {box * pixel_size:.0f} Å.",
        )
    normalise = not (abs(scale[0]) < 0.2 and 0.5 < scale[1] < 2.0)
    if normalise:
        warnings.append(f"Backgrounds have mean {scale[0]:.3g} and deviation {scale[1]:.3g}; every image is normalised to 0 and 1.")
    known = [name for name in DEFOCUS if name in rows.columns and rows[name].null_count() == 0]
    if len(known) < len(DEFOCUS) and transfer != "none":
        warnings.append("The particles carry no defocus: their transfer function is taken as 1. Estimate CTFs before extraction.")
    index = {group["optics_group"]: number for number, group in enumerate(groups)}
    last = box // 2 if finest is None else min(box // 2, max(8, int(np.ceil(box * pixel_size / finest))))
    images = ImageSet.of(
        _blocks(grid) if held_bytes(last) * rows.height <= HELD else grid.read,
        rows.height,
        box,
        pixel_size,
        mask_diameter,
        last=last,
        optics=tuple(
            optics_of(group, transfer, finest=grid.finest(group["optics_group"]))
            for group in groups
        ),
        group=rows["optics_group"].replace_strict(index, return_dtype=pl.Int64).to_numpy(),
        defocus=_defocus(rows) if len(known) == len(DEFOCUS) and transfer != "none" else None,
        normalise=normalise,
        noise=None if zero_mask else _background(grid, last, mask_diameter / pixel_size, normalise),
        seed=seed,
    )  # fmt: skip
    return Alignable(images, rows, pixel_size, box, mask_diameter, left_out, tuple(warnings))


def optics_of(group: Mapping[str, Any], transfer: str, *, phases_only: bool = False, finest: float = 0.0) -> "Optics":
    """Return what the images of an optics group share; 300 kV and an amplitude contrast of 0.1 where it does not say.

    `transfer` is a `cryoloom.data.alignment.TransferFunction`; `phases_only` and `finest` (Å) are those of `Optics`.
    """
    from cryoloom.numerics.align.optics import Optics

    return Optics(
        group.get("voltage") or 300.0, group.get("cs") or 0.0, group.get("amplitude_contrast") or 0.1,
        phase_flipped=bool(group.get("phase_flipped")), premultiplied=bool(group.get("ctf_premultiplied")),
        from_first_peak=transfer == "from-first-peak", phases_only=phases_only, finest=finest,
        beam_tilt=(group.get("beam_tilt_x") or 0.0, group.get("beam_tilt_y") or 0.0),
    )  # fmt: skip


def map_rows(maps: Volume | Classes3D, number: int = 0) -> pl.DataFrame:
    """Return the rows of a set of maps; of one of them when `number` is its class, or its id in a set without classes.

    Raises
    ------
    WrongUse
        ``no-such-map`` for a number that the set has not.
    """
    column = "class_id" if "class_id" in maps.items.columns else "id"
    rows = maps.items if not number else maps.items.filter(pl.col(column) == number)
    if rows.is_empty():
        known = ", ".join(map(str, maps.items[column]))
        raise WrongUse("no-such-map", f"The reference has no map {number}; it has {known}.", "Give one of these.")
    return rows


def on_grid(maps: Volume | Classes3D | Mask, path: str, loaded: Sampled, warn: Callable[[str], None]) -> NDArray[np.float32]:
    """Return one map of a set, ``(box, box, box)``, at the box and pixel size of some images; `warn` is told when that took resampling.

    Raises
    ------
    Failure
        ``map-unusable`` for a map of one value, or with values that are not finite.
    """
    from cryoloom.numerics.reconstruct.resample import matched

    image = read_mrc(maps.file(path))
    data = image.data.astype(np.float32)
    if not np.isfinite(data).all() or data.max() <= data.min():
        raise Failure("map-unusable", f"{path} is constant or holds values that are not finite.", "Choose another map.")
    size = float(maps.meta.get("pixel_size") or image.pixel_size)
    if data.shape[0] != loaded.box or abs(size / loaded.pixel_size - 1) > 1e-3:
        warn(f"{path} of {data.shape[0]} voxels at {size:g} Å is resampled to {loaded.box} at {loaded.pixel_size:g} Å.")
    return matched(data, size, loaded.box, loaded.pixel_size)


def mask_on_grid(mask: Mask | None, loaded: Sampled, warn: Callable[[str], None]) -> NDArray[np.float32] | None:
    """Return a mask ``(box, box, box)`` at the box and pixel size of the particles, between 0 and 1; None for none.

    Raises
    ------
    Failure
        ``mask-range`` for values beyond 0 and 1, as well as what `on_grid` raises.
    """
    if mask is None:
        return None
    path = str(mask.items.item(0, "mask_path"))
    data = on_grid(mask, path, loaded, warn)
    low, high = float(data.min()), float(data.max())
    # Resampling may overshoot a soft edge a little.
    if low < -0.1 or high > 1.1:
        raise Failure("mask-range", f"{path} goes from {low:.2f} to {high:.2f}; a mask is between 0 and 1.", "Make it by postprocess.mask.")
    return np.clip(data, 0.0, 1.0)


def poses_of(loaded: Alignable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotations ``(n, 3, 3)`` and shifts ``(n, 2)`` in px that the particles carry.

    Raises
    ------
    Failure
        ``poses-missing``.
    """
    from cryoloom.numerics.geometry.euler import euler_to_matrix

    missing = [name for name in POSE if name not in loaded.rows.columns or loaded.rows[name].null_count()]
    if missing:
        raise Failure("poses-missing", f"Not all particles have {', '.join(missing)}.", "Refine them first, or let poses be sought.")
    rot, tilt, psi, x, y = (loaded.rows[name].cast(pl.Float64).to_numpy() for name in POSE)
    return euler_to_matrix(rot, tilt, psi), np.stack([x, y], axis=1) / loaded.pixel_size


def alike_images(rows: pl.DataFrame) -> NDArray[np.int64] | None:
    """Return which of some particles' images share a grey scale, ``(n,)`` from 0: those of a micrograph, or else of an optics group; None where all do."""
    by = "micrograph_id" if "micrograph_id" in rows.columns and not rows["micrograph_id"].null_count() else "optics_group"
    found, which = np.unique(rows[by].to_numpy(), return_inverse=True)
    return which.astype(np.int64) if len(found) > 1 else None


def half_sets(loaded: Alignable, seed: int) -> NDArray[np.int64]:
    """Return 0 or 1 for every image, ``(n,)``: the half that it is in already, or one at random.

    Raises
    ------
    Failure
        ``half-sets`` where some have a half and some have not.
    """
    rows = loaded.rows
    if "half_set" not in rows.columns or rows["half_set"].null_count() == rows.height:
        return halves_at_random(loaded, seed)
    given = rows["half_set"].to_numpy()
    if rows["half_set"].null_count() or not set(np.unique(given)) <= {1, 2} or len(np.unique(given)) < 2:
        raise Failure(
            "half-sets",
            "The column half_set must hold 1 or 2 for every particle, or be absent.",
            "Remove the column, or complete it.",
        )
    return given.astype(np.int64) - 1


def halves_at_random(loaded: Alignable, seed: int) -> NDArray[np.int64]:
    """Return 0 or 1 for every image, ``(n,)``; boxes around one particle share a half."""
    from cryoloom.numerics.align.halves import duplicate_groups, random_halves

    rows = loaded.rows
    groups = np.arange(rows.height)
    if (places := places_of(rows)) is not None:
        groups = duplicate_groups(rows["micrograph_id"].to_numpy(), places[:, 0], places[:, 1], SAME_PARTICLE * loaded.mask_diameter)
    return random_halves(groups, seed)


def places_of(rows: pl.DataFrame) -> NDArray[np.float64] | None:
    """Return x, y in Å ``(n, 2)`` of particles on their micrographs; None where they, or the micrographs, are not known of all."""
    needed = ("micrograph_id", "x", "y")
    if not set(needed) <= set(rows.columns) or rows.select(needed).null_count().sum_horizontal().item():
        return None
    size = rows["micrograph_pixel_size"] if "micrograph_pixel_size" in rows.columns else rows["pixel_size"]
    return np.stack([rows[axis].to_numpy() * size.to_numpy() for axis in ("x", "y")], axis=1)


def _acquisition(particles: Particles, rows: pl.DataFrame) -> list[dict[str, Any]]:
    present = set(rows["optics_group"].unique().to_list())
    groups = [group for group in particles.optics if group["optics_group"] in present]
    dark = [group["optics_group"] for group in groups if group.get("contrast") == "dark"]
    if dark:
        raise Failure(
            "particles-dark",
            f"Particles of optics group {', '.join(map(str, dark))} are dark on bright ground.",
            "Extract them with inverted contrast, or import them with the right contrast: bright.",
        )
    return groups


def _survey(grid: CommonGrid, diameter: float) -> tuple[dict[int, str], tuple[float, float]]:
    """Look at all images once: unusable ones, and the median mean and deviation of the backgrounds."""
    from cryoloom.numerics.align.coefficients import background

    bad: dict[int, str] = {}
    means, spreads = [], []
    ids = grid.rows["id"].to_numpy()
    for start, images in zip(range(0, len(ids), BLOCK), _blocks(grid), strict=True):
        if images.shape[-2] != images.shape[-1]:
            shape = " x ".join(map(str, images.shape[1:]))
            raise Failure("particles-mixed", f"Images of {shape} px; particles must be square.", "Extract them again.")
        finite = np.asarray(np.isfinite(images).all(axis=(1, 2)))
        with np.errstate(invalid="ignore"):
            high, low = images.max(axis=(1, 2)), images.min(axis=(1, 2))
            # Resampling leaves rounding errors of a constant.
            usable = finite & (high - low > 1e-5 * np.maximum(np.abs(high), np.abs(low)))
        bad.update({int(ids[start + i]): "constant" if finite[i] else "values not finite" for i in np.flatnonzero(~usable)})
        mean, spread = background(images[usable], diameter)
        means.append(mean)
        spreads.append(spread)
    if len(bad) > BAD_FRACTION * len(ids):
        raise Failure(
            "particles-broken",
            f"{len(bad)} of {len(ids)} particle images are constant or hold values that are not finite.",
            "The stack or its table is broken: extract or import the particles again.",
        )
    return bad, (float(np.median(np.concatenate(means))), float(np.median(np.concatenate(spreads))))


def _background(grid: CommonGrid, last: int, diameter: float, normalise: bool) -> NDArray[np.float64]:
    """Return the spectrum of the noise outside the circle, from images spread over the set."""
    from cryoloom.numerics.align.coefficients import HalfPlane
    from cryoloom.numerics.align.storage import Preparation, background_power

    rows = np.unique(np.linspace(0, grid.rows.height - 1, BLOCK).astype(np.int64))
    preparation = Preparation(HalfPlane.of(grid.box, last), diameter, normalise)
    return background_power(preparation.plane, preparation.scaled(grid.read(rows)), preparation.mask)


def _blocks(grid: CommonGrid) -> Iterator[NDArray[np.float32]]:
    count = grid.rows.height
    for start in range(0, count, BLOCK):
        yield grid.read(np.arange(start, min(start + BLOCK, count)))


def _defocus(rows: pl.DataFrame) -> "Defocus":
    from cryoloom.numerics.align.images import Defocus

    plate = rows["phase_shift"].fill_null(0.0) if "phase_shift" in rows.columns else pl.Series([0.0] * rows.height)
    u, v, angle, shift = (column.cast(pl.Float64).to_numpy() for column in (*(rows[name] for name in DEFOCUS), plate))
    return Defocus(u, v, angle, shift)
