"""How near `ctf.estimate` comes to what a micrograph tells of its defocus: ``python -m benchmarks.ctf [SET…] [--micrographs N] [--seed N]``.

Still micrographs are drawn by the simulator, once if they are to be kept (``--keep DIR``): those of 4k take a while. Beside the errors stands the
Cramér-Rao bound of Whittle's likelihood, by which the powers of the whole micrograph are independent and exponentially distributed about
``background · (1 + envelope · sin² χ)``. Background and envelope, smooth functions of frequency, are fitted at the true CTF, and what they
leave unknown is part of the bound.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtri

from cryoloom.app.simulation.presets import MoviePreset
from cryoloom.app.simulation.sample import phantoms_of
from cryoloom.numerics.ctf.criteria import criteria, failing
from cryoloom.numerics.ctf.estimate import Estimate, Settings, estimate_ctf
from cryoloom.numerics.ctf.rings import Astigmatic, Optics, spline_basis
from cryoloom.numerics.ctf.tiles import tile_profiles
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import still
from cryoloom.numerics.simulate.optics import Defocus, Microscope

Array = NDArray[np.floating]

LOW, HIGH = 1 / 30.0, 1 / 3.4
"""1/Å: the band of the bound."""

ASTIGMATIC = 200.0
"""Å of astigmatism from which its angle is judged."""


@dataclass(frozen=True)
class Case:
    """A set of micrographs: Å/px, e/Å² in all, and what else differs from the recipe."""

    pixel_size: float
    dose: float
    recipe: dict[str, Any]
    sample: dict[str, Any]
    voltage: float = 300.0
    plates: tuple[float, float] | None = None
    """Degrees between which the phase plate's shift is drawn; None for no plate."""


_FULL: dict[str, Any] = {"width": 4096, "height": 4096, "particles": 150, "contaminants": 4.0, "defocus_min": 3000.0, "astigmatism": 2000.0}

CASES = {
    "0.85": Case(0.85, 30.0, {"width": 1440, "height": 1024, "particles": 20, "contaminants": 3.0}, {"phantom_seed": 5}),
    "1.3": Case(1.3, 20.0, {"width": 1024, "height": 1024, "particles": 30}, {"phantom_diameter": 140.0}),
    "1.6": Case(1.6, 32.0, {"particles": 30, "defocus_min": 4000.0}, {"phantom_diameter": 200.0, "phantom_shape": "ring"}),
    "2": Case(2.0, 16.0, {"particles": 60, "contaminants": 3.0, "defocus_max": 35000.0}, {"phantom_diameter": 180.0}, 200.0),
    "2.5": Case(2.5, 40.0, {"particles": 80, "carbon_fraction": 0.2}, {"phantom_seed": 6}),
    "3": Case(3.0, 12.5, {"width": 1024, "height": 720, "particles": 45, "contaminants": 3.0}, {"phantom_diameter": 260.0, "phantom_shape": "rod"}),
}  # fmt: skip

FULL_SIZE = {
    "falcon": Case(1.34, 20.0, _FULL | {"defocus_max": 40000.0}, {}),
    "k3": Case(0.83, 40.0, _FULL | {"width": 5760, "height": 4092, "particles": 60, "defocus_max": 25000.0}, {}),
    "falcon-plate": Case(1.06, 30.0, _FULL | {"defocus_max": 15000.0, "astigmatism": 800.0}, {}, plates=(30.0, 150.0)),
}
"""Micrographs as cameras write them."""


@dataclass(frozen=True)
class Judged:
    """One micrograph: errors of the mean and of both components of the astigmatism (U - V) in Å, and their bound; what was found."""

    error: Array
    bound: Array
    found: Estimate
    truth: Defocus
    zeros: int
    """Of the true CTF in the band, at the mean defocus."""
    end: float
    """Å: where the rings of the true CTF are lost."""
    prior: float
    """Å by which the mean defocus was off where the fit began; 0 for a search."""
    accepted: bool
    """By the criteria of ctf.refine."""
    seconds: float


def draw(case: Case, number: int, seed: int, keep: Path | None = None) -> tuple[Array, Array, Defocus]:
    """Return one micrograph, its counts without noise (half precision), and its defocus, from `keep` if it is there."""
    file = keep and keep / f"{seed}-{number}.npz"
    if file and file.exists():
        with np.load(file) as stored:
            return stored["image"].astype(np.float32), stored["noiseless"], Defocus(*stored["defocus"].tolist())
    sample = MoviePreset(**case.sample)
    microscope = Microscope(case.voltage, sample.cs, sample.amplitude_contrast)
    common = {"height": 1024, "width": 1024, "defocus_min": 4000.0, "defocus_max": 30000.0, "astigmatism": 800.0, "gradient": 0.04}
    rng = np.random.default_rng((seed, number))
    specimen = draw_specimen(Recipe(pixel_size=case.pixel_size, **(common | case.recipe)), phantoms_of(sample), microscope, rng)
    if case.plates:
        specimen = replace(specimen, defocus=replace(specimen.defocus, plate=rng.uniform(*case.plates)))
    noiseless, defocus = still(specimen, microscope, case.dose), specimen.defocus
    image = rng.poisson(noiseless).astype(np.float32)
    noiseless = noiseless.astype(np.float16)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        lens = (defocus.u, defocus.v, defocus.angle, defocus.plate)
        np.savez(file, image=image.astype(np.uint16), noiseless=noiseless, defocus=lens)
    return image, noiseless, defocus


def judge(case: Case, count: int, seed: int, keep: Path | None = None, *, off: float = 0.0) -> list[Judged]:
    """Draw, estimate and compare `count` micrographs, from a prior `off` by that part and by deviates of 300 Å and 10° if it is not 0."""
    sample = MoviePreset(**case.sample)
    optics = Optics(case.voltage, sample.cs, sample.amplitude_contrast)
    plates = tuple(np.deg2rad(np.arange(0.0, 181.0, 10.0))) if case.plates else None
    settings = Settings(min_defocus=3000.0, spectral_pixel=max(case.pixel_size, 1.4), plates=plates)
    judged = []
    for number in range(count):
        image, noiseless, truth = draw(case, number, seed, keep)
        prior = _prior(truth, off, np.random.default_rng((seed, number, 1))) if off else None
        start = time.process_time()
        found = estimate_ctf(image, case.pixel_size, optics, settings, prior=prior)
        accepted = not found.doubts
        if prior is not None:
            tiles = tile_profiles(image, case.pixel_size, found.ctf, optics, LOW, HIGH, window=512, spectral_pixel=settings.spectral_pixel)
            values = criteria(found, optics, tiles, image)
            accepted &= not failing({**values, "ctf_iceness": found.ice}, plate=plates is not None)
        seconds = time.process_time() - start
        true = _vector(truth)
        fitted = np.array([found.ctf.mean, 2 * found.ctf.a, 2 * found.ctf.b, np.rad2deg(found.ctf.plate)])
        limit = bound(image, case.pixel_size, optics, true, with_plate=plates is not None)
        zeros = _zeros(optics, true, min(HIGH, 0.49 / case.pixel_size))
        end = rings_end(noiseless.astype(np.float32), case.pixel_size, optics, true)
        away = prior.mean - true[0] if prior else 0.0
        judged.append(Judged(fitted - true, limit, found, truth, zeros, end, away, accepted, seconds))
    return judged


def _prior(truth: Defocus, off: float, rng: np.random.Generator) -> Astigmatic:
    sign = rng.choice([-1, 1])
    u, v = (each * (1 + sign * off) + 300 * rng.standard_normal() for each in (truth.u, truth.v))
    double = 2 * np.deg2rad(truth.angle + 10 * rng.standard_normal())
    return Astigmatic(0.5 * (u + v), 0.5 * (u - v) * np.cos(double), 0.5 * (u - v) * np.sin(double), np.deg2rad(truth.plate))


def rings_end(noiseless: Array, pixel_size: float, optics: Optics, true: Array, bins: int = 8, around: float = 0.12) -> float:
    """Return in Å where the rings of the true CTF are last expected to stand out by six standard errors.

    Powers are averaged over one `bins`-th of the phase between zeros. The height of rings is that of the `noiseless` counts, over `around` of
    the frequency to either side or 1.5 rings; noise adds the mean count to every power, and scatters it by itself.
    """
    power = np.square(np.abs(fft.rfft2(noiseless - noiseless.mean())))
    fy, fx = fft.fftfreq(noiseless.shape[0], pixel_size)[:, None], fft.rfftfreq(noiseless.shape[1], pixel_size)[None, :]
    radius, double = np.hypot(fy, fx), 2 * np.arctan2(*np.broadcast_arrays(fy, fx))
    chosen = (radius > LOW) & (radius < min(0.5 / pixel_size, 1 / 2.8)) & (fx > 0.002) & (np.abs(fy) > 0.002)
    defocus = true[0] + 0.5 * true[1] * np.cos(double[chosen]) + 0.5 * true[2] * np.sin(double[chosen])
    phase = optics.phase(radius[chosen] ** 2, defocus, np.deg2rad(true[3])) * bins / np.pi
    level = np.floor(phase).astype(np.intp)
    level -= level.min()
    count = np.maximum(np.bincount(level), 1)
    power, place, phase = (np.bincount(level, each) / count for each in (power[chosen], radius[chosen], phase))
    power += noiseless.sum(dtype=np.float64)
    rings, wide = np.square(np.sin(phase * np.pi / bins)), 3 * bins // 2
    end = LOW
    for at in range(len(power)):
        first, last = np.searchsorted(place, [place[at] * (1 - around), place[at] * (1 + around)])
        near = slice(max(min(first, at - wide), 0), max(last, at + wide))
        weight = np.sqrt(count[near]) / power[near]
        terms = np.column_stack([np.vander(place[near] / place[at] - 1, 3), rings[near]]) * weight[:, None]
        height, *_ = np.linalg.lstsq(terms, power[near] * weight, rcond=None)
        if height[3] > 6 * np.sqrt(np.linalg.inv(terms.T @ terms)[3, 3]):
            end = place[at]
    return float(1 / end)


def _zeros(optics: Optics, true: Array, high: float) -> int:
    """Return how many zeros the CTF of the mean defocus has in the band."""
    phase = optics.phase(np.square([LOW, high]), true[0], np.deg2rad(true[3]))
    return int(np.floor(phase[1] / np.pi) - np.floor(phase[0] / np.pi))


def _vector(defocus: Defocus) -> Array:
    double, apart = 2 * np.deg2rad(defocus.angle), defocus.u - defocus.v
    return np.array([0.5 * (defocus.u + defocus.v), apart * np.cos(double), apart * np.sin(double), defocus.plate])


def bound(image: Array, pixel_size: float, optics: Optics, true: Array, *, with_plate: bool = False) -> Array:
    """Return the least standard errors of ``(mean, astigmatism cos 2α, astigmatism sin 2α, plate)``, Å and degrees, for an unbiased estimate."""
    power, radius, azimuth, count = _cells(image, pixel_size, min(HIGH, 0.49 / pixel_size))
    double = 2 * azimuth
    slope = optics.phase_per_defocus(radius**2)
    slopes = np.stack([slope, 0.5 * slope * np.cos(double), 0.5 * slope * np.sin(double), np.full_like(slope, np.deg2rad(1))], axis=1)
    phase = slopes @ true + optics.phase_in_focus(radius**2)
    rise, turn = np.square(np.sin(phase)), np.sin(2 * phase)
    smooth, coarse = (spline_basis(radius, radius.min(), radius.max(), number, degree=2) for number in (6, 3))
    base = np.concatenate([smooth, coarse * np.cos(double)[:, None], coarse * np.sin(double)[:, None]], axis=1)
    parameters = np.concatenate(
        [np.full(smooth.shape[1], np.log(power.mean())), np.zeros(2 * coarse.shape[1]), np.full(smooth.shape[1], -2.0)]
    )
    unknown = np.zeros((0, 0))
    for _ in range(40):
        background, envelope = np.exp(base @ parameters[: base.shape[1]]), np.exp(smooth @ parameters[base.shape[1] :])
        share = rise * envelope / (1 + envelope * rise)
        unknown = np.concatenate([base, smooth * share[:, None]], axis=1)
        normal = (unknown * count[:, None]).T @ unknown + 1e-3 * np.eye(len(parameters))
        excess = power / (background * (1 + envelope * rise)) - 1
        parameters += np.clip(np.linalg.solve(normal, unknown.T @ (count * excess)), -1, 1)
    envelope = np.exp(smooth @ parameters[base.shape[1] :])
    rings = slopes[:, : 4 if with_plate else 3] * (envelope * turn / (1 + envelope * rise))[:, None]
    whole = np.concatenate([rings * 100, unknown], axis=1)
    information = (whole * count[:, None]).T @ whole + 1e-3 * np.eye(whole.shape[1])
    least = np.zeros(4)
    least[: rings.shape[1]] = 100 * np.sqrt(np.diag(np.linalg.inv(information))[: rings.shape[1]])
    return least


def at_bound(least: Array) -> Array:
    """Return the median and the 95 % of errors that were normal, each with its least standard error, for those of many micrographs."""
    deviations = ndtri(0.5 + 0.5 * (np.arange(400) + 0.5) / 400)
    return np.percentile(np.outer(least, deviations), [50, 95])


def _cells(image: Array, pixel_size: float, high: float) -> tuple[Array, Array, Array, Array]:
    """Return mean power, radius, azimuth and number of powers in cells of the periodogram, 5° wide and one pixel deep."""
    power = np.square(np.abs(fft.rfft2(image - image.mean())))
    fy, fx = fft.fftfreq(image.shape[0], pixel_size)[:, None], fft.rfftfreq(image.shape[1], pixel_size)[None, :]
    radius, azimuth = np.hypot(fy, fx), np.arctan2(*np.broadcast_arrays(fy, fx))
    chosen = (radius > LOW) & (radius < high) & (fx > 0) & (fy != 0)
    power, radius, azimuth = power[chosen], radius[chosen], azimuth[chosen]
    ring = np.floor(radius * min(image.shape) * pixel_size).astype(np.intp)
    cell = ring * 36 + np.minimum(((azimuth / np.pi + 0.5) * 36).astype(np.intp), 35)
    count = np.bincount(cell)
    kept = count > 0
    power, radius, azimuth = (np.bincount(cell, values)[kept] / count[kept] for values in (power, radius, azimuth))
    return power, radius, azimuth, count[kept].astype(np.float64)


def row(name: str, judged: list[Judged]) -> str:
    """Return the figures of one set as a line of a table."""
    good = [one for one in judged if not one.found.doubts and one.zeros >= 3]
    error, limit = np.array([one.error for one in good]), np.array([one.bound for one in good])
    mean = np.abs(error[:, 0])
    apart = np.abs([one.found.ctf.astigmatism - (one.truth.u - one.truth.v) for one in good])
    turned = np.array(
        [abs((one.found.ctf.angle - one.truth.angle + 90) % 180 - 90) for one in good if one.truth.u - one.truth.v > ASTIGMATIC]
    )  # fmt: skip
    root = np.sqrt(np.mean(error**2, axis=0))
    least = np.sqrt(np.mean(limit**2, axis=0))
    plate = np.abs(error[:, 3])
    ratio = np.array([one.found.resolution / one.end for one in good])
    figures = (
        f"{sum(one.accepted for one in judged)} of {len(judged)}",
        f"{np.median(mean):.0f}, {np.percentile(mean, 95):.0f}",
        "{:.0f}, {:.0f}".format(*at_bound(limit[:, 0])),
        f"{root[0]:.0f}, {least[0]:.0f}",
        f"{np.median(mean / limit[:, 0]) / 0.6745:.2f}",
        f"{np.median(apart):.0f}, {np.percentile(apart, 95):.0f}",
        f"{np.sqrt(np.mean(root[1:3] ** 2)):.0f}, {np.sqrt(np.mean(least[1:3] ** 2)):.0f}",
        f"{np.median(turned):.1f}, {np.percentile(turned, 95):.1f}" if len(turned) else "",
        f"{np.median(plate):.1f}, {plate.max():.1f}" if least[3] else "",
        f"{np.median(ratio):.2f}, {np.mean(np.abs(ratio - 1) < 0.15):.0%}",
        f"{np.median(np.abs([one.prior for one in good])):.0f}, {np.mean([abs(one.error[0]) < abs(one.prior) for one in good]):.0%}"
        if any(one.prior for one in good)
        else "",
        f"{np.sqrt(np.mean((error[:, 0] / [one.found.error[0] for one in good]) ** 2)):.2f}",
        f"{np.mean([one.seconds for one in judged]):.2f}",
    )
    return "| " + " | ".join([name, *figures]) + " |\n"


def main() -> None:
    """Print one row a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(CASES), metavar="SET", help="of " + " ".join(CASES | FULL_SIZE))
    parser.add_argument("--micrographs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--prior", type=float, default=0.0, help="begin at a CTF off by this part, as ctf.refine does, and judge by its criteria"
    )
    parser.add_argument("--keep", type=Path, help="folder where micrographs are kept, and taken from if they are there")
    given = parser.parse_args()
    heads = (
        "Å/px", "believed", "defocus: median, 95 % (Å)", "at the bound", "RMS, bound", "median / bound", "astigmatism: median, 95 %", "vector: RMS, bound",
        "angle (°)", "plate: median, most (°)", "end of fit / of rings, within 15 %", "prior: median off, improved", "RMS / standard error", "CPU s",
    )  # fmt: skip
    sys.stdout.write("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|\n")
    for name in given.sets:
        sys.stdout.write(
            row(name, judge((CASES | FULL_SIZE)[name], given.micrographs, given.seed, given.keep and given.keep / name, off=given.prior))
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
