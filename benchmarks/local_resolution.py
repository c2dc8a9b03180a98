"""Local resolution and local sharpening against maps whose resolution is known place by place; time and memory.

``python -m benchmarks.local_resolution [accuracy|homogeneous|windows|sharpening|atoms|large] [--box 96] [--seed 0]``. *accuracy*: a particle of known atoms,
of 20 or 80 Å², whose resolution runs from 3 Å on one side to 8 Å on the other, or whose atoms go from 40 to 300 Å²; and white detail in a ball of two
halves. Half maps have white noise; the signal-to-noise ratio is that of variances in the specimen, of the mean of the half maps. What can be found at a
noise is the coarser of the planted resolution and that at which the spectrum of the particle, blurred as it is there, falls to a third of the noise's: a
correlation of 0.143 between the half maps. *homogeneous*: against the Fourier shell correlation. *sharpening*: the particle blurred by 100 Å² on one side
and 300 Å² on the other. *atoms*: P80 at 4 Å. *large*: 300 voxels, one thread; ``/usr/bin/time -v`` beside it tells the same.
"""

import argparse
import json
import resource
import time

import numpy as np
import torch
from scipy import ndimage

from cryoloom.numerics.filters.maps import lowpass, shell_amplitude
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at
from cryoloom.numerics.localres.deblur import Deblurring
from cryoloom.numerics.localres.monores import MonoRes, search, shells_between
from cryoloom.numerics.localres.windows import Windows, windowed_resolution
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre
from cryoloom.numerics.simulate.local_blur import locally_blurred, locally_low_passed
from cryoloom.numerics.simulate.phantom import p80, random_phantom
from cryoloom.numerics.simulate.projection import density

FINE, COARSE = 3.0, 8.0
COARSEST = 16.0
RATIOS = (100.0, 30.0, 5.0, 1.0)
SEAM = 4


def halves(truth, inside, ratio, rng):
    """Return half maps whose mean has so many times the variance of its noise inside the specimen."""
    sigma = float(truth[inside].std()) * np.sqrt(2 / ratio)
    return [(truth + sigma * rng.standard_normal(truth.shape)).astype(np.float32) for _ in range(2)]


def particle(box, pixel_size, diameter=80.0, seed=0, b_factor=20.0):
    """Return the map of a random particle, and where it is."""
    volume = density(random_phantom(seed, diameter).with_b_factor(b_factor), box, pixel_size)
    blurred = ndimage.gaussian_filter(volume, 2.0)
    return volume / volume.std(), blurred > 0.15 * blurred.max()


def monores(first, second, inside, pixel_size, coarsest=COARSEST):
    transforms = [torch.fft.rfftn(torch.from_numpy(each)) for each in ((first + second) / 2, (first - second) / 2)]
    return search(MonoRes(*transforms, inside, inside, pixel_size, shells_between(len(first), pixel_size, coarsest, 0.0, 0.5)))


def findable(sharp, inside, sigma, pixel_size, b_factors):
    """Return for each B-factor the Å at which the particle's power falls to a third of that of noise of a deviation."""
    box, soft = len(sharp), ndimage.gaussian_filter(inside.astype(np.float32), 2.0)
    noise = (sigma * np.random.default_rng(99).standard_normal(sharp.shape)).astype(np.float32)
    ratio = (shell_amplitude(sharp * soft) / shell_amplitude(noise * soft))[1:] ** 2
    frequency = np.arange(1, len(ratio) + 1) / (box * pixel_size)
    below = [np.flatnonzero(ratio * np.exp(-each * frequency**2 / 2) < 1 / 3) for each in b_factors]
    return np.array([1 / frequency[each[0]] if each.size else 2 * pixel_size for each in below], np.float32)


def gradients(box, seed):
    """Return (name, signal/noise, half maps, mask, Å per voxel, resolution that can be found)."""
    pixel_size = 115.2 / box
    x = (np.arange(box) - box // 2) * pixel_size
    planted = np.broadcast_to(np.interp(x, (-38, 38), (FINE, COARSE)).astype(np.float32), (box,) * 3).copy()
    for b_factor, ratios in ((20.0, RATIOS), (80.0, (30.0, 5.0))):
        sharp, inside = particle(box, pixel_size, seed=seed, b_factor=b_factor)
        truth = locally_low_passed(sharp, pixel_size, planted)
        for ratio in ratios:
            limit = findable(sharp, inside, float(truth[inside].std()) / np.sqrt(ratio), pixel_size, [0.0])[0]
            maps = halves(truth, inside, ratio, np.random.default_rng([seed, 7]))
            yield f"3 to 8 Å, atoms of {b_factor:.0f} Å²", ratio, maps, inside, pixel_size, np.maximum(planted, limit)
    sharp, inside = particle(box, pixel_size, seed=seed)
    along = np.interp(x, (-38, 38), (40.0, 300.0)).astype(np.float32)
    truth = locally_blurred(sharp, pixel_size, np.broadcast_to(along, (box,) * 3).copy())
    for ratio in (30.0, 3.0):
        limit = findable(sharp, inside, float(truth[inside].std()) / np.sqrt(ratio), pixel_size, along)
        maps = halves(truth, inside, ratio, np.random.default_rng([seed, 8]))
        yield "atoms of 60 to 320 Å²", ratio, maps, inside, pixel_size, np.broadcast_to(limit, (box,) * 3)


def accuracy(box: int, seed: int, method: str = "monogenic") -> None:
    for name, ratio, maps, inside, pixel_size, resolution in gradients(box, seed):
        if method == "windows":
            found, _ = windowed_resolution(*maps, inside, pixel_size, Windows(12.5, 10.0, 0.0, COARSEST))
        else:
            found = monores(*maps, inside, pixel_size)[0]
        error = (found - resolution)[inside & (found > 0)]
        told = {"median error": float(np.median(np.abs(error))), "bias": float(np.median(error))}
        rounded = {key: round(value, 2) for key, value in told.items()}
        print(json.dumps({"map": name, "method": method, "seed": seed, "signal/noise": ratio, **rounded}), flush=True)


def homogeneous(box: int, seed: int) -> None:
    pixel_size = 120.0 / box
    sharp, inside = particle(box, pixel_size, seed=seed, b_factor=100.0)
    radius, rng = radius_from_centre(box), np.random.default_rng([seed, 9])
    detail = rng.standard_normal((box,) * 3).astype(np.float32)
    white = locally_low_passed(detail, pixel_size, np.full_like(detail, 6.0)) * cosine_edge(radius - 0.31 * box, 4.0)
    for name, truth, mask, ratios in (
        ("white to 6 Å", white, radius < 0.31 * box, (10.0, 1.0)),
        ("atoms of 100 Å²", sharp, inside, (30.0, 3.0)),
    ):
        for ratio in ratios:
            maps = halves(truth, mask, ratio, rng)
            soft = ndimage.gaussian_filter(mask.astype(np.float32), 4.0)
            whole = resolution_at(fourier_shell_correlation(*(each * soft for each in maps)), 0.143, box, pixel_size)
            found = monores(*maps, mask, pixel_size)[0]
            quartiles = [round(float(each), 2) for each in np.quantile(found[mask], (0.25, 0.5, 0.75))]
            print(
                json.dumps({"map": name, "seed": seed, "signal/noise": ratio, "FSC 0.143": round(whole, 2), "quartiles": quartiles}),
                flush=True,
            )


def two_halves(box: int, seed: int) -> None:
    pixel_size, rng = 120.0 / box, np.random.default_rng(seed)
    x = np.broadcast_to(np.arange(box) - box // 2, (box,) * 3)
    detail = rng.standard_normal((box,) * 3).astype(np.float32)
    sides = [locally_low_passed(detail, pixel_size, np.full_like(detail, value)) for value in (4.0, 8.0)]
    radius = radius_from_centre(box)
    truth = np.where(x > 0, sides[0] / sides[0].std(), sides[1] / sides[1].std()) * cosine_edge(radius - 0.31 * box, 4.0)
    inside = radius < 0.31 * box
    for ratio in (30.0, 5.0):
        found, _, _ = monores(*halves(truth.astype(np.float32), inside, ratio, rng), inside, pixel_size, 14.0)
        judged = inside & (np.abs(x) > 6)
        medians = [round(float(np.median(found[judged & side])), 2) for side in (x > 0, x < 0)]
        right = float(((found < 6) == (x > 0))[judged].mean())
        print(
            json.dumps({"map": "two halves, 4 and 8 Å", "signal/noise": ratio, "medians": medians, "right side of 6 Å": round(right, 3)}),
            flush=True,
        )


def sharpened(deblurring):
    """Return the sharpened map, and in how many steps."""
    state = deblurring.start()
    while not deblurring.done(state):
        state = deblurring.step(state)
    return deblurring.limited(state["volume"]), len(state["norms"])


def sharpening(box: int, seed: int) -> None:
    pixel_size, rng = 120.0 / box, np.random.default_rng(seed)
    sharp, inside = particle(box, pixel_size, seed=seed)
    x = np.broadcast_to(np.arange(box) - box // 2, (box,) * 3)
    truth = locally_blurred(sharp, pixel_size, np.where(x > 0, 100.0, 300.0).astype(np.float32))
    for ratio in (30.0, 5.0, 1.0):
        maps = halves(truth, inside, ratio, rng)
        resolution, refined, _ = monores(*maps, inside, pixel_size)
        before = (maps[0] + maps[1]) / 2
        after, steps = sharpened(Deblurring(before, resolution, pixel_size))
        for name, side in (("100 Å²", x > SEAM), ("300 Å²", x < -SEAM)):
            there = refined & side
            limit = float(np.median(resolution[there]))

            def alike(volume, low=None, there=there, limit=limit):
                band = [lowpass(each, pixel_size, limit) - (lowpass(each, pixel_size, low) if low else 0) for each in (volume, sharp)]
                return round(float(np.corrcoef(band[0][there], band[1][there])[0, 1]), 3)

            soft = ndimage.gaussian_filter(there.astype(np.float32), 2.0)
            power = [shell_amplitude(each * soft) ** 2 for each in (before, after)]
            beyond = slice(int(box * pixel_size / limit) + 1, box // 2 + 1)
            told = {
                "blurred by": name, "signal/noise": ratio, "local resolution": round(limit, 1), "steps": steps,
                "correlation": [alike(before), alike(after)], "its upper octave": [alike(each, 2 * limit) for each in (before, after)],
                "power beyond": round(float(power[1][beyond].sum() / power[0][beyond].sum()), 2),
            }  # fmt: skip
            print(json.dumps(told), flush=True)


def atoms(box: int = 128) -> None:
    """Print how far atoms of P80 at 4 Å stand out of what lies around them before and after: of the specimen without atoms, and of the solvent."""
    pixel_size, rng = 192.0 / box, np.random.default_rng(0)
    sharp = density(p80().with_b_factor(100.0), box, pixel_size)
    blurred = ndimage.gaussian_filter(sharp, 2.0)
    inside = blurred > 0.1 * blurred.max()
    places = np.rint(p80().positions[:, ::-1] / pixel_size + box // 2).astype(int)
    at = np.zeros_like(inside)
    at[tuple(places.T)] = True
    between = inside & (ndimage.distance_transform_edt(~at) * pixel_size > 4.0)
    for ratio in (30.0, 5.0):
        maps = halves(lowpass(sharp, pixel_size, 4.0), inside, ratio, rng)
        before = (maps[0] + maps[1]) / 2
        after, _ = sharpened(Deblurring(before, monores(*maps, inside, pixel_size)[0], pixel_size))
        told = {}
        for name, place in (("between atoms", between), ("solvent", ~inside)):
            ratios = [float((each[at].mean() - each[place].mean()) / each[place].std()) for each in (before, after)]
            told[name] = [round(value, 2) for value in (*ratios, ratios[1] / ratios[0])]
        print(json.dumps({"map": "P80 at 4 Å", "signal/noise": ratio, "atoms over the deviation of": told}), flush=True)


def large(box: int, pixel_size: float = 1.34) -> None:
    rng = np.random.default_rng(0)
    inside = radius_from_centre(box) < 0.3 * box
    detail = lowpass(rng.standard_normal((box,) * 3).astype(np.float32), pixel_size, 3.5) * inside
    maps = halves(detail, inside, 5.0, rng)
    del detail
    monores(*(each[:32, :32, :32].copy() for each in maps), np.ones((32,) * 3, bool), pixel_size)  # compiled
    began = time.process_time()
    found, refined, state = monores(*maps, inside, pixel_size, 12.0)
    told = {
        "box": box, "frequencies": len(state["steps"]), "processor seconds": round(time.process_time() - began, 1),
        "peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2), "median": round(float(np.median(found[refined])), 2),
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    deblurring = Deblurring((maps[0] + maps[1]) / 2, found, pixel_size)
    began = time.process_time()
    deblurring.local(deblurring.volume)
    told = {"local filter": len(deblurring.bands), "processor seconds": round(time.process_time() - began, 1)}
    began = time.process_time()
    deblurring.limited(deblurring.volume)
    told["last low-pass"] = round(time.process_time() - began, 1)
    print(json.dumps(told | {"peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = {
        "accuracy": lambda: (two_halves(options.box or 80, options.seed), accuracy(options.box or 96, options.seed)),
        "homogeneous": lambda: homogeneous(options.box or 80, options.seed),
        "windows": lambda: accuracy(options.box or 96, options.seed, "windows"),
        "sharpening": lambda: sharpening(options.box or 80, options.seed),
        "atoms": lambda: atoms(options.box or 128),
        "large": lambda: large(options.box or 300),
    }
    parser.add_argument("what", nargs="?", default="all", choices=("all", *tasks))
    parser.add_argument("--box", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, task in tasks.items():
        if options.what in ("all", name):
            task()


if __name__ == "__main__":
    main()
