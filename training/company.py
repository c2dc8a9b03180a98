"""Learn what the other picks of a micrograph tell about each: ``python -m training.company``, about two minutes of one core.

Scenes of particles that the detector never saw, and a quarter as many without particles, full of contaminants, are picked with the weights of
`pick.deep`. Logistic regression tells what makes a pick a particle. Written to standard output is `COMPANY` of
``cryoloom/numerics/learn/detect.py``.
"""

import sys

import numpy as np
import torch

from cryoloom.numerics.learn.detect import company_of
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.weights import read_weights, shipped_weights
from training.fusion import fitted
from training.judge import NOTHING, UNSEEN, judge, validation

FULL, EMPTY = 64, 16
LEAST = 0.03


def main() -> None:
    """Draw, pick, fit and write."""
    torch.set_num_threads(1)
    network = Detector()
    read_weights(network, shipped_weights("pick-deep"))
    scenes = validation(FULL, first=12 * UNSEEN) + validation(EMPTY, ranges=NOTHING, first=11 * UNSEEN)
    verdict = judge(scenes, network.eval(), least=LEAST, company=False)
    _, right = verdict.judged()
    areas = [scene.image.size / GRAIN**2 for scene in scenes]
    seen = np.concatenate([company_of(confidence, area) for (_, confidence), area in zip(verdict.found, areas, strict=True)])
    sys.stdout.write(f"COMPANY = {tuple(round(float(each), 2) for each in fitted(seen, right))}\n")


if __name__ == "__main__":
    main()
