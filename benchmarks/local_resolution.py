"""Local resolution and local sharpening against maps whose resolution is known place by place; time and memory.

``python -m benchmarks.local_resolution [accuracy|sharpening|large] [--box 96]``. *accuracy*: a particle of known atoms whose resolution runs from 3 Å on
one side to 8 Å on the other, and white detail in a ball of two halves, with white noise in the half maps; the signal-to-noise ratio is that of variances in
the specimen, of the mean of the half maps. *sharpening*: the particle blurred by 100 Å² on one side and 300 Å² on the other. *large*: 300 voxels, one
thread; ``/usr/bin/time -v`` beside it tells the same.
"""

import argparse
import json
import resource
import time

import numpy as np
import torch
from scipy import ndimage

from cryoloom.numerics.filters.maps import lowpass, shell_amplitude
from cryoloom.numerics.localres.deblur import Deblurring
from cryoloom.numerics.localres.monores import MonoRes, search, shells_between
from cryoloom.numerics.localres.windows import Windows, windowed_resolution
from cryoloom.numerics.masks.soft import cosine_edge, radius_from_centre
from cryoloom.numerics.simulate.local_blur import locally_blurred, locally_low_passed
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density

FINE, COARSE = 3.0, 8.0
COARSEST = 16.0
RATIOS = (100.0, 30.0, 5.0, 1.0)
SEAM = 4


def halves(truth, inside, ratio, rng):
    """Return half maps whose mean has so many times the variance of its noise inside the specimen."""
    sigma = float(truth[inside].std()) * np.sqrt(2 / ratio)
    return [(truth + sigma * rng.standard_normal(truth.shape)).astype(np.float32) for _ in range(2)]


def particle(box, pixel_size, diameter=80.0):
    """Return the map of a random particle with atoms of 20 Å², and where it is."""
    volume = density(random_phantom(0, diameter).with_b_factor(20.0), box, pixel_size)
    blurred = ndimage.gaussian_filter(volume, 2.0)
    return volume / volume.std(), blurred > 0.15 * blurred.max()


def monores(first, second, inside, pixel_size, coarsest=COARSEST):
    transforms = [torch.fft.rfftn(torch.from_numpy(each)) for each in ((first + second) / 2, (first - second) / 2)]
    return search(MonoRes(*transforms, inside, inside, pixel_size, shells_between(len(first), pixel_size, coarsest, 0.0, 0.5)))


def accuracy(box: int) -> None:
    pixel_size, rng = 115.2 / box, np.random.default_rng(0)
    x = (np.arange(box) - box // 2) * pixel_size
    gradient = np.interp(x, (-38, 38), (FINE, COARSE)).astype(np.float32)
    resolution = np.broadcast_to(gradient, (box,) * 3).copy()
    sharp, inside = particle(box, pixel_size)
    truth = locally_low_passed(sharp, pixel_size, resolution)
    for ratio in RATIOS:
        maps = halves(truth, inside, ratio, rng)
        windows, _ = windowed_resolution(*maps, inside, pixel_size, Windows(12.5, 10.0, 0.0, COARSEST))
        for name, found in (("monogenic", monores(*maps, inside, pixel_size)[0]), ("windows", windows)):
            error = (found - resolution)[inside & (found > 0)]
            told = {"median error": float(np.median(np.abs(error))), "bias": float(np.median(error))}
            print(
                json.dumps(
                    {
                        "map": "particle 3 to 8 Å",
                        "method": name,
                        "signal/noise": ratio,
                        **{key: round(value, 2) for key, value in told.items()},
                    }
                )
            )


def two_halves(box: int) -> None:
    pixel_size, rng = 120.0 / box, np.random.default_rng(0)
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
        print(json.dumps({"map": "two halves, 4 and 8 Å", "signal/noise": ratio, "medians": medians, "right side of 6 Å": round(right, 3)}))


def sharpening(box: int) -> None:
    pixel_size, rng = 120.0 / box, np.random.default_rng(0)
    sharp, inside = particle(box, pixel_size)
    x = np.broadcast_to(np.arange(box) - box // 2, (box,) * 3)
    truth = locally_blurred(sharp, pixel_size, np.where(x > 0, 100.0, 300.0).astype(np.float32))
    for ratio in (30.0, 5.0, 1.0):
        maps = halves(truth, inside, ratio, rng)
        resolution, refined, _ = monores(*maps, inside, pixel_size)
        before = (maps[0] + maps[1]) / 2
        deblurring = Deblurring(before, resolution, pixel_size)
        state = deblurring.start()
        while not deblurring.done(state):
            state = deblurring.step(state)
        for name, side in (("100 Å²", x > SEAM), ("300 Å²", x < -SEAM)):
            there = refined & side
            limit = float(np.median(resolution[there]))

            def alike(volume, low=None, there=there, limit=limit):
                band = [lowpass(each, pixel_size, limit) - (lowpass(each, pixel_size, low) if low else 0) for each in (volume, sharp)]
                return round(float(np.corrcoef(band[0][there], band[1][there])[0, 1]), 3)

            soft = ndimage.gaussian_filter(there.astype(np.float32), 2.0)
            power = [shell_amplitude(each * soft) ** 2 for each in (before, state["volume"])]
            beyond = slice(int(box * pixel_size / (limit - 1.0)), box // 2 + 1)
            told = {
                "blurred by": name, "signal/noise": ratio, "local resolution": round(limit, 1), "steps": len(state["norms"]),
                "correlation": [alike(before), alike(state["volume"])], "its upper octave": [alike(each, 2 * limit) for each in (before, state["volume"])],
                "power beyond": round(float(power[1][beyond].sum() / power[0][beyond].sum()), 2),
            }  # fmt: skip
            print(json.dumps(told))


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
    print(json.dumps(told | {"peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=("all", "accuracy", "sharpening", "large"))
    parser.add_argument("--box", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what in ("all", "accuracy"):
        two_halves(options.box or 80)
        accuracy(options.box or 96)
    if options.what in ("all", "sharpening"):
        sharpening(options.box or 80)
    if options.what in ("all", "large"):
        large(options.box or 300)


if __name__ == "__main__":
    main()
