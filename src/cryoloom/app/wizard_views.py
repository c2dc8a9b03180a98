"""Pictures that a form's wizards are drawn on: of a micrograph, of the mean particle, of a mask on its map, of a gain reference in its orientations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryoloom.app import catalogue
from cryoloom.app.forms import sort_values
from cryoloom.app.images import Images
from cryoloom.data import Classes2D, Coordinates, Micrographs, Particles
from cryoloom.data.identity import coordinate_scales
from cryoloom.data.picks import picked_on
from cryoloom.data.places import on_micrographs
from cryoloom.formats.averages import Averages, read_averages, usable_rows
from cryoloom.formats.detector import FOR_ORIENTATION
from cryoloom.report.raster import shrink, to_grey
from cryoloom.spec import WrongUse

SIDE = 640
"""Px of a micrograph's picture at the longer side."""
SMOOTHED = 1.0
"""Px of the picture by which noise is smoothed, so that particles stand out."""
MEAN_OF = 300
"""Particles that are averaged."""
SLICE = 220
"""Px that a slice of a map has at least."""
LARGEST = 400
"""Voxels a side of a map whose mask is made while somebody waits: it takes memory by the dozen of maps."""
BORDER = (255, 176, 0)


@dataclass(frozen=True)
class View:
    """A picture to measure on.

    Attributes
    ----------
    pixels
        ``(h, w)`` or ``(h, w, 3)``, row 0 at the top.
    pixel_size
        Å of one of its pixels.
    name
        Of what it shows.
    of
        How many such there are.
    image_pixel
        Å of a pixel of the image itself.
    places
        Particles, x and y in px of the picture.
    diameter
        Å, of the particles, 0 where it is not known.
    """

    pixels: NDArray[np.uint8]
    pixel_size: float
    name: str
    of: int
    image_pixel: float
    places: list[tuple[float, float]] = field(default_factory=list)
    diameter: float = 0.0


def micrograph_view(micrographs: Micrographs, place: int, coordinates: Coordinates | Particles | None = None) -> View:
    """Return the enabled micrograph at a place of its set, counted from 0 and beginning again after the last, with what was picked on it.

    Raises
    ------
    WrongUse
        ``no-micrographs``.
    """
    from cryoloom.formats.mrc import read_mrc

    rows = picked_on(micrographs.enabled())
    if rows.is_empty():
        raise WrongUse("no-micrographs", "The set has no enabled micrograph.", "Choose another set.")
    row = rows.row(place % rows.height, named=True)
    image = np.squeeze(read_mrc(micrographs.file(row["micrograph_path"])).data).astype(np.float32)
    small = shrink(image, SIDE)
    factor = image.shape[0] // small.shape[0]
    found: list[tuple[float, float]] = []
    if coordinates is not None:
        places = on_micrographs(coordinates.enabled(), coordinate_scales(coordinates), micrographs).filter(micrograph_id=row["id"])
        found = [((x + 0.5) / factor, (y + 0.5) / factor) for x, y in places.select("x", "y").iter_rows()]
    return View(
        pixels=to_grey(ndimage.gaussian_filter(small, SMOOTHED)),
        pixel_size=row["pixel_size"] * factor,
        name=row["micrograph_name"],
        of=rows.height,
        image_pixel=row["pixel_size"],
        places=found,
        diameter=float(coordinates.meta.get("diameter") or 0.0) if coordinates is not None else 0.0,
    )


def mean_particle(particles: Particles | Classes2D) -> View:
    """Return the mean of the first particles, or of class averages: a round mask is laid on it.

    Raises
    ------
    WrongUse
        ``no-images``.
    """
    if isinstance(particles, Classes2D):
        loaded = _averages(particles)
        name = f"mean of {len(loaded.images)} averages"
        return View(to_grey(loaded.images.mean(axis=0)), loaded.pixel_size, name, len(loaded.images), loaded.pixel_size)
    items = particles.enabled()
    if items.is_empty():
        raise WrongUse("no-images", "The set has no enabled particle.", "Choose another set.")
    first = items["optics_group"][0]
    ids = items.filter(optics_group=first)["id"].head(MEAN_OF)
    mean = np.mean([np.asarray(image, dtype=np.float32) for image in Images(particles, ids)], axis=0)
    group = next(each for each in particles.optics if each["optics_group"] == first)
    size = float(group["pixel_size"])
    name = f"mean of {len(ids)} particles"
    return View(to_grey(mean), size, name, len(items), size, diameter=float(particles.meta.get("diameter") or 0.0))


def filtered_average(averages: Particles | Classes2D, place: int, resolution: float) -> View:
    """Return the average at a place of its set, counted from 0 and beginning again after the last, as it is and low-passed at a resolution (Å), side by side.

    Raises
    ------
    WrongUse
        ``no-images``.
    """
    import torch

    from cryoloom.numerics.filters.maps import lowpass_curve
    from cryoloom.numerics.fourier.grids import radius_2d

    loaded = _averages(averages)
    image, box = loaded.images[place % len(loaded.images)], loaded.box
    curve = lowpass_curve(box, loaded.pixel_size, max(resolution, 2 * loaded.pixel_size))
    factor = np.interp(radius_2d(box, box).numpy() * box, np.arange(len(curve)), curve, right=0.0).astype(np.float32)
    coarse = torch.fft.irfft2(torch.fft.rfft2(torch.from_numpy(image)) * torch.from_numpy(factor), s=(box, box)).numpy()
    times = max(1, -(-SLICE // box))
    pixels = np.concatenate([to_grey(each) for each in (image, coarse)], axis=1).repeat(times, axis=0).repeat(times, axis=1)
    name = f"average {loaded.rows['id'][place % len(loaded.images)]}"
    return View(pixels, loaded.pixel_size / times, name, len(loaded.images), loaded.pixel_size)


def _averages(averages: Particles | Classes2D) -> Averages:
    if usable_rows(averages).is_empty():
        raise WrongUse("no-images", "The set has no average to show.", "Choose another set.")
    return read_averages(averages, 1)


@dataclass(frozen=True)
class MaskView:
    """A mask on the central slices of its low-passed map, across z, y and x.

    Attributes
    ----------
    view
        The slices side by side, the border of the mask, where it is a half, in colour.
    threshold
        Grey value of the surface.
    low, high
        Values of the low-passed map between which a threshold makes sense.
    volume
        Å³ inside of the mask, its soft edge included.
    """

    view: View
    threshold: float
    low: float
    high: float
    volume: float


def mask_view(protocol: Any) -> MaskView:
    """Return what a `postprocess.mask` with its inputs and parameters would make of its first map.

    Raises
    ------
    WrongUse
        ``too-large``, beyond `LARGEST`.
    Failure
        ``mask-empty``, ``map-nan``.
    """
    from cryoloom.numerics.filters.maps import lowpass
    from cryoloom.protocols.postprocess.mask import mean_map

    volume, pixel_size = mean_map(protocol.volume)
    if len(volume) > LARGEST:
        message = f"The map has {len(volume)} voxels a side; a mask is shown of {LARGEST} at the most."
        raise WrongUse("too-large", message, "Run it with the threshold left empty: its report shows the mask.")
    filtered = lowpass(volume, pixel_size, protocol.lowpass)
    mask, threshold, _ = protocol.mask_of(protocol.volume)
    middle, times = len(filtered) // 2, max(1, -(-SLICE // len(filtered)))
    slices = [
        _with_border(np.take(filtered, [middle], axis).squeeze(axis), np.take(mask, [middle], axis).squeeze(axis) > 0.5, times)
        for axis in range(3)
    ]
    view = View(np.concatenate(slices, axis=1), pixel_size / times, "", 1, pixel_size)
    low, high = float(np.median(filtered)), float(filtered.max())
    return MaskView(view, low if threshold is None else threshold, low, high, float(mask.sum(dtype="f8")) * pixel_size**3)


def _with_border(plane: NDArray[Any], inside: NDArray[np.bool_], times: int) -> NDArray[np.uint8]:
    """Return a slice in grey, each pixel `times` as wide, with the outermost pixels inside in colour."""
    grey = to_grey(plane).repeat(times, axis=0).repeat(times, axis=1)
    inside = inside.repeat(times, axis=0).repeat(times, axis=1)
    around = np.pad(inside, 1, constant_values=False)
    core = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    colours = np.repeat(grey[..., None], 3, axis=2)
    colours[inside & ~core] = BORDER
    return colours


@dataclass(frozen=True)
class GainView:
    """A gain reference as it could lie on its movies.

    Attributes
    ----------
    average
        Of frames of the movies, None where there are none.
    lies
        ``(rotation, flip, picture, fits)`` of the eight orientations; those do not fit whose shape is not that of the frames.
    found
        What the movies tell, an `Orientation`; None without movies.
    """

    average: NDArray[np.uint8] | None
    lies: list[tuple[int, str, NDArray[np.uint8], bool]]
    found: Any


def gain_view(values: Mapping[str, Any]) -> GainView:
    """Return what is known of the gain reference that a form of `import.movies` names.

    Raises
    ------
    WrongUse
        ``no-gain``, ``no-files``.
    Failure
        What is wrong with the files.
    """
    from cryoloom.formats.gain import oriented, read_reference
    from cryoloom.formats.gain_orientation import MOVIES, ORIENTATIONS, average_frames, find_orientation
    from cryoloom.formats.movie import open_movie
    from cryoloom.formats.sources import matching_files

    known = ("pattern", "gain", "dark", "defects", "eer_grouping", "eer_upsampling")
    given, _ = sort_values(catalogue.protocol("import.movies"), {name: values[name] for name in known if values.get(name)})
    gain, patterns = str(given.get("gain") or ""), [str(each) for each in given.get("pattern", ())]
    if not gain:
        raise WrongUse("no-gain", "No gain reference is chosen.", "Choose the file first.")
    others = [str(given.get(name) or "") for name in ("gain", "dark", "defects")]
    files = matching_files(patterns, leave_out=others) if patterns else []
    grouping, upsampling = int(given.get("eer_grouping", 40)), int(given.get("eer_upsampling", 1))
    movies = [open_movie(path, grouping=grouping, upsampling=upsampling) for path in files[:MOVIES]]
    averages = average_frames(movies, FOR_ORIENTATION)
    reference = read_reference(gain)
    shape = None if averages is None else averages.all.shape
    lies = []
    for rotation, flip in ORIENTATIONS:
        image = oriented(reference, rotation, flip)
        fits = shape is None or any(tuple(times * side for side in image.shape) == shape for times in (1, 2))
        lies.append((int(rotation), str(flip), _pattern(image), fits))
    found = None if averages is None else find_orientation(averages, gain)
    return GainView(None if averages is None else _pattern(averages.all), lies, found)


def _pattern(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the fixed pattern of a detector as a small picture: large features, which the eye compares."""
    return to_grey(shrink(np.asarray(image, dtype=np.float32), 160), low=2, high=98)
