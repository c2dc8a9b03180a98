"""The particles of one micrograph as a stack: binned, cleaned, flipped, cut, inverted and normalised, in this order."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.mrc import MrcWriter, read_mrc
from cryoloom.numerics.particles.normalise import background_level, background_radius, normalise, remove_dust, whole_normalised
from cryoloom.numerics.particles.scores import gini, grid, local_variance
from cryoloom.spec import Failure, Item

Image = NDArray[np.float32]

PIXELS_AT_ONCE = 1 << 22
"""Pixels of boxes that are worked on together; about 30 bytes each are held."""
BORDER, OUTSIDE = "box across the border", "outside of the micrograph"
"""Why a coordinate gives no particle."""


@dataclass(frozen=True)
class Recipe:
    """What is done to a micrograph and to the boxes cut out of it.

    Attributes
    ----------
    dust_threshold
        Robust standard deviations beyond which pixels are replaced; None leaves all.
    phase_flip, invert, fill_borders, float16
        As the parameters of `particles.extract`.
    normalisation
        ``ramp``, ``background``, ``image`` or ``none``.
    background_radius
        px of the boxes, or None.
    patch_size
        Window of the local variance, px of the micrograph; None for no scores.
    weighted
        Whether dose-weighted micrographs are taken where there are both.
    """

    dust_threshold: float | None
    phase_flip: bool
    invert: bool
    normalisation: str
    background_radius: float | None
    fill_borders: bool
    float16: bool
    patch_size: int | None
    weighted: bool


def cut_particles(item: Item, recipe: Recipe, ctf_columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Cut the boxes of one micrograph into one stack and return a row for each coordinate.

    Parameters
    ----------
    item
        The micrograph: ``particle_ids``, ``x`` and ``y`` (lists, px of the micrograph), ``box_size``, ``pixel_size`` (Å, of the boxes),
        ``micrograph_pixel_size``, and ``bin_over``, ``bin_under``: their ratio as a fraction.
    ctf_columns
        Columns of the item that its particles get.

    Returns
    -------
    list of dict
        ``left_out`` says why a coordinate gives no particle; it is empty for those in the stack. ``origin_x`` and ``origin_y`` are what the whole
        pixel of the cut centre leaves, Å, of the image as it is.
    """
    from cryoloom.numerics.particles.extract import inside, on_image  # brings torch, which who only looks for a format does not need

    image = _micrograph(item, weighted=recipe.weighted)
    ratio, box, pixel_size = Fraction(item["bin_over"], item["bin_under"]), item["box_size"], item["pixel_size"]
    factor = float(ratio)
    places = np.stack([item["x"], item["y"]], axis=1)
    exact = places / factor
    centres = np.rint(exact).astype(np.int64)
    there = on_image(places, image.shape)
    keep = np.flatnonzero(there if recipe.fill_borders else inside(places, box * factor, image.shape))
    scores = _scores(image, places, recipe.patch_size) if recipe.patch_size else {}
    columns: dict[str, Any] = {name: [item[name]] * len(places) for name in ctf_columns if name in item.row}
    path, index = item.output("_particles.mrcs"), np.full(len(places), -1)
    mean, sigma = (np.full(len(places), np.nan) for _ in range(2))
    if keep.size:
        index[keep] = np.arange(keep.size)
        small = _prepared(image, ratio, item, recipe)
        del image
        mean[keep], sigma[keep] = _write_boxes(path, small, centres[keep], item, recipe)
    origins = (centres - exact) * pixel_size
    why = np.where(index >= 0, "", np.where(there, BORDER, OUTSIDE))
    columns = {
        "id": item["particle_ids"],
        "micrograph_id": [item.id] * len(places),
        "micrograph_name": [item["micrograph_name"]] * len(places),
        "optics_group": [item["optics_group"]] * len(places),
        "stack_path": [path if number >= 0 else None for number in index],
        "stack_index": index.tolist(),
        "x": (centres[:, 0] * factor).tolist(),
        "y": (centres[:, 1] * factor).tolist(),
        "origin_x": origins[:, 0].tolist(),
        "origin_y": origins[:, 1].tolist(),
        **columns,
        "background_mean": mean.tolist(),
        "background_sigma": sigma.tolist(),
        **{name: values.tolist() for name, values in scores.items()},
        "left_out": why.tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _micrograph(item: Item, *, weighted: bool) -> Image:
    """Read what the boxes are cut from."""
    column = "weighted_path" if weighted and item.row.get("weighted_path") else "micrograph_path"
    image = np.ascontiguousarray(np.squeeze(read_mrc(item.file(column)).data), dtype=np.float32)
    if not np.isfinite(image).all():
        raise Failure("micrograph-nan", f"{item['micrograph_name']}: {np.count_nonzero(~np.isfinite(image))} pixels are not numbers.")
    return image


def _scores(image: Image, places: NDArray[np.float64], side: int) -> dict[str, NDArray[np.float64]]:
    """Return the local variance at each place, and the Gini coefficient of all local variances of the micrograph."""
    near = np.clip(np.rint(places).astype(np.int64), 0, np.array(image.shape[::-1]) - 1)
    everywhere = grid((image.shape[0], image.shape[1]), max(1, side // 2))
    variance = local_variance(image, side, np.concatenate([near, everywhere]))
    uneven = gini(variance[len(near) :])
    return {"score_by_variance": variance[: len(near)], "score_by_gini": np.full(len(near), uneven)}


def _prepared(image: Image, ratio: Fraction, item: Item, recipe: Recipe) -> Image:
    """Return the whole micrograph binned, without dust, its phases flipped."""
    from cryoloom.numerics.particles.extract import bin_image, flip_phases

    small = bin_image(image, ratio)
    if recipe.dust_threshold is not None:
        small, _ = remove_dust(small, recipe.dust_threshold, np.random.default_rng(item.seed))
    if recipe.phase_flip:
        defocus = tuple(float(item[name]) for name in ("defocus_u", "defocus_v", "defocus_angle", "phase_shift"))
        optics = {"voltage": item["voltage"], "cs": item["cs"], "ac": item["amplitude_contrast"]}
        small = flip_phases(small, item["pixel_size"], defocus, **optics)  # pyright: ignore[reportArgumentType] (four numbers)
    return small


def _write_boxes(path: Any, small: Image, centres: NDArray[np.int64], item: Item, recipe: Recipe) -> tuple[Any, Any]:
    """Write the boxes, some at a time; return mean and standard deviation of each background before it is normalised."""
    from cryoloom.numerics.particles.extract import cut_boxes

    box = item["box_size"]
    radius = background_radius(box, recipe.background_radius)
    levels = []
    with MrcWriter(path, (box, box), item["pixel_size"], mode=12 if recipe.float16 else 2) as writer:
        at_once = max(1, PIXELS_AT_ONCE // box**2)
        for start in range(0, len(centres), at_once):
            boxes = cut_boxes(small, centres[start : start + at_once], box)
            boxes = -boxes if recipe.invert else boxes
            levels.append(background_level(boxes, radius))
            writer.append(_normalised(boxes, radius, recipe.normalisation))
    return tuple(np.concatenate(each) for each in zip(*levels, strict=True))  # pyright: ignore[reportReturnType] (two)


def _normalised(boxes: Image, radius: float, how: str) -> Image:
    if how == "none":
        return boxes
    return whole_normalised(boxes) if how == "image" else normalise(boxes, radius, ramp=how == "ramp")
