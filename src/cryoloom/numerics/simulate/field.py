"""Draw fields of view: scatter particles and contaminants in ice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryoloom.numerics.simulate.contaminants import COVERS, KINDS, Contaminant, carbon_film, draw_contaminant, phase_and_outline
from cryoloom.numerics.simulate.films import BORDERS, border
from cryoloom.numerics.simulate.fourier import backward, forward, frequencies
from cryoloom.numerics.simulate.optics import Defocus, Microscope, ice_amplitude
from cryoloom.numerics.simulate.phantom import Phantom, broken
from cryoloom.numerics.simulate.poses import uniform_poses
from cryoloom.numerics.simulate.projection import box_for
from cryoloom.numerics.simulate.specimen import Placed, Specimen

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """How fields of view are drawn.

    Parameters
    ----------
    height, width, pixel_size
        Of the frame, px and Å.
    particles
        How many are wanted; fewer are placed where there is no room.
    separation
        Least distance of particle centres, in particle diameters.
    contaminants
        Mean number a field (Poisson).
    carbon_fraction
        Share of fields with a carbon edge over a quarter of them; no particle lies on it.
    border_fraction
        Share of fields with the foil around a hole, or torn ice, at one side; no particle lies beyond.
    sheets, beads
        Mean numbers a field (Poisson) of sheets of crystalline ice and of beads of gold.
    grain
        Standard deviation in a pixel of the phase of amorphous foil, rad.
    junk_fraction
        Share of broken particles, those that lost their largest domain.
    ice
        Contrast of amorphous ice, as a fraction of the mean intensity.
    gradient
        Largest relative rise of the illumination from the middle to an edge.
    defocus_min, defocus_max, astigmatism
        Å; mean defocus is uniform between the first two, astigmatism (U - V) uniform from 0.
    tilt
        Rise of the defocus across the width, Å.
    height_sigma
        Standard deviation of the particles' depth, Å.
    drift
        How far, in px, content may move: that much more than the frame is drawn.
    """

    height: int
    width: int
    pixel_size: float
    particles: int
    separation: float = 1.1
    contaminants: float = 0.0
    carbon_fraction: float = 0.0
    border_fraction: float = 0.0
    sheets: float = 0.0
    beads: float = 0.0
    grain: float = 0.05
    junk_fraction: float = 0.0
    ice: float = 0.025
    gradient: float = 0.0
    defocus_min: float = 8000.0
    defocus_max: float = 25000.0
    astigmatism: float = 600.0
    tilt: float = 0.0
    height_sigma: float = 0.0
    drift: float = 0.0


def draw_specimen(recipe: Recipe, phantoms: list[Phantom], microscope: Microscope, rng: np.random.Generator) -> Specimen:
    """Draw one field of view; the conformations in `phantoms` come in equal parts.

    In the specimen's own list of phantoms, index ``len(phantoms) + i`` is the broken phantom `i`.
    """
    pixel_size, height, width = recipe.pixel_size, recipe.height, recipe.width
    radius = max(phantom.radius for phantom in phantoms) / pixel_size
    margin = int(np.ceil(0.5 * box_for(radius * pixel_size, pixel_size) + recipe.drift)) + 8
    shape = (height + 2 * margin, width + 2 * margin)
    background = ice(shape, pixel_size, recipe.ice, microscope, rng)
    covers = np.zeros(shape, dtype=np.uint8)
    if rng.random() < recipe.carbon_fraction:
        phase, carbon = carbon_film(shape, microscope, rng, grain=recipe.grain)
        background += phase
        covers[carbon] = number_of("carbon")
    if recipe.border_fraction and rng.random() < recipe.border_fraction:
        kind = BORDERS[int(rng.integers(len(BORDERS)))]
        phase, beyond = border(kind, shape, pixel_size, microscope, rng, grain=recipe.grain)
        background = np.where(beyond, 0.0, background) if kind == "tear" else background
        background = (background + phase).astype(np.float32)
        covers[beyond] = number_of(kind)
    film = covers > 0

    contaminants: list[Contaminant] = []

    def place(x: float, y: float, kind: str) -> None:
        contaminant = draw_contaminant(kind, x, y, 2.0 * radius * pixel_size, rng)
        phase, outline = phase_and_outline(contaminant, phantoms[0], microscope, pixel_size, rng)
        corner = (round(y) + margin - len(phase) // 2, round(x) + margin - len(phase) // 2)
        add_patch(background, phase, *corner)
        canvas, patch = overlap(covers, outline, *corner)
        canvas[patch] = number_of(kind)
        contaminants.append(contaminant)

    for x, y in _places(int(rng.poisson(recipe.contaminants)), 4.0 * radius, recipe, radius, [], rng):
        place(float(x), float(y), KINDS[int(rng.integers(len(KINDS)))])
    for kind, mean in (("sheet", recipe.sheets), ("gold", recipe.beads)):
        for x, y in _places(int(rng.poisson(mean)), 0.5 * radius, recipe, 0.0, [], rng) if mean else ():
            place(float(x), float(y), kind)

    taken = [(item.x, item.y, 0.5 * item.diameter / pixel_size + 1.1 * radius) for item in contaminants]
    places = _places(recipe.particles, 2.0 * recipe.separation * radius, recipe, 1.2 * radius, taken, rng)
    # The whole outline of a particle must be clear of films.
    turns = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    around = np.rint(places[:, None, ::-1] + radius * np.stack([np.sin(turns), np.cos(turns)], axis=1) + margin).astype(int)
    places = places[~film[around[..., 0], around[..., 1]].any(axis=1)]
    frame = (slice(margin, margin + height), slice(margin, margin + width))
    mean, astigmatism = rng.uniform(recipe.defocus_min, recipe.defocus_max), rng.uniform(0.0, recipe.astigmatism)
    bearing, rise = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, recipe.gradient)
    return Specimen(
        height=height,
        width=width,
        margin=margin,
        pixel_size=pixel_size,
        background=background,
        particles=_particles(places, len(phantoms), recipe, rng),
        phantoms=[*phantoms, *(broken(phantom) for phantom in phantoms)],
        defocus=Defocus(mean + astigmatism / 2.0, mean - astigmatism / 2.0, rng.uniform(-90.0, 90.0)),
        tilt=recipe.tilt,
        slope=(rise * np.cos(bearing), rise * np.sin(bearing)),
        contaminants=contaminants,
        covers=covers[frame],
    )


def ice(
    shape: tuple[int, int], pixel_size: float, contrast: float, microscope: Microscope, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the phase shift of amorphous ice in rad, float32, whose image would vary by `contrast` of the mean where |sin χ| = 1.

    Its spectrum is flat but for the ring at 3.7 Å.
    """
    kx, ky = frequencies(*shape, pixel_size)
    noise = forward(rng.standard_normal(shape, dtype=np.float32)) * ice_amplitude(kx, ky).astype(np.float32)
    shaped = backward(noise, shape)
    return (shaped * np.float32(0.5 * contrast / shaped.std())).astype(np.float32)


def add_patch(canvas: NDArray, patch: NDArray, top: int, left: int) -> None:
    """Add `patch` with its first sample at row `top`, column `left`; what hangs over the edge is dropped."""
    here, part = overlap(canvas, patch, top, left)
    here += part


def overlap(canvas: NDArray, patch: NDArray, top: int, left: int) -> tuple[NDArray, NDArray]:
    """Return the parts of `canvas` and of `patch` that lie on each other when its first sample is at row `top`, column `left`."""
    first_row, first_column = max(top, 0), max(left, 0)
    rows = slice(first_row, max(first_row, min(top + patch.shape[0], canvas.shape[0])))
    columns = slice(first_column, max(first_column, min(left + patch.shape[1], canvas.shape[1])))
    return canvas[rows, columns], patch[max(-top, 0) :, max(-left, 0) :][: rows.stop - rows.start, : columns.stop - columns.start]


def number_of(cover: str) -> int:
    """Return the number that stands for one of `COVERS` in a map of what covers the ice."""
    return 1 + COVERS.index(cover)


def _places(
    count: int, distance: float, recipe: Recipe, edge: float, taken: list[tuple[float, float, float]], rng: np.random.Generator
) -> Array:
    """Return up to `count` places x, y in px, `distance` apart, `edge` from the border, and as far from each of `taken` (x, y, distance) as it says.

    Darts are thrown until 2000 in a row found no room.
    """
    places = np.empty((0, 2))
    if 2.0 * edge > min(recipe.width, recipe.height) - 1:
        return places
    keep_off = np.array(taken).reshape(-1, 3)
    misses = 0
    while len(places) < count and misses < 2000:
        dart = rng.uniform((edge, edge), (recipe.width - 1 - edge, recipe.height - 1 - edge))
        clear = ((places - dart) ** 2).sum(axis=1).min(initial=np.inf) >= distance**2
        clear = clear and bool(np.all(((keep_off[:, :2] - dart) ** 2).sum(axis=1) >= keep_off[:, 2] ** 2))
        misses = 0 if clear else misses + 1
        if clear:
            places = np.concatenate([places, dart[None]])
    return places


def _particles(places: Array, conformations: int, recipe: Recipe, rng: np.random.Generator) -> list[Placed]:
    count = len(places)
    angles = uniform_poses(count, rng)
    states = rng.permutation(np.arange(count) % conformations)
    broken = rng.random(count) < recipe.junk_fraction
    heights = recipe.height_sigma * rng.standard_normal(count)
    return [
        Placed(
            phantom=int(states[i] + conformations * broken[i]),
            x=float(places[i, 0]),
            y=float(places[i, 1]),
            height=float(heights[i]),
            angles=(float(angles[i, 0]), float(angles[i, 1]), float(angles[i, 2])),
            junk=bool(broken[i]),
        )
        for i in range(count)
    ]
