"""`pick.manual` and `pick.learned` as a person would use them, on the micrographs of `benchmarks.picking`.

::

    python -m benchmarks.picking simulate DIR
    python -m benchmarks.picking_learned DIR [--conditions NAME ...] [--seed N]
    python -m benchmarks.picking_learned time

Clicks are true centres, 0.04 diameters off. Of the ten micrographs of a condition five clean ones are picked in whole, the three other clean ones and
both dirty ones are for judging, unless said: *carbon seen*: four clean ones and the one with carbon are picked; *wrong*: a tenth of the clicks lie
where no particle is; *region*: 40 particles in part of one micrograph or two; *turned*: picks that lie within 1 px of those of the micrograph turned by
90°; *corrected*: two clean ones are picked, then the model's picks on three more are corrected one by one. `time` takes a micrograph of 4096 × 4096 px.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

import cryoloom
from benchmarks.picking import CONDITIONS, Condition
from cryoloom.app.picking import PickingSession
from cryoloom.data import Micrographs
from cryoloom.data.marks import Marks
from cryoloom.formats.mrc import read_mrc
from cryoloom.formats.star import read_star
from cryoloom.numerics.picking.descriptors import Grain, View
from cryoloom.numerics.picking.learned import Lesson, Model, examples_of, pick
from cryoloom.numerics.picking.matching import agreement, match_points
from cryoloom.numerics.simulate.field import Recipe, draw_specimen
from cryoloom.numerics.simulate.movie import micrograph
from cryoloom.numerics.simulate.optics import Microscope
from cryoloom.numerics.simulate.phantom import random_phantom

PICKED, CLEAN, CARBON, ICE = (0, 2, 4, 6, 7), (1, 3, 5), 8, 9
SPREAD, WRONG, REGION = 0.04, 0.1, 40
LEAST, DISTANCE = 0.5, 0.75
NONE = np.zeros((0, 2))


class User:
    """Somebody who knows where the particles of one condition are."""

    def __init__(self, folder: Path, condition: Condition, seed: int) -> None:
        self.condition, self.across = condition, condition.diameter / condition.pixel_size
        truth = read_star(folder / condition.name / "truth/particles.star")["particles"]
        stem = pl.col("rlnMicrographName").str.extract(r"([^/]+)\.mrc$")
        paths = sorted((folder / condition.name / "micrographs").glob("*.mrc"))
        columns = ("rlnCoordinateX", "rlnCoordinateY")
        self.truth = [truth.filter(stem == path.stem).select(columns).to_numpy().astype(np.float64) for path in paths]
        self.grain = Grain.fitting(condition.diameter, condition.pixel_size)
        self.paths = paths
        self.images = [np.squeeze(read_mrc(path).data) for path in paths]
        self.views = [View.of(image, condition.pixel_size, self.grain) for image in self.images]
        self.rng = np.random.default_rng(seed)

    def clicks(self, number: int) -> np.ndarray:
        return self.truth[number] + self.rng.normal(size=self.truth[number].shape) * SPREAD * self.across

    def lesson(self, number: int, wrong: float = 0.0) -> Lesson:
        clicks = self.clicks(number)
        count = round(wrong * len(clicks))
        height, width = self.images[number].shape
        astray = self.rng.uniform(self.across, [width - self.across, height - self.across], (count, 2))
        return Lesson(np.concatenate([clicks[: len(clicks) - count], astray]), NONE)

    def taught(self, lessons: dict[int, Lesson]) -> Model:
        examples = [examples_of(self.views[number], lesson, self.across, seed=number) for number, lesson in lessons.items()]
        return Model.trained(self.grain, examples, seed=0)

    def judged(self, model: Model, numbers: tuple[int, ...]):
        found = [pick(self.views[number], model, least=0.0, distance=DISTANCE * self.across, share=0.9) for number in numbers]
        all_ = agreement([(np.stack([f.x, f.y], 1), f.score) for f in found], [self.truth[number] for number in numbers], self.across)
        sure = [f.score >= LEAST for f in found]
        kept = [(np.stack([f.x[s], f.y[s]], 1), f.score[s]) for f, s in zip(found, sure, strict=True)]
        return agreement(kept, [self.truth[number] for number in numbers], self.across), all_.auprc

    def region(self) -> dict[int, Lesson]:
        """Pick the upper part of as many micrographs as hold `REGION` particles."""
        lessons, wanted = {}, REGION
        for number in PICKED:
            height, width = self.images[number].shape
            clicks = self.clicks(number)
            clicks = clicks[np.argsort(clicks[:, 1])][:wanted]
            low = float(clicks[-1, 1]) + 0.3 * self.across if len(clicks) < len(self.truth[number]) else height
            lessons[number] = Lesson(clicks, NONE, (0.0, 0.0, float(width), low))
            wanted -= len(clicks)
            if not wanted:
                break
        return lessons

    def turned(self, model: Model, numbers: tuple[int, ...]) -> float:
        same = total = 0
        for number in numbers:
            image = self.images[number]
            there = View.of(np.ascontiguousarray(np.rot90(image)), self.condition.pixel_size, self.grain)
            one, two = (pick(view, model, least=LEAST, distance=DISTANCE * self.across, share=0.9) for view in (self.views[number], there))
            back = np.stack([image.shape[1] - 1 - two.y, two.x], axis=1)
            same += len(match_points(np.stack([one.x, one.y], 1), back, 1.0)[0])
            total += max(len(one.x), len(two.x))
        return same / max(total, 1)

    def corrected(self) -> list[float]:
        """Return F1 before and after each corrected micrograph, in a session as the browser has it."""
        size = self.condition.pixel_size
        rows = [
            {"id": number, "micrograph_name": path.stem, "micrograph_path": path.name, "width": image.shape[1], "height": image.shape[0]}
            for number, (path, image) in enumerate(zip(self.paths, self.images, strict=True))
        ]  # fmt: skip
        frame = pl.DataFrame(rows).with_columns(optics_group=pl.lit(1, pl.Int64), enabled=pl.lit(True), fail_reason=pl.lit(""))
        with tempfile.TemporaryDirectory() as place:
            micrographs = Micrographs(frame, self.paths[0].parent, optics=[{"optics_group": 1, "pixel_size": size}])
            session = PickingSession(micrographs, Path(place), Marks(self.condition.diameter))
            for number in PICKED[:2]:
                session.add_many(number, self.clicks(number).tolist())
            session.train()
            found = [self.judged(session.model, CLEAN)[0].f1]
            for number in PICKED[2:]:
                self._correct(session, number)
                found.append(self.judged(session.model, CLEAN)[0].f1)
        return found

    def _correct(self, session: PickingSession, number: int) -> None:
        picks = session.autopick(number)
        places = picks.select("x", "y").to_numpy().reshape(-1, 2)
        right, seen = match_points(places, self.truth[number], 0.2 * self.across)
        wrong = np.setdiff1d(np.arange(len(places)), right)
        if len(wrong):
            session.remove(number, *picks["number"].to_numpy()[wrong].tolist())
        missed = np.setdiff1d(np.arange(len(self.truth[number])), seen)
        if len(missed):
            session.add_many(number, self.clicks(number)[missed].tolist())
        session.accept(number)


def _figures(user: User) -> str:
    plain = user.taught({number: user.lesson(number) for number in PICKED})
    clean, area = user.judged(plain, CLEAN)
    dirty = user.judged(plain, (CARBON, ICE))[0]
    seen = user.judged(user.taught({number: user.lesson(number) for number in (*PICKED[:4], CARBON)}), (ICE,))[0]
    carbon = user.judged(user.taught({number: user.lesson(number) for number in (*PICKED[:4], ICE)}), (CARBON,))[0]
    wrong = user.judged(user.taught({number: user.lesson(number, WRONG) for number in PICKED}), CLEAN)[0]
    region = user.judged(user.taught(user.region()), CLEAN)[0]
    steps = user.corrected()
    cells = [
        f"{clean.f1:.3f} ({clean.recall:.2f} / {clean.precision:.2f})", f"{area:.3f}", f"{clean.centring / 1.5:.3f}",
        f"{dirty.f1:.3f} ({dirty.recall:.2f} / {dirty.precision:.2f})", f"{carbon.f1:.3f}, {seen.f1:.3f}", f"{wrong.f1:.3f}",
        f"{region.recall:.2f} / {region.precision:.2f}", " ".join(f"{step:.3f}" for step in steps), f"{100 * user.turned(plain, CLEAN):.0f} %",
    ]  # fmt: skip
    return " | ".join(cells)


HEAD = (
    "| condition | F1, clean (recall / precision) | AUPRC | centring, boxes | carbon and ice (recall / precision) | carbon, ice having seen the other | "
    "10 % wrong clicks | region (recall / precision) | corrected, one by one | turned |\n|---|---|---|---|---|---|---|---|---|---|"
)


def timed() -> None:
    """Print processor seconds of one thread for a 4096 × 4096 px micrograph of about 170 particles of 268 Å at 1.34 Å/px, and for learning again."""
    torch.set_num_threads(1)
    microscope, size, diameter = Microscope(300.0, 2.0, 0.1), 1.34, 268.0
    rng = np.random.default_rng(0)
    specimen = draw_specimen(Recipe(4096, 4096, size, 170), [random_phantom(1, diameter)], microscope, rng)
    image = micrograph(specimen, microscope, 20.0, rng)
    truth = np.array([(one.x, one.y) for one in specimen.particles])
    across, grain = diameter / size, Grain.fitting(diameter, size)
    start = time.process_time()
    view = View.of(image, size, grain)
    seen = time.process_time()
    examples = examples_of(view, Lesson(truth, NONE), across, seed=0)
    described = time.process_time()
    model = Model.trained(grain, [examples] * 5, seed=0)
    learned = time.process_time()
    found = pick(view, model, least=LEAST, distance=DISTANCE * across, share=0.9)
    done = time.process_time()
    print(f"{len(truth)} particles, {len(view.candidates.x)} candidates, {len(found.x)} picks, {len(model.positive)} examples")
    print(
        f"made ready {seen - start:.2f} s, examples {described - seen:.2f} s, learned {learned - described:.2f} s, picked {done - learned:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--conditions", nargs="+", choices=tuple(CONDITIONS))
    given = parser.parse_args()
    if given.folder == "time":
        timed()
        return
    torch.set_num_threads(1)
    print(f"cryoloom {cryoloom.__version__}\n\n{HEAD}")
    for name, condition in CONDITIONS.items():
        if name in (given.conditions or CONDITIONS) and (Path(given.folder) / name).exists():
            print(f"| {name} | {_figures(User(Path(given.folder), condition, given.seed))} |", flush=True)


if __name__ == "__main__":
    main()
