"""Toy sets and protocols: what the engine runs in tests. Found by the catalogue through CRYOLOOM_PLUGINS."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from cryoloom.spec import SOURCE, Failure, Hint, Input, Item, Job, Outputs, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Pixels


class Things(Dataset, kind="things", required=("value",)):
    """Numbers."""


class Pears(Dataset, kind="pears"):
    """Not numbers."""


def called(folder: Path, name: object) -> None:
    """Count a call: one byte in a file."""
    folder.mkdir(exist_ok=True)
    with (folder / str(name)).open("ab") as handle:
        handle.write(b".")


def linger(folder: Path, seconds: float) -> None:
    """Wait, unless the test is in a hurry by now."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not (folder / "hurry").exists():
        time.sleep(min(seconds, 0.1))


@dataclass(frozen=True)
class Made(Outputs):
    things: Things


@dataclass(frozen=True)
class MadePears(Outputs):
    pears: Pears


class Source(Protocol, id="toy.source", outputs=Made):
    """Make numbers from nothing."""

    count: int = Param("Count", 6, ge=0, le=100_000, help="How many.")
    file: str = Param("File", "", help="A file outside the project that they are said to come from.")

    def fingerprint(self) -> Any:
        return {"file": self.file, "text": Path(self.file).read_text()} if self.file else None

    def run(self, job: Job) -> Made:
        items = pl.DataFrame({"id": range(1, self.count + 1), "value": [10.0 * n for n in range(1, self.count + 1)]})
        items = items.with_columns(optics_group=pl.lit(1), enabled=pl.col("id") != 1000, fail_reason=pl.lit(""))
        return Made(Things(items, job.root, optics=[{"optics_group": 1, "step": 0.5}]))


class PearSource(Protocol, id="toy.pears", outputs=MadePears):
    """Make pears."""

    def run(self, job: Job) -> MadePears:
        return MadePears(Pears(pl.DataFrame({"id": [1]}), job.root))


class Feed(Protocol, id="toy.feed", outputs=Made, streams=SOURCE):
    """Read numbers from a file that may grow, one a line."""

    file: str = Param("File", help="Where they come from.")
    watch: bool = Param("Watch", False, help="Go on as long as nobody closes it.")

    def fingerprint(self) -> Any:
        return Path(self.file).read_text()

    def expects_more(self, quiet: float) -> bool:
        return self.watch and quiet < 600

    def run(self, job: Job) -> Made:
        called(job.folder / "calls", "open" if job.open else "last")
        values = [float(line) for line in Path(self.file).read_text().splitlines()]
        if job.open:
            job.warn(f"only {len(values)} so far")
        items = pl.DataFrame({"id": range(1, len(values) + 1), "value": values}, schema={"id": pl.Int64, "value": pl.Float64})
        items = items.with_columns(optics_group=pl.lit(1), enabled=pl.lit(True), fail_reason=pl.lit(""))
        return Made(Things(items, job.root, optics=[{"optics_group": 1, "step": 0.5}]))


class Add(Protocol, id="toy.add", outputs=Made, aliases=("ProtAdd",), streams="things"):
    """Add a number to each thing, with some noise of its own."""

    things: Things = Input("Things", help="What to add to.")
    amount: float = Param("Amount", 1.0, ge=0, le=100, help="What to add. Too much spoils it.", aliases=("summand",))
    window: Pixels = Param("Window", 64, ge=16, multiple_of=2, help="Not used.")
    method: Literal["plain", "careful"] = Param("Method", "plain", help="How.")
    sizes: tuple[int, ...] = Param("Sizes", (), help="Some sizes.")
    pause: float = Param("Pause", 0.0, ge=0, help="Seconds that each item takes.")

    def check(self) -> Iterator[Hint]:
        if self.amount == 13:
            yield Hint("amount", "brings bad luck", fix=12)
        if self.amount == 7:
            yield Hint("amount", "brings good luck", error=False)

    def add(self, item: Item) -> Mapping[str, Any]:
        called(item.folder.parent / "calls", item.id)
        called(item.folder.parent / "places", os.environ.get("SLURMD_NODENAME", "here"))
        linger(item.folder.parent, self.pause)
        path = item.output("_value.txt")
        path.write_text(f"{item['value'] + self.amount}\n")
        return {
            "value": item["value"] + self.amount,
            "scaled": item["value"] * item.row.get("step", 1.0),
            "noise": np.random.default_rng(item.seed).random(),
            "curve": np.arange(item.id, dtype=np.float32),
            "data_path": path,
        }

    def run(self, job: Job) -> Made:
        result = job.map(self.add, self.things)
        job.warn("the sum is not checked")
        rows = result.rows
        return Made(Things(rows, job.root, meta={"sum": rows["value"].sum()}).disable(result.failed))

    def summary(self, out: Made) -> Mapping[str, Any]:
        return {"sum": np.float32(out.things.meta["sum"]), "count": len(out.things)}


class Halve(Protocol, id="toy.halve", outputs=Made, streams="things"):
    """Halve each thing."""

    things: Things = Input("Things", help="What to halve.")

    def halve(self, item: Item) -> Mapping[str, Any]:
        called(item.folder.parent / "calls", item.id)
        return {"value": item["value"] / 2}

    def run(self, job: Job) -> Made:
        return Made(Things(job.map(self.halve, self.things).rows, job.root))


class Grow(Protocol, id="toy.grow", outputs=Made):
    """Iterate."""

    steps: int = Param("Steps", 5, ge=1, help="How many.")
    pause: float = Param("Pause", 0.0, ge=0, help="Seconds that each takes.")

    def run(self, job: Job) -> Made:
        def start() -> dict[str, Any]:
            called(job.folder / "calls", "start")
            return {"k": 0, "x": np.zeros((3, 4), np.float32), "history": [], "scale": np.float64(0.5), "pair": (1, 2)}

        def step(state: dict[str, Any]) -> dict[str, Any]:
            called(job.folder / "calls", state["k"])
            time.sleep(self.pause)
            noise = np.random.default_rng([job.seed, state["k"]]).normal(size=(4, 3)).astype(np.float32)
            x = state["scale"] * state["x"] + noise.T
            assert type(state["pair"]) is list and state["x"].flags.c_contiguous
            job.note(largest=x.max())
            return {**state, "k": state["k"] + 1, "x": x.astype(np.float32), "history": [*state["history"], float(x.sum())]}

        def total(state: dict[str, Any]) -> int:
            return self.steps + (state["k"] < 2)  # one more, it seems at first

        last = job.iterate(start, step, done=lambda state: state["k"] >= self.steps, total=total)
        frame = pl.DataFrame({"id": range(12), "value": last["x"].ravel()})
        return Made(Things(frame, job.root, meta={"history": last["history"]}))


@dataclass(frozen=True)
class Steps:
    """Random walks, one a part, whose blocks start from where the part does."""

    seed: int
    starts: np.ndarray
    pause: float
    folder: Path

    def part(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number]).normal(size=self.starts.shape) + self.starts * number

    def block(self, part: np.ndarray, some: slice) -> np.ndarray:
        called(self.folder / "places", os.environ.get("SLURMD_NODENAME", "here"))
        linger(self.folder, self.pause)
        return part[some].cumsum()


class Blocks(Protocol, id="toy.blocks", outputs=Made):
    """Compute block by block."""

    pause: float = Param("Pause", 0.0, ge=0, help="Seconds that each block takes.")

    def run(self, job: Job) -> Made:
        from cryoloom.numerics.parallel import Stage, Threads, blocks

        steps = Steps(job.seed, np.arange(20_000.0), self.pause, job.folder)
        stage = Stage(steps.part, steps.block, [blocks(20_000, 400)] * 3)
        found = [np.concatenate(results) for results in (job.blocks or Threads(job.threads)).results(stage)]
        return Made(Things(pl.DataFrame({"id": range(20_000), "value": np.sum(found, axis=0)}), job.root))


class Fail(Protocol, id="toy.fail", outputs=Made):
    """Fail as a whole."""

    how: str = Param("How", help="How the run itself fails.")

    def run(self, job: Job) -> Made:
        if self.how == "failure":
            raise Failure("toy-broken", "The toy is broken at value 3.", "Buy another.")
        if self.how == "exception":
            raise KeyError("surprise")
        if self.how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "silent":
            os._exit(7)
        if self.how == "needs-you":
            raise Failure("needs-you", "Draw some circles.", "")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (job.folder / "deaf").touch()
        time.sleep(60)
        raise AssertionError


class Join(Protocol, id="toy.join", outputs=Made):
    """Take several sets."""

    things: Things = Input("Things", help="The first.")
    more: tuple[Things, ...] = Input("More", help="Other sets.", many=True)

    def run(self, job: Job) -> Made:
        return Made(Things(pl.concat([each.items.select("id", "value") for each in (self.things, *self.more)]), job.root))


class Shell(Protocol, id="toy.shell", outputs=Made):
    """Run an external program."""

    script: str = Param("Script", "echo hello", help="For sh.")
    then: str = Param("Then", "", help="What else goes wrong.")

    def run(self, job: Job) -> Made:
        folder = job.run_program(["sh", "-c", self.script], name="shell", environment={"TOY": "1"})
        if self.then and not (job.folder / "second").exists():
            (job.folder / "second").touch()
            raise Failure("later", "Something later went wrong.")
        return Made(Things(pl.DataFrame({"id": [1], "value": [float(len(list(folder.iterdir())))]}), job.root))


class Scale(Protocol, id="toy.scale", outputs=Made, cite=("10.1000/toy",)):
    """Multiply each thing; with a file of its own beside it."""

    things: Things = Input("Things", help="What to multiply.")
    factor: float = Param("Factor", 2.0, help="What to multiply by.")
    ids: tuple[int, ...] = Param("Ids", (), help="Chosen by hand; not used.")

    def scale(self, item: Item) -> Mapping[str, Any]:
        path = item.output("_value.txt")
        path.write_text(f"{item['value'] * self.factor}\n")
        return {"value": item["value"] * self.factor, "data_path": path}

    def run(self, job: Job) -> Made:
        return Made(Things(job.map(self.scale, self.things).rows, job.root))


class Keep(Protocol, id="toy.keep", outputs=Made):
    """Keep the first things; their files stay where they are."""

    things: Things = Input("Things", help="What to choose from.")
    count: int = Param("Count", 2, ge=1, help="How many.")

    def run(self, job: Job) -> Made:
        return Made(self.things.select(self.things.items["id"].head(self.count)))


class Unsteady(Protocol, id="toy.unsteady", outputs=Made):
    """Give other numbers every time, as nothing should."""

    things: Things = Input("Things", help="How many.")

    def run(self, job: Job) -> Made:
        values = np.frombuffer(os.urandom(8 * len(self.things)), np.int64).astype(np.float64)
        return Made(Things(self.things.items.select("id").with_columns(value=pl.Series(values)), job.root, meta={"unit": "none"}))
