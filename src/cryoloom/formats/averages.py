"""Class averages, or particles in their place, read for methods that take them as clean views: bright, square, one grid, phases right."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import Classes2D, Particles
from cryoloom.formats.alignment import DEFOCUS, optics_of
from cryoloom.formats.common_grid import CommonGrid
from cryoloom.formats.stack import read_particles
from cryoloom.spec import Failure

Images = NDArray[np.float32]

BAD_FRACTION = 0.2
"""Averages without content that are left out; more mean that something went wrong before."""


@dataclass(frozen=True)
class Averages:
    """Images in memory.

    Attributes
    ----------
    images
        ``(n, box, box)``, `box` even; phases of particles are flipped where their CTF is negative.
    rows
        The set's rows of these images, in the same order.
    pixel_size
        Å/px.
    left_out
        Id to reason of images that cannot be used; classes without members are not even named.
    warnings
        What the user should know.
    """

    images: Images
    rows: pl.DataFrame
    pixel_size: float
    left_out: dict[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def box(self) -> int:
        """Return the images' box."""
        return self.images.shape[-1]


def usable_rows(averages: Classes2D | Particles) -> pl.DataFrame:
    """Return the enabled rows, of classes those with members."""
    rows = averages.enabled()
    return rows.filter(pl.col("count") > 0) if isinstance(averages, Classes2D) else rows


def read_averages(averages: Classes2D | Particles, least: int) -> Averages:
    """Read the images of a set.

    Raises
    ------
    Failure
        ``averages-few`` for fewer than `least` that can be used, ``averages-broken`` for too many that cannot, ``stack-box`` for classes of
        several boxes, ``averages-mixed`` for images that are not square.
    """
    rows = usable_rows(averages)
    if rows.height < least:
        raise Failure("averages-few", f"{rows.height} averages; at least {least} are needed.", "Give more classes, or particles.")
    images, pixel_size, warnings = _of_classes(averages, rows) if isinstance(averages, Classes2D) else _of_particles(averages, rows)
    if images.shape[1] != images.shape[2]:
        shape = " x ".join(map(str, images.shape[1:]))
        raise Failure("averages-mixed", f"Images of {shape} px; averages must be square.", "Make them square first.")
    finite = np.asarray(np.isfinite(images).all(axis=(1, 2)))
    content = images.max(axis=(1, 2)) > images.min(axis=(1, 2))
    good = finite & content
    left_out = {
        int(each): "constant" if fine else "values not finite"
        for each, fine in zip(rows["id"].to_numpy()[~good], finite[~good], strict=True)
    }
    if len(left_out) > BAD_FRACTION * rows.height or rows.height - len(left_out) < least:
        raise Failure(
            "averages-broken",
            f"{len(left_out)} of {rows.height} averages are constant or hold values that are not finite.",
            "Classify again, or choose classes that show something.",
        )
    if left_out:
        listed = ", ".join(map(str, list(left_out)[:10])) + (" …" if len(left_out) > 10 else "")
        warnings.append(f"Left out, being constant or not finite: {listed}.")
    images = images[good]
    if images.shape[-1] % 2:
        images = np.pad(images, ((0, 0), (1, 0), (1, 0)), mode="edge")  # the centre of an even box is one further
    return Averages(images, rows.filter(pl.Series(good)), pixel_size, left_out, tuple(warnings))


def _of_classes(classes: Classes2D, rows: pl.DataFrame) -> tuple[Images, float, list[str]]:
    sizes = rows["pixel_size"].unique().to_list() if "pixel_size" in rows.columns else [classes.meta["pixel_size"]]
    if len(sizes) > 1:
        told = ", ".join(f"{size:g}" for size in sorted(sizes))
        raise Failure("averages-mixed", f"Averages of several pixel sizes: {told} Å.", "Give the classes of one run.")
    place = rows.select("id").join(classes.items.with_row_index("place").select("id", "place"), on="id", maintain_order="left")["place"]
    return read_particles(classes, place.to_numpy().astype(np.int64)), float(sizes[0]), []


def _of_particles(particles: Particles, rows: pl.DataFrame) -> tuple[Images, float, list[str]]:
    groups = particles.groups
    dark = sorted({number for number in rows["optics_group"].unique() if groups[number].get("contrast") == "dark"})
    if dark:
        raise Failure(
            "particles-dark",
            f"Images of optics group {', '.join(map(str, dark))} are dark on bright ground.",
            "Import or extract them bright.",
        )
    grid = CommonGrid.of(particles, rows)
    images, warnings = grid.read(np.arange(rows.height)), grid.notices()
    if all(name in rows.columns and not rows[name].null_count() for name in DEFOCUS):
        for number in rows["optics_group"].unique().sort():
            own = (rows["optics_group"] == number).to_numpy()
            if not groups[number].get("ctf_premultiplied"):
                images[own] = _phases_flipped(images[own], rows.filter(pl.Series(own)), groups[number], grid.pixel_size)
    return images, grid.pixel_size, warnings


def _phases_flipped(images: Images, rows: pl.DataFrame, group: dict[str, Any], pixel_size: float) -> Images:
    """Return images with the sign of their CTF taken off."""
    import torch

    from cryoloom.numerics.fourier.grids import frequencies_2d

    box = images.shape[-1]
    ky, kx = (axis.double() / pixel_size for axis in frequencies_2d(box, box))
    plate = rows["phase_shift"] if "phase_shift" in rows.columns else pl.Series([0.0] * rows.height)
    defocus = [
        torch.from_numpy(column.cast(pl.Float64).to_numpy().copy())[:, None, None] for column in (*(rows[name] for name in DEFOCUS), plate)
    ]
    sign = optics_of(group, "full", phases_only=True).transfer(kx[None], ky[None], *defocus)
    return torch.fft.irfft2(torch.fft.rfft2(torch.from_numpy(images)) * sign, s=(box, box)).numpy()
