"""How good a detector is on scenes of particles that it never saw, and what its confidence is worth."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from cryoloom.numerics.learn.augment import vary
from cryoloom.numerics.learn.detect import detect
from cryoloom.numerics.learn.detector import GRAIN, Detector
from cryoloom.numerics.learn.levelling import level
from cryoloom.numerics.learn.tune import picked_example, tune
from cryoloom.numerics.picking import scene as reduced
from cryoloom.numerics.picking.matching import agreement, match_points
from training.scenes import CLASSES, SHARED, TRAINING, Ranges, Scene, draw_scene
from training.species import HELD_OUT

UNSEEN = 10_000_000
"""Seeds from here on are for judging: no species of them is trained on."""

JUDGED = Ranges(
    families=(*TRAINING.families, *HELD_OUT, *HELD_OUT), diameter=(100.0, 300.0), error=(0.95, 1.05), defocus=(10000.0, 30000.0), denoised=0.0
)  # fmt: skip
"""Where the acceptance of the method is judged: 100 to 300 Å, 1 to 3 µm; two species in nine of a family never trained on."""

NOTHING = replace(JUDGED, empty=1.0, contaminants=4.0, carbon=0.5)
"""No particles; contaminants of all kinds, and carbon on every second scene."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """Picks of many scenes beside their truth; what lies where nothing is right or wrong is left out.

    Attributes
    ----------
    found, true
        For each scene centres ``(n, 2)`` and confidence ``(n,)``; and true centres.
    pixels
        Of all scenes together.
    """

    found: list[tuple[Array, Array]]
    true: list[Array]
    pixels: int

    @property
    def auprc(self) -> float:
        """Area under precision over recall."""
        return agreement(self.found, self.true, GRAIN).auprc

    def judged(self) -> tuple[Array, NDArray[np.bool_]]:
        """Return the confidence of all picks and whether they are right."""
        right = [np.zeros(len(confidence), dtype=bool) for _, confidence in self.found]
        for (centres, _), true, flags in zip(self.found, self.true, right, strict=True):
            flags[match_points(centres, true, 0.2 * GRAIN)[0]] = True
        return np.concatenate([confidence for _, confidence in self.found]), np.concatenate(right)

    def calibration_error(self, *, least: float = 0.1, bins: int = 10) -> float:
        """Return by how much confidence and the share of right picks differ, averaged over the picks above `least`."""
        confidence, right = self.judged()
        confidence, right = confidence[confidence >= least], right[confidence >= least]
        place = np.minimum((confidence * bins).astype(int), bins - 1)
        off = [abs(confidence[place == each].sum() - right[place == each].sum()) for each in range(bins)]
        return float(sum(off) / max(1, len(right)))

    def __str__(self) -> str:
        chosen = [(centres[score >= 0.3], score[score >= 0.3]) for centres, score in self.found]
        there = agreement(chosen, self.true, GRAIN)
        empty = [len(score) for (_, score), true in zip(chosen, self.true, strict=True) if not len(true)]
        per = 1e6 * sum(empty) / max(1, len(empty) * self.pixels / len(self.true))
        return (
            f"AUPRC {self.auprc:.3f}; at 0.3 F1 {there.f1:.3f}, recall {there.recall:.3f}, precision {there.precision:.3f}, centring {there.centring:.3f}; "
            f"calibration error {self.calibration_error():.3f}; {per:.1f} picks a million px of {len(empty)} empty scenes; {there.true} particles"
        )


def validation(count: int, *, ranges: Ranges = JUDGED, first: int = UNSEEN) -> list[Scene]:
    """Draw `count` scenes, each of another species."""
    return [draw_scene(first + 8 * index + index % 8, ranges=ranges) for index in range(count)]


def _reduced(scene: Scene) -> reduced.Scene:
    return reduced.Scene(torch.from_numpy(scene.image), (1.0, 1.0), scene.pixel_size, scene.diameter)


def judge(scenes: list[Scene], network: Detector, *, least: float = 0.01, company: bool = True) -> Verdict:
    """Pick all `scenes`, whatever is at least as likely as `least`; each pick weighed by the others of its scene, if `company`."""
    found = []
    for scene in scenes:
        picks = detect(_reduced(scene), network, least=least, company=company)
        centres = np.stack([picks.x, picks.y], axis=1)
        columns, rows = np.clip(np.rint(centres).astype(int), 0, len(scene.ignored) - 1).T
        counts = ~scene.ignored[rows, columns]
        found.append((centres[counts], picks.confidence[counts]))
    return Verdict(found, [scene.centres for scene in scenes], sum(scene.image.size for scene in scenes))


def grounds(scenes: list[Scene], verdict: Verdict, *, least: float = 0.3) -> dict[str, int]:
    """Count the picks of `verdict` that are at least as likely as `least` by the contaminant within a quarter of a diameter of them that is largest."""
    reach, counts = round(GRAIN / 4.0), dict.fromkeys(CLASSES, 0)
    for scene, (centres, confidence) in zip(scenes, verdict.found, strict=True):
        for column, row in np.rint(centres[confidence >= least]).astype(int):
            near = scene.classes[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            there = np.bincount(near.ravel(), minlength=len(CLASSES))
            counts[CLASSES[1 + int(there[1:].argmax()) if there[1:].any() else 0]] += 1
    return {name: count for name, count in counts.items() if count}


def varied(scenes: list[Scene], seed: int = 5) -> list[Scene]:
    """Return `scenes` with the noise, bands and contrasts that training varies, too."""
    rng = np.random.default_rng(seed)
    return [replace(each, image=vary(level(torch.from_numpy(each.image)[None], GRAIN), rng)[0].numpy()) for each in scenes]


def calibrate(network: Detector, scenes: list[Scene]) -> None:
    """Set the calibration of `network` so that its confidence in `scenes`, as they are and varied, is how often it is right (Platt 1999)."""
    network.calibration.copy_(torch.tensor([1.0, 0.0]))
    confidence, right = judge([*scenes, *varied(scenes)], network, least=0.02, company=False).judged()
    logits, sign = np.log(confidence / (1.0 - confidence)), np.where(right, 1.0, -1.0)

    def wrong(line: Array) -> float:
        return float(np.logaddexp(0.0, -sign * (line[0] * logits + line[1])).mean())

    network.calibration.copy_(torch.from_numpy(minimize(wrong, np.array([1.0, 0.0]), method="Nelder-Mead").x))


def acceptance(network: Detector) -> Iterator[str]:
    """Yield what `network` does on species that served neither training nor calibration, one line a set of scenes."""
    held_out = validation(64, first=2 * UNSEEN)
    yield f"held out: {judge(held_out, network)}"
    yield f"varied: {judge(varied(held_out), network)}"
    chains = tuple(family for family in JUDGED.families if family != "gas")
    yield f"held out, chains: {judge(validation(64, ranges=replace(JUDGED, families=chains), first=7 * UNSEEN), network)}"
    families = validation(24, ranges=replace(JUDGED, families=tuple(HELD_OUT)), first=3 * UNSEEN)
    yield f"family never seen: {judge(families, network)}"
    small = replace(JUDGED, diameter=(60.0, 100.0), defocus=(8000.0, 8001.0))
    yield f"60 to 100 Å, 0.8 µm: {judge(validation(24, ranges=small, first=4 * UNSEEN), network)}"
    dirty = validation(48, ranges=NOTHING, first=5 * UNSEEN)
    verdict = judge(dirty, network)
    yield f"no particles: {verdict}"
    yield f"their picks at 0.3, by ground: {grounds(dirty, verdict)}"
    bare = validation(48, ranges=replace(NOTHING, contaminants=0.0), first=8 * UNSEEN)
    yield f"no particles nor contaminants: {judge(bare, network)}"
    hard = replace(small, empty=0.0)
    scenes = [draw_scene(6 * UNSEEN + index, size=384, ranges=hard) for index in range(SHARED)]
    yield f"one hard species: {judge(scenes[5:], network)}"
    examples = [picked_example(_reduced(scene), *scene.centres.T) for scene in scenes[:5]]
    tuned, _ = tune(copy.deepcopy(network), examples, steps=300, rate=5e-4, seed=1)
    yield f"the same, fine-tuned on five others: {judge(scenes[5:], tuned)}"
