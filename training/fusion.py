"""Learn what votes, scores and looks are worth to pick.consensus: ``python -m training.fusion``, about 4 minutes of one core.

Micrographs of faint particles of 120 Å (clusters and rings at 20 e/Å² near 1 µm; rods, which are thinner, at 20 to 40 e/Å² and 1 to 3 µm), two
of eight with carbon or ice, are picked by `pick.blob`, `pick.template` (projections of the true map) and `pick.deep`, once at their own thresholds and
once far below. Logistic regression tells what makes a position true. Written to standard output is `WORTH` of
``cryoloom/numerics/picking/fusion.py``.
"""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from cryoloom.numerics.ctf.model import ctf
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.learn.detect import detect
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.scorer import read_scorer
from cryoloom.numerics.learn.weights import read_weights, shipped_weights
from cryoloom.numerics.picking.bank import Bank, build_bank
from cryoloom.numerics.picking.blob import find_blobs
from cryoloom.numerics.picking.fusion import KINDS, witnesses
from cryoloom.numerics.picking.groups import group_picks
from cryoloom.numerics.picking.matched_filter import find_matches
from cryoloom.numerics.picking.matching import match_points
from cryoloom.numerics.picking.scene import reduce_micrograph, resampled_micrograph
from cryoloom.numerics.picking.selection import BLOBS, MATCHES, best_apart, particle_probability
from cryoloom.numerics.picking.templates import SAMPLING, evenly_spaced_views, projections
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import Phantom, random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.numerics.simulate.specimen import Specimen
from cryoloom.protocols.pick.template import COARSE, FINE, SHARE

Array = NDArray[np.float64]
Image = NDArray[np.float32]

SEEDS = (101, 102)
FAINT = {
    "cluster": ((20.0, 22.0), (10_000.0, 13_000.0)),
    "ring": ((20.0, 22.0), (10_000.0, 13_000.0)),
    "rod": ((20.0, 40.0), (10_000.0, 30_000.0)),
}
"""Dose, e/Å², and defocus, Å, of the particles of each shape."""

DIAMETER, PIXEL, SIDE, PARTICLES, MICROGRAPHS = 120.0, 1.5, 896, 45, 8
MICROSCOPE = Microscope(300.0, 2.0, 0.1)
THRESHOLDS = ((0.5, 0.5, 0.3), (0.05, 0.05, 0.1))
"""Least scores of the pickers in the order of `KINDS`: their own, and far below."""

RADIUS, APART, WITHIN, BORDER = 0.25, 0.6, 0.2, 0.3
"""Diameters: of one particle's picks, between picks of one picker, of a pick from its particle, of the border."""

RIDGE = 1.0


def particle(shape: str, seed: int) -> Phantom:
    """Return the particle of a shape; each seed has another."""
    return random_phantom(1000 * seed + int(DIAMETER), DIAMETER, shape=shape)


def fields(shape: str, phantom: Phantom, seed: int) -> Iterator[tuple[Specimen, Image]]:
    """Yield the micrographs of a particle, as `benchmarks.picking` draws them: the last two have carbon and ice."""
    doses, defoci = FAINT[shape]
    for number in range(MICROGRAPHS):
        dirt = (("",) * (MICROGRAPHS - 2) + ("carbon", "ice"))[number]
        rng = np.random.default_rng((seed, int(DIAMETER), len(shape), number))
        recipe = Recipe(
            height=SIDE, width=SIDE, pixel_size=PIXEL, particles=PARTICLES, gradient=0.04, defocus_min=defoci[0], defocus_max=defoci[1],
            contaminants=6.0 * (dirt == "ice"), carbon_fraction=float(dirt == "carbon"),
        )  # fmt: skip
        specimen = draw_specimen(recipe, [phantom], MICROSCOPE, rng)
        yield specimen, micrograph(specimen, MICROSCOPE, rng.uniform(*doses), rng)


def templates(phantom: Phantom, diameter: float = DIAMETER, pixel: float = PIXEL) -> tuple[Bank, float]:
    """Return the projections of the true map every 20°, turned, and their pixel size in Å, as `pick.template` makes them by default."""
    working = max(SAMPLING * min(max(diameter / SHARE, FINE), COARSE), pixel)
    volume = density(phantom, 2 * round(0.6 * diameter / pixel), pixel).astype(np.float32)
    views = projections(volume, pixel, evenly_spaced_views(20.0, point_group("C1")), working, diameter)
    return build_bank(np.ascontiguousarray(views, dtype=np.float32), 10.0), working


class Picked:
    """All candidates of the three pickers on the micrographs of one particle, what is true, and the micrographs as the networks see them."""

    def __init__(self, drawn: Iterable[tuple[Specimen, Image]], phantom: Phantom, diameter: float = DIAMETER, pixel: float = PIXEL) -> None:
        network = Detector()
        read_weights(network, shipped_weights("pick-deep"))
        bank, working = templates(phantom, diameter, pixel)
        self.across = diameter / pixel
        self.scenes, self.truth, found, self.deep = [], [], [], []
        for specimen, image in drawn:
            defocus = specimen.defocus
            transfer = partial(
                ctf, defocus_u=defocus.u, defocus_v=defocus.v, defocus_angle=defocus.angle, phase_shift=defocus.plate,
                voltage=MICROSCOPE.voltage, cs=MICROSCOPE.cs, amplitude_contrast=MICROSCOPE.amplitude_contrast,
            )  # fmt: skip
            found.append(
                (
                    find_blobs(reduce_micrograph(image, pixel, diameter), border=BORDER),
                    find_matches(resampled_micrograph(image, pixel, working, diameter), bank, transfer, border=BORDER),
                )
            )
            self.scenes.append(reduce_micrograph(image, pixel, diameter, grain=GRAIN))
            self.deep.append(detect(self.scenes[-1], network.eval(), least=THRESHOLDS[1][2], distance=APART, border=BORDER))
            self.truth.append(np.array([(one.x, one.y) for one in specimen.particles]).reshape(-1, 2))
        self.listed = list(zip(*found, strict=True))
        self.sure = []
        for each, kind in zip(self.listed, (BLOBS, MATCHES), strict=True):
            counts = [len(one.x) for one in each]
            features, decoys = (np.concatenate([getattr(one, name) for one in each]) for name in ("features", "decoys"))
            score = particle_probability(features, np.repeat(np.arange(len(counts)), counts), decoys, kind)
            self.sure.append(np.split(score, np.cumsum(counts)[:-1]))

    def picks(self, number: int, picker: int, least: float) -> tuple[Array, Array]:
        """Return places ``(n, 2)`` and scores ``(n,)`` of one picker on one micrograph."""
        if KINDS[picker] == "pick.deep":
            found, score = self.deep[number], self.deep[number].confidence
            best = np.flatnonzero(score >= least)
        else:
            found, score = self.listed[picker][number], self.sure[picker][number]
            best = best_apart(found.x, found.y, score, found.strength, least=least, distance=APART * self.across)
        return np.column_stack([found.x, found.y])[best], score[best]

    def gathered(self, pickers: tuple[int, ...], thresholds: tuple[float, ...]) -> Iterator[tuple[Array, Array, Array]]:
        """Yield the gathered positions of each micrograph: places ``(n, 2)``, the pickers' scores ``(n, pickers)`` or NaN, and the looks ``(n,)``."""
        for number, scene in enumerate(self.scenes):
            picks = [self.picks(number, picker, thresholds[picker]) for picker in pickers]
            groups = group_picks([places for places, _ in picks], RADIUS * self.across)
            scores = np.full(groups.members.shape, np.nan)
            for column, (_, score) in enumerate(picks):
                has = groups.members[:, column] >= 0
                scores[has, column] = score[groups.members[has, column]]
            x, y = (torch.from_numpy(axis / scale) for axis, scale in zip((groups.x, groups.y), scene.scale[::-1], strict=True))
            looks = read_scorer(None).scores(scene.pixels, x, y).mean(dim=0).double().numpy()
            yield np.column_stack([groups.x, groups.y]), scores, looks

    def positions(self, pickers: tuple[int, ...], thresholds: tuple[float, ...]) -> Iterator[tuple[Array, NDArray[np.bool_]]]:
        """Yield `witnesses` of the gathered positions of each micrograph, and which are true."""
        for (places, scores, looks), truth in zip(self.gathered(pickers, thresholds), self.truth, strict=True):
            true = np.zeros(len(looks), dtype=bool)
            true[match_points(places, truth, WITHIN * self.across)[0]] = True
            yield witnesses(scores, looks), true


def fitted(seen: Array, true: NDArray[np.bool_]) -> Array:
    """Return the weights of logistic regression with a ridge, by Newton's method."""
    weights = np.zeros(seen.shape[1])
    for _ in range(30):
        expected = 1.0 / (1.0 + np.exp(-seen @ weights))
        curvature = (seen * (expected * (1.0 - expected))[:, None]).T @ seen + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, seen.T @ (true - expected) - RIDGE * weights)
    return weights


def main() -> None:
    """Draw, pick, fit and write."""
    torch.set_num_threads(1)
    sets = [Picked(fields(shape, phantom, seed), phantom) for shape in FAINT for seed in SEEDS for phantom in [particle(shape, seed)]]
    for count in (2, 3):
        for pickers in combinations(range(len(KINDS)), count):
            parts = [part for each in sets for thresholds in THRESHOLDS for part in each.positions(pickers, thresholds)]
            seen, true = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
            names, worth = (tuple(KINDS[picker] for picker in pickers), tuple(round(float(each), 2) for each in fitted(seen, true)))
            sys.stdout.write(f"    {names}: {worth},\n")


if __name__ == "__main__":
    main()
