"""pick.consensus: positions that several pickers agree on, each looked at by networks that tell particles from everything else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl

from cryoloom.data import Coordinates, Micrographs, PickingModel
from cryoloom.data.identity import new_id_space
from cryoloom.data.picks import micrographs_of, model_file, on_micrographs, pick_rows, picked_on
from cryoloom.report.panels import Histogram, LinePlot, Series, TableView
from cryoloom.report.picks import picks_panel
from cryoloom.spec import Failure, Hint, Input, Item, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.picking.scene import Scene

UNLIKE = 1.2
"""Diameters whose ratio is above this are not of one particle."""

FEWEST, MOST = 640, 5000
"""Agreed positions that must be there to learn from, and that are learned from at the most."""


@dataclass(frozen=True)
class Agreed(Outputs):
    """What is kept comes last, for the last set of a kind is what an export of everything writes."""

    all_coordinates: Coordinates
    coordinates: Coordinates
    model: PickingModel | None = None


class PickConsensus(
    Protocol,
    id="pick.consensus",
    version=3,
    outputs=Agreed,
    cite=("10.1107/S2052252518014392",),
    aliases=("XmippProtScreenDeepConsensus", "XmippProtConsensusPicking"),
):
    """Gather the positions of several pickers into one of each particle, and score each by who found it and what it looks like.

    Networks that come with cryoloom, trained on simulated micrographs, look at every position. What votes and scores of `pick.blob`, `pick.template` and
    `pick.deep` count beside that is known from simulated micrographs, too, and used where they confirm each other. How much the vote of another picker
    counts is learned from all positions together: one that brings much junk counts for little. Positions below the threshold stay in
    `all_coordinates`.
    """

    coordinates: tuple[Coordinates, ...] = Input(
        "Coordinates", many=True, aliases=("inputCoordinates",),
        help="Positions of several pickers on the same micrographs; repeat the flag. With one set positions are only looked at. Pickers with a low threshold "
        "(0.05; all_coordinates of pick.deep) give more to choose from: more faint particles, hardly more junk.",
    )  # fmt: skip
    micrographs: Micrographs | None = Input(
        "Micrographs", optional=True, help="To look at, if others than those that were picked on: other sums, or another size."
    )
    model: PickingModel | None = Input(
        "Networks",
        optional=True,
        aliases=("continueRun",),
        help="Of an earlier pick.consensus that learned, in place of those that come with cryoloom.",
    )
    by: Literal["network", "votes"] = Param(
        "Score by", "network",
        help="network: by looks and votes together, a probability. votes: by the share of the pickers that found it; micrographs are not read.",
    )  # fmt: skip
    threshold: float = Param(
        "Least score", 0.5, ge=-1, le=1, when="by == 'network'",
        help="Positions of a lower score are left out; -1 keeps all. 0.75 gives purer sets; too high loses rare views.",
    )  # fmt: skip
    votes: int | None = Param(
        "Least votes", None, ge=1, aliases=("consensus",),
        help="Pickers that must have found it. Empty: one by network, all by votes. Too many keeps only what is easy.",
    )  # fmt: skip
    radius: float = Param(
        "Radius", 0.25, gt=0, le=1, advanced=True, aliases=("consensusRadius",),
        help="Positions of different pickers within this many diameters are one particle. Too large joins neighbours.",
    )  # fmt: skip
    distance: float = Param(
        "Least distance", 0.5, ge=0, le=2, advanced=True,
        help="Between kept positions, in diameters; of two that are nearer the less likely one goes. Too small keeps a particle twice.",
    )  # fmt: skip
    diameter: Angstrom | None = Param(
        "Particle diameter", None, gt=0, advanced=True, help="Empty takes that of the coordinates. Wrong, everything looks like junk."
    )
    train: bool = Param(
        "Learn from these sets", False, when="by == 'network'", group="Learning",
        help="What at least two pickers agree on is learned as particles, places without any pick as others, before positions are scored. For particles "
        "and ice unlike the simulated ones. The networks are an output that other runs can use.",
    )  # fmt: skip
    train_steps: int = Param(
        "Steps", 400, ge=1, when="train", group="Learning", advanced=True, aliases=("nEpochs",),
        help="Of 96 positions each. Too few change little; too many learn the mistakes that pickers share.",
    )  # fmt: skip
    train_rate: float = Param(
        "Learning rate", 5e-4, gt=0, le=0.1, when="train", group="Learning", advanced=True, aliases=("learningRate",),
        help="The highest; it rises and falls. Too high forgets what the networks knew.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if not self.coordinates:
            yield Hint("coordinates", "is empty: give the positions of at least one picker")
            return
        tables = [each.stored for each in self.coordinates]
        if any(table is not None and table in tables[:number] for number, table in enumerate(tables)):
            yield Hint("coordinates", "hold one set twice, which agrees with itself: give each once")
        if self.votes is not None and self.votes > len(self.coordinates):
            yield Hint("votes", f"are more than the {len(self.coordinates)} sets", fix=len(self.coordinates))
        if not self._diameter:
            yield Hint("diameter", "is not told by the coordinates: give it in Å")
        elif self.diameter is None and (told := self._diameters) and max(told) > UNLIKE * min(told):
            yield Hint("diameter", f"differs between the sets, {min(told):g} to {max(told):g} Å: say which", fix=self._diameter)
        if self.model is not None and self.model.meta.get("picker") != self.id:
            yield Hint("model", "was not learned by pick.consensus: give the networks of one of its runs, or none")
        if self.train and self.by == "network" and len(self.coordinates) < 2:
            yield Hint("train", "needs at least two pickers to agree", fix=False)
        if self._field is None:
            yield Hint("micrographs", "are needed: the coordinates do not say which files they were picked on")
        elif all(_names(each).isdisjoint(self._names) for each in self.coordinates):
            yield Hint("micrographs", "are not those of the coordinates: no name of one occurs in the other")

    def automatic(self) -> Mapping[str, Any]:
        return {"diameter": self._diameter or None, "votes": self._least_votes}

    @property
    def _least_votes(self) -> int:
        return self.votes or (1 if self.by == "network" else len(self.coordinates))

    @property
    def _diameters(self) -> list[float]:
        return [float(each.meta["diameter"]) for each in self.coordinates if each.meta.get("diameter")]

    @property
    def _diameter(self) -> float:
        """Å; that of the first set that tells one, if none was given; 0 if none does."""
        return float(self.diameter or next(iter(self._diameters), 0.0))

    @cached_property
    def _field(self) -> Dataset | None:
        """Return the micrographs to look at, with the file in ``micrograph_path``."""
        if self.micrographs is None:
            return micrographs_of(self.coordinates)
        rows = picked_on(self.micrographs.items.filter("enabled"))
        return Dataset(rows, self.micrographs.root, optics=self.micrographs.optics)

    @property
    def _names(self) -> set[str]:
        return set() if self._field is None else set(self._field.items["micrograph_name"])

    def run(self, job: Job) -> Agreed:
        field = self._field
        assert field is not None  # `check` has seen to it
        work = self._work(job, field)
        alone = self.model_copy(update={"coordinates": (), "micrographs": None, "model": None, "diameter": self._diameter})
        rows = job.map(alone.gather, Dataset(work, job.root, optics=field.optics), name="positions").rows.sort("id")
        model = self._learned(job, alone, rows, field) if self.train and self.by == "network" else None
        if self.by == "network":
            path, content = model_file(model or self.model, job.root)
            told = (
                rows.select("id", "x", "y")
                .join(field.items, on="id")
                .with_columns(model_path=pl.lit(path, pl.String), model_content=pl.lit(content))
            )
            looks = job.map(alone.look, Dataset(told, job.root, optics=field.optics), name="looks").rows
            rows = rows.join(looks, on="id").sort("id")
        rows, weighed = self._scored(rows, field)
        least = self._least_votes
        kept = rows.filter(pl.col("votes") >= least)
        if self.by == "network":
            kept = kept.filter(pl.col("score") >= self.threshold)
        kept = self._apart(kept, field)
        if kept.is_empty():
            job.warn(f"None of {rows.height} positions is kept: are the sets of one kind of particle, and the diameter right?")
        meta = {"diameter": self._diameter, "pickers": len(self.coordinates), "weighed": weighed, "id_space": new_id_space(rows)}
        both = (Coordinates(part, job.root, optics=field.optics, meta=meta) for part in (rows, kept))
        return Agreed(*both, model=model)

    def _work(self, job: Job, field: Dataset) -> pl.DataFrame:
        """Return the micrographs with the positions of all pickers on them: lists ``x``, ``y``, ``score`` and whose each is, ``picker``."""
        parts = [
            on_micrographs(each, field).select(
                "micrograph_id",
                "x",
                "y",
                score=pl.col("score").cast(pl.Float64) if "score" in each.schema else pl.lit(1.0),
                picker=pl.lit(number),
            )
            for number, each in enumerate(self.coordinates)
        ]
        for number, (part, each) in enumerate(zip(parts, self.coordinates, strict=True), 1):
            if lost := each.enabled().height - part.height:
                job.warn(f"{lost} positions of set {number} lie on micrographs that are not looked at; they are left out.")
        lists = pl.concat(parts).group_by("micrograph_id", maintain_order=True).agg("x", "y", "score", "picker")
        if lists.is_empty():
            raise Failure(
                "no-coordinates", "pick.consensus: no position lies on these micrographs.", "Give the micrographs that were picked on."
            )
        lists = lists.with_columns(pickers=pl.lit(len(self.coordinates)))
        return field.items.join(lists, left_on="id", right_on="micrograph_id", how="inner", maintain_order="left").sort("id")

    def gather(self, item: Item) -> Mapping[str, Any]:
        """Gather the positions on one micrograph: ``found`` has bit n set if picker n found it; ``sure`` are all pickers' scores of each, or NaN."""
        import numpy as np

        from cryoloom.numerics.picking.groups import group_picks

        places = np.column_stack([item["x"], item["y"]])
        picker = np.asarray(item["picker"])
        own = [np.flatnonzero(picker == number) for number in range(item["pickers"])]
        groups = group_picks([places[each] for each in own], self.radius * self._diameter / item["pixel_size"])
        found = [sum(1 << number for number, index in enumerate(of_one) if index >= 0) for of_one in groups.members.tolist()]
        score = np.asarray(item["score"], dtype=np.float64)
        sure = np.full(groups.members.shape, np.nan)
        for number, each in enumerate(own):
            has = groups.members[:, number] >= 0
            sure[has, number] = score[each][groups.members[has, number]]
        return {"x": groups.x.tolist(), "y": groups.y.tolist(), "found": found, "sure": sure.ravel().tolist()}

    def look(self, item: Item) -> Mapping[str, Any]:
        """Look at the positions on one micrograph: mean of the networks' logits, and how far they differ."""
        import torch

        from cryoloom.numerics.learn.scorer import read_scorer

        torch.set_num_threads(1)
        scene = self._scene(item.file("micrograph_path"), item["pixel_size"], dark=item.row.get("contrast") != "bright")
        places = (torch.tensor(item[axis], dtype=torch.float64) / scale for axis, scale in zip("xy", scene.scale[::-1], strict=True))
        logits = read_scorer(item.file("model_path") if item["model_path"] else None).scores(scene.pixels, *places)
        return {"odds": logits.mean(dim=0).tolist(), "spread": logits.std(dim=0, unbiased=False).tolist()}

    def _scene(self, path: Path, pixel_size: float, *, dark: bool) -> "Scene":
        import numpy as np

        from cryoloom.formats.mrc import read_mrc
        from cryoloom.numerics.learn.scorer import GRAIN
        from cryoloom.numerics.picking.scene import reduce_micrograph

        try:
            return reduce_micrograph(np.squeeze(read_mrc(path).data), pixel_size, self._diameter, dark=dark, grain=GRAIN)
        except ValueError as problem:
            raise Failure("diameter-too-large", f"{path.name}: {problem}.", "Give the diameter in Å.") from problem

    def _learned(self, job: Job, alone: Self, rows: pl.DataFrame, field: Dataset) -> PickingModel:
        """Train the networks on what at least two pickers agree on."""
        import numpy as np

        agreed = [[number.bit_count() > 1 for number in found] for found in rows["found"]]
        count = sum(map(sum, agreed))
        if count < FEWEST:
            raise Failure(
                "too-few-agree", f"pick.consensus: the pickers agree on {count} positions; {FEWEST} are needed to learn from.",
                "Score with the networks that come with cryoloom: leave --train out.",
            )  # fmt: skip
        # Of micrographs in a random order, as many as it takes.
        order = np.random.default_rng(job.seed).permutation(rows.height)
        enough = np.searchsorted(np.cumsum([sum(agreed[place]) for place in order]), MOST) + 1
        chosen = sorted(order[:enough].tolist())
        told = (
            rows[chosen]
            .with_columns(agreed=pl.Series([agreed[place] for place in chosen]))
            .join(field.items, on="id", maintain_order="left")
        )
        sizes = {group["optics_group"]: float(group["pixel_size"]) for group in field.optics}
        dark = {group["optics_group"]: group.get("contrast") != "bright" for group in field.optics}
        told = told.with_columns(pixel_size=pl.col("optics_group").replace_strict(sizes), dark=pl.col("optics_group").replace_strict(dark))
        path, content = model_file(self.model, job.root)
        lists = {name: [told[name].to_list()] for name in ("micrograph_path", "pixel_size", "dark", "x", "y", "agreed")}
        item = {"id": [1], **lists, "model_content": [content], "enabled": [True], "fail_reason": [""]}
        work = pl.DataFrame(item).rename({"micrograph_path": "images"}).with_columns(model_path=pl.lit(path, pl.String))
        learned = job.map(alone.learn, Dataset(work, job.root), name="networks").rows
        meta = {"picker": self.id, "diameter": self._diameter, "agreed": count, "losses": learned["losses"][0].to_list()}
        return PickingModel(learned.select("id", "model_path"), job.root, meta=meta)

    def learn(self, item: Item) -> Mapping[str, Any]:
        """Train the networks on the micrographs of the one item."""
        import copy

        import numpy as np
        import torch

        from cryoloom.numerics.learn.levelling import level
        from cryoloom.numerics.learn.scorer import GRAIN, cut_squares, read_scorer
        from cryoloom.numerics.learn.scorer_fit import tune
        from cryoloom.numerics.learn.weights import write_weights
        from cryoloom.numerics.picking.peaks import far_places

        torch.set_num_threads(1)
        rng = np.random.default_rng(item.seed)
        right, wrong = [], []
        lists = (item[name] for name in ("images", "pixel_size", "dark", "x", "y", "agreed"))
        for image, size, dark, x, y, agreed in zip(*lists, strict=True):
            scene = self._scene(item.root / image, size, dark=dark)
            places = np.stack([np.asarray(x) / scene.scale[1], np.asarray(y) / scene.scale[0]], axis=1)
            here = places[np.asarray(agreed, dtype=bool)]
            away = far_places(places, (scene.pixels.shape[1], scene.pixels.shape[0]), 0.75 * GRAIN, len(here), rng)
            levelled = level(scene.pixels[None], GRAIN)[0]
            for kind, chosen in ((right, here), (wrong, away)):
                kind.append(cut_squares(levelled, *map(torch.from_numpy, chosen.T)))
        networks = copy.deepcopy(read_scorer(item.file("model_path") if item["model_path"] else None))
        losses = tune(networks, torch.cat(right), torch.cat(wrong), steps=self.train_steps, rate=self.train_rate, seed=item.seed)
        path = item.output("_networks.npz")
        write_weights(networks, path)
        return {"model_path": path, "losses": losses}

    def _scored(self, rows: pl.DataFrame, field: Dataset) -> tuple[pl.DataFrame, bool]:
        """Return one row a gathered position of the micrographs `rows`, with its votes and score; and whether the pickers' worth was known."""
        import numpy as np

        from cryoloom.numerics.picking.fusion import fused_probability
        from cryoloom.numerics.picking.votes import particle_probability

        pickers = len(self.coordinates)
        found = np.concatenate([np.asarray(values, dtype=np.int64) for values in rows["found"]])
        voted = (found[:, None] >> np.arange(pickers)) & 1 == 1
        votes = voted.sum(axis=1)
        columns: dict[str, Any] = {"votes": votes, "score": votes / pickers}
        known = None
        if self.by == "network":
            odds, spread = (np.concatenate([np.asarray(values) for values in rows[name]]) for name in ("odds", "spread"))
            columns["deep_score"] = 1.0 / (1.0 + np.exp(-odds))
            columns["deep_spread"] = spread
            sure = np.concatenate([np.asarray(values, dtype=np.float64) for values in rows["sure"]]).reshape(-1, pickers)
            known = fused_probability([each.meta.get("picker", "") for each in self.coordinates], sure, odds)
            columns["score"] = particle_probability(voted, odds) if known is None else known
        columns["found_by"] = [",".join(str(number + 1) for number in np.flatnonzero(each)) for each in voted]
        about = {row["id"]: row for row in field.items.iter_rows(named=True)}
        frames, start = [], 0
        for row in rows.iter_rows(named=True):
            mine = slice(start, start + len(row["x"]))
            start = mine.stop
            told = {name: values[mine] for name, values in columns.items()}
            frames.append(pick_rows(about[row["id"]], self._diameter, x=row["x"], y=row["y"], **told))
        return pl.concat(frames), known is not None

    def _apart(self, rows: pl.DataFrame, field: Dataset) -> pl.DataFrame:
        """Return the rows without those nearer than `distance` to a likelier one on the same micrograph."""
        import numpy as np

        from cryoloom.numerics.picking.peaks import keep_apart

        sizes = {group["optics_group"]: float(group["pixel_size"]) for group in field.optics}
        frames = []
        for mine in rows.partition_by("micrograph_id", maintain_order=True):
            order = np.lexsort((-mine["votes"].to_numpy(), -mine["score"].to_numpy()))
            distance = self.distance * self._diameter / sizes[mine["optics_group"][0]]
            alive = keep_apart(mine["x"].to_numpy()[order], mine["y"].to_numpy()[order], distance)
            frames.append(mine[np.sort(order[alive])])
        return pl.concat(frames) if frames else rows

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Agreed) -> Mapping[str, Any]:
        return {
            "positions of all pickers": sum(each.enabled().height for each in self.coordinates),
            "different ones": len(out.all_coordinates),
            "kept": len(out.coordinates),
            **{f"found by {votes}": count for votes, count in _by_votes(out.all_coordinates.items)},
        }

    def methods(self, out: Agreed) -> str:
        how = (
            f"scored by votes{' and scores' if out.coordinates.meta['weighed'] else ''} and by networks trained on simulated micrographs, and kept from "
            f"a probability of {self.threshold:g} on"
            if self.by == "network"
            else f"kept if at least {self.votes or len(self.coordinates)} of them agreed"
        )
        return (
            f"The positions of {len(self.coordinates)} pickers were gathered within {self.radius:g} particle diameters and {how}: "
            f"{len(out.coordinates)} of {len(out.all_coordinates)} positions."
        )

    def report(self, out: Agreed) -> list[Panel]:
        from cryoloom.formats.mrc import read_mrc

        rows, kept = out.all_coordinates.items, set(out.coordinates.items["id"])
        panels: list[Panel] = [*picks_panel(out.coordinates, read_mrc)]
        if out.model is not None:
            losses = out.model.meta["losses"]
            panels.append(
                LinePlot(
                    title="Learning", series=[Series("loss", list(range(1, len(losses) + 1)), losses)], x_label="step", y_label="mean loss"
                )
            )
        if self.by == "network":
            panels.append(
                Histogram(
                    title="Score",
                    values=rows["score"].to_list(),
                    label="probability of being a particle",
                    marks={"kept from": self.threshold},
                )
            )
        shares = []
        for number in range(1, len(self.coordinates) + 1):
            mine = rows.filter(pl.col("found_by").str.split(",").list.contains(str(number)))["id"]
            alone = rows.filter(pl.col("found_by") == str(number)).height
            shares.append((number, len(mine), alone, sum(1 for each in mine if each in kept)))
        names = ("set", "positions", "found by it alone", "kept")
        table = {name: [share[place] for share in shares] for place, name in enumerate(names)}
        who = rows.group_by("found_by").len().sort("len", descending=True)
        return [
            *panels,
            TableView(title="Pickers", columns=table),
            TableView(title="Who found what", columns={"sets": who["found_by"].to_list(), "positions": who["len"].to_list()}),
        ]


def _names(coordinates: Coordinates) -> set[str]:
    return set(coordinates.items["micrograph_name"])


def _by_votes(rows: pl.DataFrame) -> list[tuple[int, int]]:
    return sorted(rows.group_by("votes").len().iter_rows(), reverse=True)
