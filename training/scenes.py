"""Training scenes: simulated micrographs at the working scale of the pickers, with where everything lies.

A scene is computed as a micrograph of coarse pixels and reduced by the function that reduces users' micrographs. Coarse pixels are exact here:
projections are band-limited, shot noise is white with the same density at any pixel size, and the transfer function and the camera's fall of
contrast act on frequencies in 1/Å, not in pixels. Only what is finer than the working pixel, and never used, is missing.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter

from cryoloom.numerics.picking.scene import reduce_micrograph
from cryoloom.numerics.simulate.contaminants import KINDS, carbon_film, draw_contaminant, phase_and_outline
from cryoloom.numerics.simulate.field import add_patch, ice, overlap
from cryoloom.numerics.simulate.films import BORDERS, border
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope, damage, detector_amplitude
from cryoloom.numerics.simulate.phantom import Phantom
from cryoloom.numerics.simulate.poses import pose_matrix, uniform_poses
from cryoloom.numerics.simulate.projection import box_for, project
from training.species import FAMILIES, draw_species

Image = NDArray[np.float32]
Array = NDArray[np.float64]

GRAIN = 24.0
"""Working pixels across a particle."""

CLASSES = ("clean", *KINDS, "carbon", *BORDERS, "sheet", "gold")
"""What `Scene.classes` counts: 0 is ice with or without particles."""

SHARED = 8
"""Scenes of this many successive seeds show one species of particle."""

FINER = (1.0, 1.25, 1.5, 2.0)
"""How many pixels of the micrograph may become one."""


@dataclass(frozen=True)
class Scene:
    """One reduced micrograph and its truth; all places and lengths in its pixels, the first pixel's centre at 0.

    Attributes
    ----------
    image
        ``(h, w)`` float32, particles bright, not yet standardised; as `reduce_micrograph` leaves it.
    centres
        ``(n, 2)`` x, y of the centres of mass of all whole particles; those that overlap a contaminant are never drawn.
    diameters
        ``(n,)`` twice the particle's largest radius.
    classes
        ``(h, w)`` uint8, see `CLASSES`: which contaminant covers the pixel.
    ignored
        ``(h, w)`` whether what is picked here is neither right nor wrong: particles on carbon.
    diameter
        The diameter that a user would have given; `GRAIN`, to a few per cent, while `diameters` differ from it as users err.
    pixel_size
        Å.
    species
        Seed of the phantom.
    """

    image: Image
    centres: Array
    diameters: Array
    classes: NDArray[np.uint8]
    ignored: NDArray[np.bool_]
    diameter: float
    pixel_size: float
    species: int


@dataclass(frozen=True)
class Ranges:
    """From what scenes are drawn, uniformly unless said.

    Parameters
    ----------
    families
        Names of `training.species`; one that is named twice is drawn twice as often.
    diameter
        Å, by its logarithm.
    error
        Given over true diameter.
    defocus
        Å, by its logarithm; the smallest particles are not taken nearer to focus than 8000.
    dose
        e/Å².
    empty
        Share of scenes without particles.
    contaminants
        Mean number in a scene of 256 × 256 pixels (Poisson, of a mean drawn from 0 to twice this).
    carbon
        Share of scenes with a carbon edge.
    denoised
        Share of scenes smoothed as publishers and viewers do.
    borders
        Share of scenes with the foil around a hole, or torn ice.
    sheets, beads
        As `contaminants`, of sheets of crystalline ice and beads of gold.
    """

    families: tuple[str, ...] = (*FAMILIES, "gas")
    diameter: tuple[float, float] = (80.0, 400.0)
    error: tuple[float, float] = (0.85, 1.2)
    defocus: tuple[float, float] = (8000.0, 35000.0)
    dose: tuple[float, float] = (15.0, 60.0)
    empty: float = 0.12
    contaminants: float = 2.0
    carbon: float = 0.2
    denoised: float = 0.25
    borders: float = 0.0
    sheets: float = 0.0
    beads: float = 0.0


TRAINING = Ranges()
DIRTY = replace(TRAINING, empty=0.5, contaminants=6.0, carbon=0.3)
"""Where pickers learn what is no particle: full of contaminants, and every other one without anything else."""


def draw_scene(seed: int, *, size: int = 256, ranges: Ranges = TRAINING, across: float = GRAIN) -> Scene:
    """Draw the scene of `seed`, `size` px wide and high (a multiple of 32), a particle about `across` px: a deterministic function of its arguments.

    Everything but the species comes from `seed`; the species and its diameter from ``seed // SHARED``.
    """
    kind = np.random.default_rng((seed // SHARED, 11))
    true_diameter = float(np.exp(kind.uniform(*np.log(ranges.diameter))))
    phantom = draw_species(seed // SHARED, true_diameter, ranges.families[int(kind.integers(len(ranges.families)))])
    rng = np.random.default_rng((seed, 12))
    finer = float(rng.choice(FINER))
    pixel_size = true_diameter * rng.uniform(*ranges.error) / across / finer  # of the micrograph
    field = _Field(round(size * finer), pixel_size, phantom, rng)
    field.add_contaminants(ranges, area=(size / 256.0) ** 2)
    if rng.random() >= ranges.empty:
        field.add_particles()
    counts = field.expose(ranges)
    if rng.random() < ranges.denoised:
        counts = _denoised(counts, finer, rng)
    reduced = reduce_micrograph(counts, pixel_size, across * finer * pixel_size, grain=across)
    rows = np.minimum(np.arange(size) * finer, field.size - 1).astype(int) + field.margin
    places = np.array(field.places).reshape(-1, 2) / finer
    return Scene(
        image=reduced.pixels.numpy(),
        centres=places,
        diameters=np.full(len(places), 2.0 * phantom.radius / reduced.pixel_size),
        classes=field.classes[np.ix_(rows, rows)],
        ignored=field.ignored[np.ix_(rows, rows)],
        diameter=reduced.diameter,
        pixel_size=reduced.pixel_size,
        species=seed // SHARED,
    )


class _Field:
    """A square field of view while things are put into it; `margin` px around it are drawn, too, and cut off on exposure."""

    def __init__(self, size: int, pixel_size: float, phantom: Phantom, rng: np.random.Generator) -> None:
        self.size, self.pixel_size, self.phantom, self.rng = size, pixel_size, phantom, rng
        self.radius = phantom.radius / pixel_size
        self.box = box_for(phantom.radius, pixel_size)
        self.margin = self.box // 2 + 8
        self.microscope = Microscope(float(rng.choice((200.0, 300.0))), 2.7, rng.uniform(0.07, 0.12))
        self.native = rng.uniform(0.7, 2.5)
        shape = (size + 2 * self.margin,) * 2
        # The spectrum of ice is flat: its variance in coarse pixels is that of the recorded ones times the ratio of areas.
        grain = rng.uniform(0.01, 0.05) * min(1.0, self.native / pixel_size)
        self.background = ice(shape, pixel_size, grain, self.microscope, rng)
        self.light = _light(shape[0], rng)
        self.particles = np.zeros(shape, dtype=np.float32)
        self.classes = np.zeros(shape, dtype=np.uint8)
        self.ignored = np.zeros(shape, dtype=bool)
        self.taken: list[tuple[float, float, float]] = []
        self.places: list[tuple[float, float]] = []

    def add_contaminants(self, ranges: Ranges, area: float) -> None:
        """Put in a carbon edge or none, and contaminants."""
        rng = self.rng
        if rng.random() < ranges.carbon:
            phase, covered = carbon_film(self.light.shape, self.microscope, rng, cover=rng.uniform(0.1, 0.6))
            grain = rng.uniform(0.02, 0.25) * min(1.0, self.native / self.pixel_size)
            self.background += phase + covered * ice(phase.shape, self.pixel_size, grain, self.microscope, rng)
            self.light *= np.where(covered, np.float32(rng.uniform(0.75, 1.0)), np.float32(1.0))
            self.classes[covered] = CLASSES.index("carbon")
        if ranges.borders and rng.random() < ranges.borders:
            kind = BORDERS[int(rng.integers(len(BORDERS)))]
            phase, covered = border(kind, self.light.shape, self.pixel_size, self.microscope, rng, grain=0.12 / self.pixel_size)
            if kind == "tear":
                self.background[covered] = 0.0
            self.background += phase
            self.classes[covered] = CLASSES.index(kind)
        for _ in range(int(rng.poisson(area * rng.uniform(0.0, 2.0 * ranges.contaminants)))):
            self.add_contaminant(KINDS[int(rng.integers(len(KINDS)))])
        for kind, mean in (("sheet", ranges.sheets), ("gold", ranges.beads)):
            for _ in range(int(rng.poisson(area * rng.uniform(0.0, 2.0 * mean))) if mean else 0):
                self.add_contaminant(kind)

    def add_contaminant(self, kind: str) -> None:
        """Put in one contaminant, anywhere."""
        rng, radius = self.rng, self.radius
        x, y = rng.uniform(-radius, self.size + radius, 2)
        contaminant = draw_contaminant(kind, float(x), float(y), 2.0 * self.phantom.radius, rng)
        phase, outline = phase_and_outline(contaminant, self.phantom, self.microscope, self.pixel_size, rng)
        corner = (round(float(y)) + self.margin - len(phase) // 2, round(float(x)) + self.margin - len(phase) // 2)
        add_patch(self.background, phase, *corner)
        classes, patch = overlap(self.classes, outline, *corner)
        classes[patch] = CLASSES.index(kind)
        self.taken.append((float(x), float(y), 0.5 * contaminant.diameter / self.pixel_size + 1.1 * radius))

    def add_particles(self) -> None:
        """Put in particles, few or crowded, none over a contaminant; now and then some on the carbon, which nobody wants."""
        rng, radius = self.rng, self.radius
        apart = 2.0 * radius * rng.uniform(0.7, 1.4)
        full = (self.size + 2.0 * radius) ** 2 / (1.45 * apart**2)
        count = int(np.ceil(full * rng.uniform(0.02, 1.0) ** 1.5))
        on_carbon = rng.random() < 0.5
        taken = np.array(self.taken).reshape(-1, 3)
        darts = np.empty((0, 2))
        for dart in rng.uniform(-radius, self.size - 1 + radius, (6 * count, 2)):
            clear = ((darts - dart) ** 2).sum(axis=1).min(initial=np.inf) >= apart**2
            if clear and np.all(((taken[:, :2] - dart) ** 2).sum(axis=1) >= taken[:, 2] ** 2):
                darts = np.concatenate([darts, dart[None]])
                if len(darts) == count:
                    break
        film = np.isin(self.classes, [CLASSES.index(kind) for kind in ("carbon", *BORDERS)])
        torn = self.classes == CLASSES.index("tear")
        turns = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
        for (x, y), angles in zip(darts, uniform_poses(len(darts), rng), strict=True):
            row, column = round(y) + self.margin, round(x) + self.margin
            rows = np.clip(np.rint(row + radius * np.sin(turns)).astype(int), 0, len(film) - 1)
            columns = np.clip(np.rint(column + radius * np.cos(turns)).astype(int), 0, len(film) - 1)
            filmed = bool(film[rows, columns].any() or film[np.clip(row, 0, len(film) - 1), np.clip(column, 0, len(film) - 1)])
            if filmed and not on_carbon or torn[np.clip(row, 0, len(film) - 1), np.clip(column, 0, len(film) - 1)]:
                continue
            off = ((x + self.margin - column) * self.pixel_size, (y + self.margin - row) * self.pixel_size)
            patch = project(self.phantom, pose_matrix(*angles), self.box, self.pixel_size, off)
            add_patch(self.particles, patch, row - self.box // 2, column - self.box // 2)
            if filmed:
                add_patch(self.ignored, _disc(radius), row - round(radius), column - round(radius))
            elif 0.0 <= x <= self.size - 1 and 0.0 <= y <= self.size - 1:
                self.places.append((float(x), float(y)))

    def expose(self, ranges: Ranges) -> Image:
        """Return the counts ``(size, size)`` of one exposure."""
        rng, scope = self.rng, self.microscope
        shape = self.background.shape
        kx, ky = frequencies(*shape, self.pixel_size)
        low, high = ranges.defocus
        mean = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        astigmatism = rng.uniform(0.0, 1000.0)
        defocus = Defocus(mean + astigmatism / 2.0, mean - astigmatism / 2.0, rng.uniform(-90.0, 90.0))
        dose = rng.uniform(*ranges.dose)
        squared = kx * kx + ky * ky
        decay = damage(kx, ky, 0.5 * dose, scope.voltage) * np.exp(-rng.uniform(0.0, 200.0) / 4.0 * squared)
        signal = forward(self.particles) * (scope.phase_per_mass * decay).astype(np.float32) + forward(self.background)
        transfer = scope.transfer(defocus, kx, ky) * detector_amplitude(kx, ky, self.native)
        image = 1.0 + backward(signal * (-2.0 * transfer).astype(np.float32), shape)
        expected = np.maximum(image, 0.02) * self.light * np.float32(dose * self.pixel_size**2)
        frame = slice(self.margin, self.margin + self.size)
        counts = rng.poisson(expected[frame, frame]).astype(np.float32)
        for _ in range(int(rng.poisson(1.5))):
            counts[int(rng.integers(self.size)), int(rng.integers(self.size))] *= 12.0
        return counts


def _light(size: int, rng: np.random.Generator) -> Image:
    """Return the relative illumination ``(size, size)``: a slope, and ice that is thicker here than there."""
    down, across = np.linspace(-1.0, 1.0, size)[:, None], np.linspace(-1.0, 1.0, size)[None, :]
    slope = rng.normal(0.0, 0.05, 2)
    waves = gaussian_filter(rng.standard_normal((size // 8, size // 8)), 4.0, mode="wrap")
    waves = np.kron(waves / waves.std(), np.ones((8, 8)))
    whole = np.zeros((size, size))
    whole[: len(waves), : len(waves)] = gaussian_filter(waves, 8.0)
    light = 1.0 + slope[0] * across + slope[1] * down + rng.uniform(0.0, 0.03) * whole
    return np.clip(light, 0.3, None).astype(np.float32)


def _disc(radius: float) -> NDArray[np.bool_]:
    reach = round(radius)
    axis = np.arange(-reach, reach + 1)
    return axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2


def _denoised(counts: Image, finer: float, rng: np.random.Generator) -> Image:
    """Return `counts` smoothed by a Gaussian, and often by a median after it, as denoised pictures are."""
    smooth = gaussian_filter(counts, finer * rng.uniform(0.4, 1.2))
    return median_filter(smooth, size=3) if rng.random() < 0.5 else smooth
