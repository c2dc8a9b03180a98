"""Template images: projections of a map, or class averages, centred, masked and sampled as coarsely as their band allows."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from cryoloom.numerics.fourier.transforms import centred_irfft2, resample_images, shift_images
from cryoloom.numerics.geometry.coverage import fibonacci_directions
from cryoloom.numerics.geometry.euler import euler_to_matrix
from cryoloom.numerics.geometry.symmetry import PointGroup
from cryoloom.numerics.masks.soft import cosine_edge
from cryoloom.numerics.reconstruct.grids import reference_grid
from cryoloom.numerics.reconstruct.kernels import gather
from cryoloom.numerics.reconstruct.resample import matched

Array = NDArray[np.float64]
Images = NDArray[np.float32]

SAMPLING = 0.45
"""Working pixel over the low-pass: the band ends at nine tenths of Nyquist."""

ROOM = 1.3
"""Side of a template, in diameters."""

REACH, EDGE = 0.5, 0.1
"""Radius of the mask and width of its edge, in diameters."""


def evenly_spaced_views(step: float, group: PointGroup) -> Array:
    """Return rot and tilt ``(n, 2)`` in degrees of directions about `step` degrees apart over one asymmetric unit, at least one."""
    count = max(1, round(4.0 * np.pi / np.deg2rad(step) ** 2))
    directions = fibonacci_directions(count)
    kept = directions[group.in_unit(directions)] if group.order > 1 else directions
    kept = kept if len(kept) else directions[:1]
    rot = np.rad2deg(np.arctan2(kept[:, 1], kept[:, 0]))
    return np.stack([rot, np.rad2deg(np.arccos(np.clip(kept[:, 2], -1.0, 1.0)))], axis=1)


def projections(volume: Images, pixel_size: float, angles: Array, working: float, diameter: float) -> Images:
    """Return the projections ``(n, b, b)`` of a map ``(d, d, d)`` of `pixel_size` Å along `angles` ``(n, 2)``, at `working` Å."""
    box = template_box(diameter, working)
    volume = matched(volume, pixel_size, box, working)
    radius = box / 2 - 1.0
    grid = reference_grid(volume, radius, box)
    ky, kx = np.meshgrid(np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1), indexing="ij")
    inside = kx**2 + ky**2 <= radius**2
    rotations = euler_to_matrix(angles[:, 0], angles[:, 1], np.zeros(len(angles))).astype(np.float32)
    slices = np.empty((len(angles), int(inside.sum()), 2), np.float32)
    gather(grid, kx[inside].astype(np.float32), ky[inside].astype(np.float32), np.ascontiguousarray(rotations), slices)
    transforms = torch.zeros((len(angles), box, box // 2 + 1), dtype=torch.complex64)
    transforms[:, torch.from_numpy(inside)] = torch.view_as_complex(torch.from_numpy(slices))
    return masked(centred_irfft2(transforms, (box, box)).numpy(), diameter / working)


def resampled(images: Images, pixel_size: float, working: float, diameter: float) -> Images:
    """Return class averages ``(n, s, s)`` of `pixel_size` Å at `working` Å, ``(n, b, b)``, each moved to its centre of mass."""
    size = images.shape[-1]
    # The extent that either pixel divides best: a template may be wrong by a thousandth of its size.
    sides = np.arange(size, size + 65)
    ratio = pixel_size / working
    side = int(sides[np.argmin(np.abs(np.round(sides * ratio) / (sides * ratio) - 1.0))])
    edge = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    padded = _cropped(images - np.median(edge, axis=1)[:, None, None], side)
    small = torch.fft.fftshift(
        resample_images(torch.fft.ifftshift(torch.from_numpy(padded), dim=(-2, -1)), (round(side * ratio),) * 2), dim=(-2, -1)
    )
    centred = shift_images(small, torch.from_numpy(-centres_of_mass(small.numpy(), diameter / working)))
    return masked(_cropped(centred.numpy(), template_box(diameter, working)), diameter / working)


def template_box(diameter: float, working: float) -> int:
    """Return the even side in px of templates of particles of `diameter` Å at `working` Å."""
    return 2 * int(np.ceil(0.5 * ROOM * diameter / working))


def masked(images: Images, diameter: float) -> Images:
    """Return images ``(n, b, b)`` under a soft disc of `diameter` px, the mean of its rim taken off."""
    axis = np.arange(images.shape[-1]) - images.shape[-1] // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    weight = cosine_edge(radius - REACH * diameter, max(EDGE * diameter, 1.5))
    rim = (weight > 0.02) & (weight < 0.98)
    return ((images - images[:, rim].mean(axis=1)[:, None, None]) * weight).astype(np.float32)


def looks_dark(images: Images, diameter: float) -> bool:
    """Return whether the templates ``(n, b, b)`` are darker within half of `diameter` px than at their rim: then their sign is wrong."""
    axis = np.arange(images.shape[-1]) - images.shape[-1] // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    inner, rim = radius < 0.3 * diameter, (radius > 0.5 * diameter) & (radius < 0.65 * diameter)
    return float(np.median(images[:, inner].mean(axis=1) - images[:, rim].mean(axis=1))) < 0.0


def centres_of_mass(images: Images, diameter: float) -> NDArray[np.float32]:
    """Return x and y ``(n, 2)`` in px from the middle of what is bright within one `diameter` of it."""
    axis = (np.arange(images.shape[-1]) - images.shape[-1] // 2).astype(np.float32)
    near = np.hypot(axis[:, None], axis[None, :]) < 0.75 * diameter
    smooth = np.stack([gaussian_filter(image, 0.05 * diameter) for image in images])
    bright = np.clip(smooth - 0.3 * smooth[:, near].max(axis=1)[:, None, None], 0.0, None) * near
    total = np.maximum(bright.sum(axis=(1, 2)), 1e-12)
    return np.stack([(bright.sum(axis=1) @ axis) / total, (bright.sum(axis=2) @ axis) / total], axis=1).astype(np.float32)


def turned(images: Images, angles: Array) -> Tensor:
    """Return every image ``(n, b, b)`` turned by every angle in degrees, y towards x: ``(n, angles, b, b)``.

    Bicubic, from samples twice as dense; a projection turned by psi is the projection at psi.
    """
    count, box = len(images), images.shape[-1]
    fine = torch.fft.fftshift(
        resample_images(torch.fft.ifftshift(torch.from_numpy(images), dim=(-2, -1)), (2 * box, 2 * box)), dim=(-2, -1)
    )[None]
    axis = torch.arange(box, dtype=torch.float32) - box // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    out = torch.empty((count, len(angles), box, box))
    for number, angle in enumerate(np.deg2rad(angles)):
        cosine, sine = float(np.cos(angle)), float(np.sin(angle))
        # Where each sample comes from, in samples of the dense image from its middle.
        source = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1) * 2.0
        grid = (source + 0.5) / box
        out[:, number] = torch.nn.functional.grid_sample(fine, grid[None], mode="bicubic", padding_mode="zeros", align_corners=False)[0]
    return out


def _cropped(images: Images, box: int) -> Images:
    """Cut or pad images ``(n, s, s)`` to `box`, the middle ``s // 2`` going to ``box // 2``."""
    size = images.shape[-1]
    out = np.zeros((len(images), box, box), np.float32)
    low, high = min(size // 2, box // 2), min(size - size // 2, box - box // 2)
    source, target = slice(size // 2 - low, size // 2 + high), slice(box // 2 - low, box // 2 + high)
    out[:, target, target] = images[:, source, source]
    return out
