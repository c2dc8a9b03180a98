"""The particles of one movie polished: their motion found, and their frames summed anew into a stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.alignment import optics_of
from cryoloom.formats.motion_fields import displacements
from cryoloom.formats.movie_frames import prepared_frames
from cryoloom.formats.mrc import MrcWriter, read_mrc
from cryoloom.spec import Failure, Item

if TYPE_CHECKING:
    from cryoloom.numerics.align.coefficients import Coefficients, HalfPlane
    from cryoloom.numerics.align.half_references import HalfReferences
    from cryoloom.numerics.motion.frame_weights import FrameWeights
    from cryoloom.numerics.motion.particle_frames import ParticleFrames

Array = NDArray[np.float64]

SIDE = 32
"""Places an axis at which the motion of the micrograph is taken."""
FIRST = 2.0
"""Å, standard deviation of a particle's place in the first frame about where its pose and its micrograph's motion have it."""
COARSEST = 40.0
"""Å; coarser detail is not compared: it is ice and slopes of the illumination."""


@dataclass(frozen=True)
class Polishing:
    """What the particles of all movies share.

    Attributes
    ----------
    halves, mask
        Files of both half maps and of the mask, on the grid of the particles.
    fsc
        Of these halves.
    meta
        Of the movies: gain, dark and defects.
    optics
        Optics groups of the particles, by number.
    prior
        σ_V in Å for an e/Å², σ_D in Å, σ_A in Å for an e/Å².
    reach
        Å, farthest a particle may be from its micrograph's motion.
    """

    halves: tuple[Path, Path]
    mask: Path
    fsc: Array
    meta: Mapping[str, Any]
    optics: Mapping[int, Mapping[str, Any]]
    prior: tuple[float, ...]
    reach: float

    def track(self, item: Item) -> dict[str, Any]:
        """Return the motion of a movie's particles, and what its frames tell of their weights; lists are flat: frames first, then particles or shells."""
        from cryoloom.numerics.motion.polish import MotionPrior, most_probable

        scene, (velocity, distance, acceleration) = self.scene(item), self.prior
        cut, start, scale = scene.cut, scene.start, scene.scale
        correlation, step = cut.correlations(start, scene.models, scene.expected, scene.plane, self.reach / scene.size)
        prior = MotionPrior.of(scene.places, cut.frames.count, velocity * scale, distance, acceleration * scale, FIRST / scene.size)
        track = start + most_probable(correlation, step, prior)
        cross, norm = cut.agreement(track, scene.models, scene.weight, scene.plane)
        return {
            "particle_ids": item["particle_ids"],
            **{f"track_{axis}": (track[..., number] * scene.size).ravel().tolist() for number, axis in enumerate("xy")},
            **{f"start_{axis}": (start[..., number] * scene.size).ravel().tolist() for number, axis in enumerate("xy")},
            "frames": cut.frames.count,
            "cross": cross.ravel().tolist(),
            "norm": norm.ravel().tolist(),
        }

    def scene(self, item: Item) -> "Scene":
        """Return a movie's particles as they are compared."""
        import torch

        from cryoloom.numerics.motion.dose import left

        torch.set_num_threads(1)
        group, cut = self._group(item), self.opened(item)
        size, plane, models = float(group["pixel_size"]), *self._models(item, group)
        start = self._start(item, cut)
        noise = cut.noise(start, plane)
        used = plane.shell >= max(int(np.ceil(cut.box * size / COARSEST)), 1)
        weight = np.where(used, 1.0 / np.maximum(noise, 1e-30)[plane.shell], 0.0)
        frequency = np.arange(plane.last + 1) / (cut.box * size)
        doses, dose = self.doses(item, cut.frames.count), float(item.row.get("dose_per_frame") or 1.0)
        kept = np.ones((cut.frames.count, plane.last + 1))
        if doses is not None:
            kept = left(torch.from_numpy(frequency)[None], torch.from_numpy(doses)[:, None], float(item["voltage"])).numpy()
        cross, norm = cut.agreement(start, models, weight, plane)
        grey = max(float((cross * kept).sum() / (norm * kept**2).sum()), 0.0)
        places = np.stack([item["x"], item["y"]], axis=1) * float(group["micrograph_pixel_size"])
        return Scene(cut, start, plane, models, weight, grey * weight * kept[:, plane.shell], places, size, dose / size)

    def doses(self, item: Item, count: int) -> Array | None:
        """Return the e/Å² that the specimen has had by the end of each frame; None where it is not known."""
        dose = item.row.get("dose_per_frame")
        if dose is None:
            return None
        before = float(item.row.get("pre_exposure") or 0.0) + (int(item.row.get("first_frame") or 1) - 1) * dose
        return before + (np.arange(count) + 1) * dose

    def _group(self, item: Item) -> Mapping[str, Any]:
        return self.optics[item["particle_group"]]

    def opened(self, item: Item) -> "ParticleFrames":
        """Return the boxes of a movie's particles in its frames."""
        from cryoloom.numerics.fourier.ratios import close_ratio
        from cryoloom.numerics.motion.particle_frames import ParticleFrames
        from cryoloom.numerics.particles.boxes import TOLERANCE

        group, count = self._group(item), len(item["shift_x"])
        movie_size, size = float(item.row.get("movie_pixel_size") or item["pixel_size"]), float(item["pixel_size"])
        first, scale = int(item.row.get("first_frame") or 1), size / movie_size
        left, top = (round(float(item.row.get(f"offset_{axis}") or 0.0) / movie_size) for axis in "xy")
        region = (left, top, round(item["width"] * scale), round(item["height"] * scale)) if left or top else None
        frames = prepared_frames(item, self.meta, first, first + count - 1, region)
        factor = float(group["pixel_size"]) / float(group["micrograph_pixel_size"])
        centres = np.rint(np.stack([item["x"], item["y"]], axis=1) / factor).astype(np.int64)
        return ParticleFrames(
            frames, close_ratio(float(group["pixel_size"]) / movie_size, tolerance=TOLERANCE), centres, int(group["box_size"])
        )

    def _start(self, item: Item, cut: "ParticleFrames") -> Array:
        """Return where the micrograph's motion has the particles in each frame, ``(F, n, 2)`` px of the boxes."""
        from scipy.ndimage import map_coordinates

        grid = displacements(item.row, item.root, SIDE).numpy() / float(cut.ratio)
        height, width = cut.frames.shape
        at = (cut.centres * float(cut.ratio) + 0.5) / [width, height] * SIDE - 0.5
        found = np.empty((len(grid), len(at), 2))
        for number, frame in enumerate(grid):
            for axis in range(2):
                found[number, :, axis] = map_coordinates(frame[..., axis], at.T[::-1], order=3, mode="nearest")
        return found

    def _models(self, item: Item, group: Mapping[str, Any]) -> tuple["HalfPlane", "Coefficients"]:
        """Return the coefficients compared, and what the images of the particles should be ``(n, K)``, their shifts and beam tilt put in."""
        import torch

        from cryoloom.numerics.align.coarse import shift_factors
        from cryoloom.numerics.align.coefficients import HalfPlane
        from cryoloom.numerics.geometry.euler import euler_to_matrix

        references = _references(self.halves, self.mask, tuple(self.fsc.tolist()))
        box, size = int(group["box_size"]), float(group["pixel_size"])
        plane, optics = HalfPlane.of(box, references.last), optics_of(group, "full")
        x, y = plane.kx.astype(np.float64) / (box * size), plane.ky.astype(np.float64) / (box * size)
        rotations = euler_to_matrix(*(np.asarray(item[name]) for name in ("rot", "tilt", "psi")))
        slices = references.slices(plane, np.asarray(item["half_set"]) - 1, rotations)
        defocus = (torch.tensor(item[name])[:, None] for name in ("defocus_u", "defocus_v", "defocus_angle", "phase_shift"))
        transfer = optics.transfer(torch.from_numpy(x)[None], torch.from_numpy(y)[None], *defocus).numpy()
        origins = np.stack([item["origin_x"], item["origin_y"]], axis=1) / size
        return plane, slices * transfer * shift_factors(plane, -origins) * optics.correction(
            plane.kx / (box * size), plane.ky / (box * size)
        ).conj()


@dataclass(frozen=True)
class Scene:
    """A movie's particles as they are compared.

    Attributes
    ----------
    start
        px, motion of the micrograph, ``(F, n, 2)``.
    models
        What images should be, ``(n, K)``.
    weight, expected
        One over the power of the noise, ``(K,)``, and that times what is left of the signal, ``(F, K)``.
    places
        Å, ``(n, 2)``.
    size, scale
        Å of a px, and px a frame in an Å for an e/Å².
    """

    cut: "ParticleFrames"
    start: Array
    plane: "HalfPlane"
    models: "Coefficients"
    weight: Array
    expected: Array
    places: Array
    size: float
    scale: float


@dataclass(frozen=True)
class Trial:
    """A first look at some movies: how well particles are followed under each of several priors.

    Attributes
    ----------
    axes
        Values of σ_V, σ_D and σ_A that are tried.
    """

    polishing: Polishing
    axes: tuple[tuple[float, ...], ...]

    def judge(self, item: Item) -> dict[str, Any]:
        """Return the scores of all priors in a movie, flat."""
        from cryoloom.numerics.motion.prior_training import folds, held_out

        scene = self.polishing.scene(item)
        reach = self.polishing.reach / scene.size
        looked = [
            scene.cut.correlations(scene.start, scene.models * fold, scene.expected, scene.plane, reach) for fold in folds(scene.plane)
        ]
        pair, step = [one for one, _ in looked], looked[0][1]
        return {"scores": held_out(pair, step, scene.places, self.axes, scene.scale, FIRST / scene.size).ravel().tolist()}


@dataclass(frozen=True)
class Shining:
    """The second look at the movies: their frames are summed along the particles' motions."""

    polishing: Polishing
    weights: "FrameWeights"

    def write(self, item: Item) -> list[dict[str, Any]]:
        """Write the stack of a movie's particles; return a row each."""
        import torch

        from cryoloom.numerics.particles.normalise import background_level, background_radius, normalise

        torch.set_num_threads(1)
        group = self.polishing.optics[item["particle_group"]]
        cut = self.polishing.opened(item)
        size, shape = float(group["pixel_size"]), (item["frames_polished"], len(item["particle_ids"]))
        track, start = (np.stack([np.reshape(item[f"{name}_{axis}"], shape) for axis in "xy"], axis=-1) for name in ("track", "start"))
        frequency = np.arange(cut.box // 2 + 1) / (cut.box * size)
        boxes = cut.weighted_sum(track / size, self.weights.weights(frequency)[: len(track)])
        if not np.isfinite(boxes).all():
            raise Failure(
                "movie-frame", f"{item['micrograph_name']}: sums of its frames hold values that are not numbers.", "Leave it out."
            )
        radius = background_radius(cut.box, None)
        mean, sigma = background_level(boxes, radius)
        path = item.output("_shiny.mrcs")
        with MrcWriter(path, (cut.box, cut.box), size) as writer:
            writer.append(normalise(boxes, radius))
        change = np.sqrt(((track - start - (track - start).mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0))
        return [
            {
                "id": one, "stack_path": path, "stack_index": number, "background_mean": float(mean[number]), "background_sigma": float(sigma[number]),
                "track_x": track[:, number, 0].tolist(), "track_y": track[:, number, 1].tolist(), "track_change": float(change[number]),
            }
            for number, one in enumerate(item["particle_ids"])
        ]  # fmt: skip


@lru_cache(maxsize=1)
def _references(halves: tuple[Path, Path], mask: Path, fsc: tuple[float, ...]) -> "HalfReferences":
    """Return the references, made once in a process."""
    from cryoloom.numerics.align.half_references import HalfReferences

    first, second = (read_mrc(path).data.astype(np.float32) for path in halves)
    return HalfReferences.weighted((first, second), read_mrc(mask).data.astype(np.float32), np.array(fsc))
