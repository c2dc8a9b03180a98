"""pick.deep: particles by a network that knows what particles look like in general, or has learned from the user's picks."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from blake3 import blake3

from cryoloom.data import Coordinates, CTFs, Micrographs, PickingModel
from cryoloom.data.identity import new_id_space
from cryoloom.data.picking import Border, Bright, Distance, Most, size_hints, to_be_picked
from cryoloom.data.picks import on_micrographs, pick_rows, picked_on
from cryoloom.report.panels import Histogram, LinePlot
from cryoloom.report.panels.line_plot import Series
from cryoloom.report.picks import picks_panel
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

LISTED = 0.1
"""Confidence from which picks are listed in `all_coordinates`, for another threshold afterwards."""

FEWEST_PIXELS = 10
"""Micrograph pixels across a particle that there must be."""

TOPAZ_PIXEL = 8.0
"""Å: the pixels that Topaz's pretrained networks were trained at, roughly."""


@dataclass(frozen=True)
class Picked(Outputs):
    """What is kept comes last, for the last set of a kind is what an export of everything writes."""

    all_coordinates: Coordinates
    coordinates: Coordinates
    model: PickingModel | None = None


class DeepPick(
    Protocol,
    id="pick.deep",
    version=3,
    outputs=Picked,
    cite=("10.1038/s42003-019-0437-z", "10.48550/arXiv.1904.07850"),
    aliases=("SphireProtCRYOLOPicking", "TopazProtPicking"),
    streams="micrographs",
):
    """Find particles with a network that was trained on simulated micrographs of many particles and needs to be told their diameter only.

    Each micrograph is brought to 24 pixels across the particle and levelled; the network says for every place how surely a particle's centre is
    there, and how large it is; a doubtful pick counts for more among sure ones. The network that comes with cryoloom saw simulated micrographs
    alone: where it misses yours, give coordinates of some micrographs that you picked in whole, and it learns from them first. The model is then
    an output that other runs can use.
    """

    micrographs: Micrographs = Input("Micrographs", help="The dose-weighted sums are used where there are any.")
    ctfs: CTFs | None = Input("CTFs", optional=True, help="With them, micrographs without a believable CTF are left out.")
    coordinates: Coordinates | None = Input(
        "Picks to learn from", optional=True, aliases=("inputCoordinates",),
        help="Of a few of these micrographs, picked in whole: what is not picked on them is learned as background.",
    )  # fmt: skip
    model: PickingModel | None = Input(
        "Model", optional=True, aliases=("inputModel",), help="Of an earlier pick.deep, in place of the general one."
    )
    engine: Literal["native", "topaz"] = Param(
        "Engine", "native",
        help="Topaz runs its own pretrained network with the command `topaz`, which must be installed. It knows no diameter but the spacing of picks.",
    )  # fmt: skip
    diameter: Angstrom = Param(
        "Particle diameter", gt=0, wizard="particle-size", aliases=("particle_diameter",),
        help="Of the particle's longest view. A fifth off costs little; half or twice finds parts, or pairs.",
    )  # fmt: skip
    threshold: float = Param(
        "Least confidence", 0.3, ge=0.1, le=1, aliases=("conservPickVar",),
        help="Picks that are less sure are left out; those above 0.1 stay in all_coordinates. Low values bring contaminants, high ones lose particles.",
    )  # fmt: skip
    bright: Bright
    distance: Distance
    border: Border
    most: Most
    tune_micrographs: int = Param(
        "Micrographs", 5, ge=1, group="Fine-tune", advanced=True,
        help="Learn from at most this many of those with picks, the ones with most. More are better and cost memory.",
    )  # fmt: skip
    tune_steps: int = Param(
        "Steps", 300, ge=1, group="Fine-tune", advanced=True, aliases=("nb_epoch",),
        help="Of eight crops each. Too few change little, too many learn the few micrographs by heart.",
    )  # fmt: skip
    tune_rate: float = Param(
        "Learning rate", 5e-4, gt=0, le=0.1, group="Fine-tune", advanced=True, aliases=("learning_rates",),
        help="The highest; it rises and falls. Too high forgets what the network knew.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        yield from size_hints(self.diameter, self.micrographs)
        coarsest = max(self.micrographs.of_groups("pixel_size").values(), default=0.0)
        if self.diameter < FEWEST_PIXELS * coarsest:
            yield Hint(
                "diameter",
                f"{self.diameter:g} Å is less than {FEWEST_PIXELS} pixels of {coarsest:g} Å: nothing can be seen of the particle",
            )
        if self.model is not None and self.model.meta.get("picker") != self.id:
            yield Hint("model", "was not learned by pick.deep: give the model of one of its runs, or none")
        if self.engine == "topaz" and (self.model is not None or self.coordinates is not None):
            yield Hint("engine", "topaz runs its own network and learns nothing here: leave model and picks out", fix="native")
        if self.engine == "topaz" and self.bright:
            yield Hint("bright", "topaz knows dark particles only", fix=False)
        if self.coordinates is not None and self._lessons().is_empty():
            yield Hint("coordinates", "hold no pick on any of these micrographs: they are of others, or all disabled")

    @classmethod
    def absent(cls) -> Mapping[str, Mapping[str, str]]:
        return {} if shutil.which("topaz") else {"engine": {"topaz": "The command topaz is not installed here."}}

    def fingerprint(self) -> Any:
        from cryoloom.numerics.learn.weights import shipped_weights

        return None if self.engine == "topaz" or self.model is not None else _hash(shipped_weights("pick-deep"))

    def run(self, job: Job) -> Picked:
        work = to_be_picked(self.micrographs, self.ctfs, job, self.id)
        model = self._learned(job) if self.coordinates is not None else None
        if self.engine == "topaz":
            rows = self._by_topaz(job, work)
        else:
            given = model or self.model
            path = given.items["model_path"][0] if given is not None else None
            content = _hash(job.root / path) if path else self.fingerprint()  # an item is done again when the model is another
            work = work.with_columns(work.items.select("id", model_path=pl.lit(path, pl.String), model_content=pl.lit(content)))
            rows = job.map(self.alone().detections, work).rows.sort("id")
        everything = self._numbered(rows)
        chosen = everything.filter(pl.col("score") >= self.threshold)
        if self.most is not None:
            chosen = chosen.filter(pl.col("id") % (1 << 20) < self.most)
        self._doubt(job, rows, chosen.height)
        picker = self.id if self.engine == "native" else self.engine
        meta = {"picker": picker, "diameter": self.diameter, "picked_micrographs": rows.height, "id_space": new_id_space(everything)}
        sets = (Coordinates(picks, job.root, optics=self.micrographs.optics, meta=meta) for picks in (everything, chosen))
        return Picked(*sets, model=model)

    def _doubt(self, job: Job, rows: pl.DataFrame, picks: int) -> None:
        inverted = int(rows["inverted"].sum())
        if 2 * inverted > rows.height:
            sign = "dark" if self.bright else "bright"
            job.warn(f"{inverted} of {rows.height} micrographs show more particles when they are inverted: are these {sign}? See --bright.")
        elif picks < 5 * rows.height:
            job.warn(f"Only {picks} particles in {rows.height} micrographs: is the diameter of {self.diameter:g} Å right?")

    # -- one micrograph -----------------------------------------------------------------------------------------

    def detections(self, item: Item) -> Mapping[str, Any]:
        """Pick one micrograph; tell also whether there would be more to pick if it were inverted."""
        import torch

        from cryoloom.numerics.learn.detect import detect

        torch.set_num_threads(1)
        scene = self._scene(item.file("micrograph_path"), item["pixel_size"], item["micrograph_name"])
        network = _network(item.file("model_path") if item["model_path"] else None)
        found = detect(scene, network, least=LISTED, distance=self.distance, border=self.border)
        other = detect(scene.inverted(), network, least=LISTED, distance=self.distance, border=self.border)
        inverted = other.sure > 2 * found.sure + 3
        places = {"x": found.x.tolist(), "y": found.y.tolist(), "score": found.confidence.tolist()}
        return {**places, "found_diameter": (found.diameter * item["pixel_size"]).tolist(), "inverted": inverted}

    def _scene(self, path: Path, pixel_size: float, name: str) -> Any:
        import numpy as np

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.learn.detector import GRAIN
        from cryoloom.numerics.picking.scene import reduce_micrograph

        try:
            return reduce_micrograph(np.squeeze(read_mrc(path).data), pixel_size, self.diameter, dark=not self.bright, grain=GRAIN)
        except ValueError as problem:
            raise Failure("diameter-too-large", f"{name}: {problem}.", "Give the diameter in Å.") from problem

    # -- learning from picks ------------------------------------------------------------------------------------

    def _lessons(self) -> pl.DataFrame:
        """Return the micrographs to learn from, those with most picks first: name, path, pixel size, and lists of x and y in their pixels."""
        assert self.coordinates is not None
        own = picked_on(self.micrographs.enabled()).select("id", "micrograph_name", "pixel_size", image="micrograph_path")
        picks = on_micrographs(self.coordinates, self.micrographs).select("x", "y", id="micrograph_id")
        picks = picks.join(own, on="id", maintain_order="left")
        lessons = picks.group_by("id", "micrograph_name", "image", "pixel_size", maintain_order=True).agg("x", "y")
        return lessons.sort(pl.col("x").list.len(), descending=True, maintain_order=True).head(self.tune_micrographs)

    def _learned(self, job: Job) -> PickingModel:
        lessons = self._lessons()
        start = self.model.items["model_path"][0] if self.model is not None else None
        columns = {name: [lessons[name].to_list()] for name in ("micrograph_name", "image", "pixel_size", "x", "y")}
        told = pl.DataFrame(
            {"id": [1], "start_path": pl.Series([start], dtype=pl.String), **columns, "enabled": [True], "fail_reason": [""]}
        )
        rows = job.map(self.alone().learn, Dataset(told, job.root), name="model").rows
        meta = {"picker": self.id, "diameter": self.diameter, "micrographs": lessons.height, "picks": int(lessons["x"].list.len().sum())}
        meta |= {"losses": rows["losses"][0].to_list()}
        return PickingModel(rows.select("id", "model_path"), job.root, meta=meta)

    def learn(self, item: Item) -> Mapping[str, Any]:
        """Fine-tune the network on all picked micrographs of the one item."""
        import numpy as np
        import torch

        from cryoloom.numerics.learn.tune import picked_example, tune
        from cryoloom.numerics.learn.weights import write_weights

        torch.set_num_threads(1)
        examples = []
        for name, image, size, x, y in zip(*(item[each] for each in ("micrograph_name", "image", "pixel_size", "x", "y")), strict=True):
            examples.append(picked_example(self._scene(item.root / image, size, name), np.asarray(x), np.asarray(y)))
        network = _network(item.file("start_path") if item["start_path"] else None)
        network, losses = tune(network, examples, steps=self.tune_steps, rate=self.tune_rate, seed=item.seed)
        path = item.output("_model.npz")
        write_weights(network, path)
        return {"model_path": path, "losses": losses}

    # -- Topaz --------------------------------------------------------------------------------------------------

    def _by_topaz(self, job: Job, work: Dataset) -> pl.DataFrame:
        """Have Topaz's pretrained network pick all micrographs, reduced by whole factors; its scores are log odds."""
        if shutil.which("topaz") is None:
            raise Failure(
                "topaz-missing", "pick.deep: the command topaz is not installed here.", "Install Topaz, or choose the engine native."
            )
        rows = work.to_polars().sort("id")
        frames = []
        for (size,), mine in rows.group_by("pixel_size", maintain_order=True):
            factor = max(1, round(TOPAZ_PIXEL / float(size)))  # pyright: ignore[reportArgumentType]
            label = f"topaz-{factor}-{mine.height}"
            folder = job.output(f"{label}-images")
            folder.mkdir(parents=True, exist_ok=True)
            links = []
            for row in mine.iter_rows(named=True):
                links.append(folder / f"{row['id']}.mrc")
                links[-1].unlink(missing_ok=True)
                links[-1].symlink_to(job.root / row["micrograph_path"])
            reduced = job.run_program(["topaz", "preprocess", "-s", str(factor), "-o", "reduced", *map(str, links)], name=f"{label}-reduce")
            radius = max(1, round(self.distance * self.diameter / float(size) / factor))  # pyright: ignore[reportArgumentType]
            images = [str(reduced / "reduced" / link.name) for link in links]
            words = ["topaz", "extract", "-m", "resnet16", "-r", str(radius), "-x", str(factor), "-t", "-2.2", "-o", "picks.txt", *images]
            found = job.run_program(words, name=f"{label}-extract") / "picks.txt"
            frames.append(
                pl.read_csv(found, separator="\t").select(
                    id=pl.col("image_name").cast(pl.String).cast(pl.Int64), x="x_coord", y="y_coord", score="score"
                )
            )
        picks = pl.concat(frames).with_columns(
            pl.col("x", "y").cast(pl.Float64), score=1.0 / (1.0 + (-pl.col("score").cast(pl.Float64)).exp())
        )
        picks = picks.filter(pl.col("score") >= LISTED).sort("score", descending=True, maintain_order=True)
        lists = picks.group_by("id", maintain_order=True).agg("x", "y", "score")
        lists = (
            rows.select("id").join(lists, on="id", how="left", maintain_order="left").with_columns(pl.col("x", "y", "score").fill_null([]))
        )
        return lists.with_columns(found_diameter=pl.lit(self.diameter).repeat_by(pl.col("x").list.len()), inverted=pl.lit(False))

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the picks of all micrographs, one row each, the surest of each micrograph first."""
        micrographs = {row["id"]: row for row in picked_on(self.micrographs.items).iter_rows(named=True)}
        frames = []
        for row in rows.iter_rows(named=True):
            columns = {name: pl.Series(row[name], dtype=pl.Float64) for name in ("x", "y", "score", "found_diameter")}
            frames.append(pick_rows(micrographs[row["id"]], self.diameter, **columns))
        return pl.concat(frames)

    # -- what it says -------------------------------------------------------------------------------------------

    def summary(self, out: Picked) -> Mapping[str, Any]:
        count, micrographs = len(out.coordinates), out.coordinates.meta["picked_micrographs"]
        picks = out.coordinates.items
        facts = {
            "particles": count,
            "micrographs": micrographs,
            "particles a micrograph": round(count / max(micrographs, 1), 1),
            "expected share of true picks": round(float(picks["score"].mean()), 3) if count else None,  # pyright: ignore[reportArgumentType]
            "median diameter found": round(float(picks["found_diameter"].median()), 1) if count else None,  # pyright: ignore[reportArgumentType]
        }
        return facts | ({"learned from": f"{out.model.meta['picks']} picks"} if out.model is not None else {})

    def methods(self, out: Picked) -> str:
        network = (
            "Topaz's pretrained network (Bepler et al., 2019, doi:10.1038/s41592-019-0575-8)"
            if self.engine == "topaz"
            else "a network trained on simulated micrographs"
        )
        if (model := out.model or self.model) is not None:
            network += f" and fine-tuned on {model.meta['picks']} picks of {model.meta['micrographs']} micrographs"
        return (
            f"Particles of {self.diameter:g} Å were picked by {network}, where its confidence was at least {self.threshold:g}. "
            f"This gave {len(out.coordinates)} positions in {out.coordinates.meta['picked_micrographs']} micrographs."
        )

    def report(self, out: Picked) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        picks, everything = out.coordinates.items, out.all_coordinates.items["score"].sort(descending=True)
        counts = picks.group_by("micrograph_id", maintain_order=True).len()
        panels = picks_panel(out.coordinates, read_mrc)
        if out.model is not None:
            losses = out.model.meta["losses"]
            course = Series("loss", range(1, len(losses) + 1), losses)
            panels.append(LinePlot(title="Fine-tuning", series=[course], x_label="step", y_label="loss of a batch"))
        number = Series("picks", everything.to_list(), range(1, len(everything) + 1))
        return [
            *panels,
            LinePlot(
                title="Picks above a confidence", series=[number], x_label="least confidence", y_label="picks", marks={"threshold": self.threshold},
                caption="Of all_coordinates; another threshold needs no new run: select from them by score.",
            ),
            Histogram(title="Confidence", values=everything.to_list(), label="confidence", marks={"threshold": self.threshold}),
            Histogram(title="Diameter", values=picks["found_diameter"].to_list(), label="diameter found, Å", marks={"given": self.diameter}),
            Histogram(title="Picks in a micrograph", values=[float(count) for count in counts["len"]], label="picks", bins=20),
        ]  # fmt: skip


def _hash(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()


def _network(path: Path | None) -> Any:
    """Return the network with the weights of `path`, or with those that come with cryoloom."""
    from cryoloom.numerics.learn.detector import Detector
    from cryoloom.numerics.learn.weights import read_weights, shipped_weights

    network = Detector()
    try:
        read_weights(network, path or shipped_weights("pick-deep"))
    except ValueError as problem:
        raise Failure("model-unreadable", f"{path or 'pick-deep.npz'}: {problem}.", "Give a model that pick.deep made.") from problem
    return network.eval()
