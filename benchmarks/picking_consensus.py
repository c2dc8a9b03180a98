"""Members and consensus of pickers against truth, before and after `pick.clean`.

``python -m benchmarks.picking_consensus [NAME …] [--seed N …]``

Conditions and micrographs are those of `benchmarks.picking`, a fifth of them (faint ones: a quarter) with carbon or ice. Picks, scores and
masks are made with the functions of the protocols, not through runs: `pick.blob`, `pick.template` (projections of the true map) and
`pick.deep` at their default thresholds; `pick.learned` taught by true centres, 0.04 diameters off, on five clean micrographs and judged on the
others; `pick.consensus` of the first three at their defaults and at low thresholds (0.05, 0.05, 0.1). One line a condition and seed: F1
before → after cleaning, in brackets how many picks lie on contaminants; what the consensus gains over its best member, both cleaned.
"""

import argparse
import sys
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.picking import CONDITIONS, FAINT, Condition, draw
from cryoloom.numerics.picking.cleaning import Cover, cleaner, find_cover
from cryoloom.numerics.picking.descriptors import Grain, View
from cryoloom.numerics.picking.fusion import KINDS, fused_probability
from cryoloom.numerics.picking.learned import Lesson, Model, examples_of, pick
from cryoloom.numerics.picking.matching import agreement
from cryoloom.numerics.picking.peaks import keep_apart
from cryoloom.numerics.simulate.specimen import Specimen
from training.fusion import Picked

DEFAULTS, LOW = (0.25, 0.5, 0.3), (0.05, 0.05, 0.1)
"""Least scores of blob, template and deep: those of the protocols, and those that give a consensus more to choose from."""

THRESHOLD, LEAST, APART, CLEAN = 0.5, 0.5, 0.5, 0.75
"""Defaults of pick.consensus (least score), of pick.learned, distance of pick.consensus in diameters, least score of pick.clean."""

TAUGHT = (0, 2, 3, 4, 5)
"""Clean micrographs that pick.learned is shown."""

Picks = list[tuple[np.ndarray, np.ndarray]]


class Judged:
    """What pickers find on the micrographs of one condition and seed."""

    def __init__(self, condition: Condition, seed: int) -> None:
        self.condition = condition
        self.covers: list[Cover] = []
        self.masks: list[np.ndarray] = []
        self.views: list[View] = []
        self.picked = Picked(self._watched(seed), condition.phantom(seed), condition.diameter, condition.pixel_size)
        self.learned = self._learned(seed)

    def _watched(self, seed: int) -> Iterator[tuple[Specimen, np.ndarray]]:
        pixel, diameter = self.condition.pixel_size, self.condition.diameter
        for _, _, specimen, image in draw(self.condition, seed):
            self.covers.append(find_cover(image, pixel, diameter, cleaner()))
            self.masks.append(specimen.contaminated)
            self.views.append(View.of(image, pixel, Grain.fitting(diameter, pixel)))
            yield specimen, image

    def _learned(self, seed: int) -> Picks:
        rng, across = np.random.default_rng(seed), self.picked.across
        examples = []
        for number in TAUGHT:
            truth = self.picked.truth[number]
            clicks = truth + rng.normal(size=truth.shape) * 0.04 * across
            examples.append(examples_of(self.views[number], Lesson(clicks, np.zeros((0, 2))), across, seed=number))
        model = Model.trained(Grain.fitting(self.condition.diameter, self.condition.pixel_size), examples, seed=0)
        picks = [pick(view, model, least=LEAST, distance=0.75 * across, share=0.9) for view in self.views]
        return [(np.stack([each.x, each.y], axis=1), each.score) for each in picks]

    def member(self, picker: int) -> Picks:
        return [self.picked.picks(number, picker, DEFAULTS[picker]) for number in range(len(self.covers))]

    def consensus(self, thresholds: tuple[float, ...]) -> Picks:
        parts = list(self.picked.gathered((0, 1, 2), thresholds))
        known = fused_probability(KINDS, *(np.concatenate([part[place] for part in parts]) for place in (1, 2)))
        assert known is not None
        scores = np.split(known, np.cumsum([len(part[2]) for part in parts])[:-1])
        chosen = []
        for (places, _, _), score in zip(parts, scores, strict=True):
            order = np.argsort(-score, kind="stable")
            order = order[score[order] >= THRESHOLD]
            order = order[keep_apart(*places[order].T, APART * self.picked.across)]
            chosen.append((places[order], score[order]))
        return chosen

    def cleaned(self, picks: Picks) -> Picks:
        kept = []
        for (places, score), cover in zip(picks, self.covers, strict=True):
            good = ~(cover.region_scores(*places.T) < CLEAN)
            kept.append((places[good], score[good]))
        return kept

    def f1(self, picks: Picks, numbers: tuple[int, ...] | None = None) -> float:
        chosen = range(len(picks)) if numbers is None else numbers
        return agreement([picks[i] for i in chosen], [self.picked.truth[i] for i in chosen], self.picked.across).f1

    def on_dirt(self, picks: Picks) -> int:
        count = 0
        for (places, _), mask in zip(picks, self.masks, strict=True):
            columns, rows = np.clip(np.rint(places).astype(int), 0, len(mask) - 1).T
            count += int(np.count_nonzero(mask[rows, columns]))
        return count

    def line(self, name: str) -> str:
        others = tuple(number for number in range(len(self.covers)) if number not in TAUGHT)
        cells, after = [], []
        for picks, numbers in (
            *((self.member(picker), None) for picker in range(3)),
            (self.learned, others),
            (self.consensus(DEFAULTS), None),
            (self.consensus(LOW), None),
        ):
            clean = self.cleaned(picks)
            after.append(self.f1(clean, numbers))
            cells.append(f"{self.f1(picks, numbers):.3f} → {after[-1]:.3f} ({self.on_dirt(picks)} → {self.on_dirt(clean)})")
        best = max(after[:3])
        return " | ".join(("", name, *cells, f"{after[4] - best:+.3f}", f"{after[5] - best:+.3f}", "")).strip()


HEAD = (
    "| particle, seed | `pick.blob` | `pick.template` | `pick.deep` | `pick.learned` | consensus | low thresholds | gain | low thresholds |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conditions", nargs="*", metavar="NAME", help=", ".join(CONDITIONS | FAINT))
    parser.add_argument("--seed", type=int, nargs="+", default=[9])
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    print(HEAD, flush=True)
    for condition in ((CONDITIONS | FAINT)[name] for name in given.conditions or CONDITIONS):
        for seed in given.seed:
            print(Judged(condition, seed).line(f"{condition.name}, {seed}"), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
