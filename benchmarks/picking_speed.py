"""What picking a 4k micrograph costs of one core: ``python -m benchmarks.picking_speed [DIAMETER …]``.

Processor seconds of the work itself, the micrograph being in memory; the best of two. 4096 × 4096 px of 1.34 Å with simulated particles of
each diameter, 280, 180 and 120 Å unless said; pick.template with 50 projections in 36 turns and the default low-pass. A yardstick (numpy's
FFT of 2048² px, ten times) tells how fast the machine is.
"""

import os

from cryoloom.engine.supervise import ONE_THREAD

os.environ.update(ONE_THREAD)  # before numpy reads it

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from cryoloom.numerics.ctf.model import ctf
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.learn.detect import detect
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.scorer import Ensemble, read_scorer
from cryoloom.numerics.learn.segmentation import Segmenter
from cryoloom.numerics.learn.weights import read_weights, shipped_weights
from cryoloom.numerics.picking.bank import build_bank
from cryoloom.numerics.picking.blob import find_blobs
from cryoloom.numerics.picking.cleaning import cleaner, find_cover
from cryoloom.numerics.picking.matched_filter import find_matches
from cryoloom.numerics.picking.scene import reduce_micrograph, resampled_micrograph
from cryoloom.numerics.picking.selection import BLOBS, MATCHES, particle_probability
from cryoloom.numerics.picking.templates import SAMPLING, evenly_spaced_views, projections
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.pick.template import COARSE, FINE, SHARE

SIDE, PIXEL, VIEWS, PSI_STEP = 4096, 1.34, 50, 10.0
DIAMETERS = (280.0, 180.0, 120.0)
MICROSCOPE = Microscope(300.0, 2.7, 0.1)
HEAD = (
    "| diameter | blob | template | deep | consensus, positions a second | the micrograph reduced as well | clean |\n"
    "|---|---|---|---|---|---|---|"
)


def seconds(work: Callable[[], object], times: int = 2) -> float:
    """Return the least processor time of doing `work`."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def drawn(diameter: float) -> tuple[np.ndarray, np.ndarray, Callable[..., object], np.ndarray]:
    """Return a micrograph, the map of its particle, its CTF and where the particles are."""
    phantom, rng = random_phantom(int(diameter), diameter, shape="cluster"), np.random.default_rng(int(diameter))
    count = round(0.25 * (SIDE * PIXEL / diameter) ** 2)
    specimen = draw_specimen(
        Recipe(SIDE, SIDE, PIXEL, count, contaminants=3.0, defocus_min=1e4, defocus_max=3e4), [phantom], MICROSCOPE, rng
    )
    image = micrograph(specimen, MICROSCOPE, 30.0, rng)
    defocus = specimen.defocus
    transfer = partial(
        ctf, defocus_u=defocus.u, defocus_v=defocus.v, defocus_angle=defocus.angle, phase_shift=defocus.plate,
        voltage=MICROSCOPE.voltage, cs=MICROSCOPE.cs, amplitude_contrast=MICROSCOPE.amplitude_contrast,
    )  # fmt: skip
    volume = density(phantom, 2 * round(0.6 * diameter / PIXEL), PIXEL).astype(np.float32)
    return image, volume, transfer, np.array([(one.x, one.y) for one in specimen.particles])


def told(found, kind) -> np.ndarray:
    return particle_probability(found.features, np.zeros(len(found.x), dtype=np.int64), found.decoys, kind)


def row(diameter: float) -> str:
    """Return what the pickers cost on one micrograph."""
    image, volume, transfer, places = drawn(diameter)
    working = max(SAMPLING * min(max(diameter / SHARE, FINE), COARSE), PIXEL)
    angles = evenly_spaced_views(np.rad2deg(np.sqrt(4.0 * np.pi / VIEWS)), point_group("C1"))
    assert len(angles) == VIEWS
    detector = Detector()
    read_weights(detector, shipped_weights("pick-deep"))
    scorer = read_scorer(None)

    def template() -> None:
        bank = build_bank(np.ascontiguousarray(projections(volume, PIXEL, angles, working, diameter), dtype=np.float32), PSI_STEP)
        told(find_matches(resampled_micrograph(image, PIXEL, working, diameter), bank, transfer, border=0.3), MATCHES)

    scene = reduce_micrograph(image, PIXEL, diameter, grain=GRAIN)
    x, y = (torch.from_numpy(axis / scale) for axis, scale in zip(places.T, scene.scale[::-1], strict=True))
    spent = [
        seconds(lambda: told(find_blobs(reduce_micrograph(image, PIXEL, diameter), border=0.3), BLOBS)),
        seconds(template),
        seconds(
            lambda: detect(reduce_micrograph(image, PIXEL, diameter, grain=GRAIN), detector.eval(), least=0.1, distance=0.6, border=0.3)
        ),
        seconds(lambda: scorer.scores(scene.pixels, x, y)),
        seconds(lambda: reduce_micrograph(image, PIXEL, diameter, grain=GRAIN)),
        seconds(lambda: find_cover(image, PIXEL, diameter, cleaner())),
    ]
    rate, whole = len(places) / spent[3], len(places) / (spent[3] + spent[4])
    cells = " | ".join(f"{each:.2f} s" for each in spent[:3])
    return f"| {diameter:g} Å | {cells} | {rate:.0f} (of {len(places)}) | {whole:.0f} | {spent[5]:.2f} s |"


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    noise = np.random.default_rng(0).normal(size=(2048, 2048))
    print(f"yardstick: {seconds(lambda: [np.fft.rfft2(noise) for _ in range(10)]):.2f} s")
    for name, network in (("pick-deep", Detector()), ("pick-consensus", Ensemble()), ("pick-clean", Segmenter())):
        print(f"weights of {name}: {seconds(lambda name=name, network=network: read_weights(network, shipped_weights(name)), 1):.3f} s")
    print(HEAD, flush=True)
    for diameter in map(float, words or DIAMETERS):
        print(row(diameter), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
