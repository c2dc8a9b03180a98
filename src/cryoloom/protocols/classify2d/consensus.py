"""classify2d.consensus: what two or more 2D classifications of the same particles say of each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Classes2D, Particles
from cryoloom.data.compared import comparison_hints, not_classified
from cryoloom.data.members import foreign_classes
from cryoloom.report.class_agreement import class_agreement_panels
from cryoloom.report.panels import Funnel, Histogram, Notice, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol

if TYPE_CHECKING:
    from cryoloom.numerics.align.class_consensus import Consensus, Opinion
    from cryoloom.numerics.align.contingency import Contingency

LIKENESS = ("match", "similarity", "log_likelihood")
"""Columns that say how like its class average a particle is, the best first; the later ones count within their class."""
MISFIT = ("junk_z", "component_z")
"""Columns that say by how many deviations it leaves other members; their logarithm is about normal."""
MATCH = 0.75
"""Least match of a particle that a method alone calls good, as `sets.select` has it."""
UNLIKE = 1.0
"""Log-odds from which a particle's likeness is a reason against it."""


@dataclass(frozen=True)
class Agreed(Outputs):
    """What is kept comes last, for the last set of a kind is what an export of everything writes."""

    rejected: Particles | None = None
    classes: Classes2D | None = None
    particles: Particles | None = None


class ClassConsensus(
    Protocol,
    id="classify2d.consensus",
    outputs=Agreed,
    cite=("10.2307/2346806", "10.1007/BF01908075"),
):
    """Keep the particles that two or more classifications together call good, and give each a junk score.

    A class is judged by its average and by what the other classifications make of its members; a particle by its classes in all of them and by how
    much of their averages it shows. Poses and classes are those of the first classification. What is not kept is in a set of its own, with the
    reasons.
    """

    particles: tuple[Particles, ...] = Input(
        "Particles", many=True, aliases=("inputParticles", "inputClassifications"),
        help="Of at least two classifications of the same particles; repeat the flag. Two methods tell more than two runs of one.",
    )  # fmt: skip
    classes: tuple[Classes2D, ...] | None = Input(
        "Classes", many=True, optional=True, aliases=("inputClasses",),
        help="Of each classification, in the same order; those that have none come last. Of a part of the classes, the others count as bad.",
    )  # fmt: skip
    by: Literal["score", "votes"] = Param(
        "Keep by", "score",
        help="score: by the junk score, in which all classifications are weighed together. votes: what so many of them call good by themselves.",
    )  # fmt: skip
    max_junk: float = Param(
        "Greatest junk score", 0.5, ge=0, le=1, when="by == 'score'",
        help="Particles above it are left out: the probability of being none. Lower is purer; too low loses rare views.",
    )  # fmt: skip
    votes: int | None = Param(
        "Least votes", None, ge=1, when="by == 'votes'", help="Classifications that must call a particle good. Empty: all of them."
    )
    min_quality: float = Param(
        "Least class quality", 0.5, ge=0, le=1, advanced=True,
        help="From which a classification by itself calls a class good, as in sets.select. It counts for votes, not for scores.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if refused := not_classified(self.particles):
            yield refused
            return
        yield from comparison_hints(self.particles)
        yield from self._unlike_classes()
        if self.votes is not None and self.votes > len(self.particles):
            yield Hint("votes", f"are more than the {len(self.particles)} classifications", fix=len(self.particles))

    def _unlike_classes(self) -> Iterator[Hint]:
        classes = self.classes or ()
        if not any("quality" in each.schema for each in classes):
            yield Hint("classes", "are needed: of one classification at least it must be known which classes are good")
        if len(classes) > len(self.particles):
            yield Hint(
                "classes",
                f"are of {len(classes)} classifications, the particles of {len(self.particles)}: give one for each, in the same order",
            )
            return
        for number, (particles, each) in enumerate(zip(self.particles, classes, strict=False), 1):
            if foreign := foreign_classes(particles, each):
                yield Hint("classes", f"(set {number}) {foreign}. Give them in the order of the particles")
            elif sizes := _mixed_sizes(each):
                yield Hint("classes", f"(set {number}) hold averages of {sizes}: give the classes of one run")

    @property
    def _least_votes(self) -> int:
        return self.votes or len(self.particles)

    def automatic(self) -> Mapping[str, Any]:
        return {"votes": self._least_votes}

    def run(self, job: Job) -> Agreed:
        import numpy as np

        rows = self._common
        absent = len(self.particles[0].ids()) - rows.height
        if absent:
            job.warn(f"{absent} particles of the first set are not in all others, or disabled there; they are left out of both outputs.")
        job.progress(1, 3, "comparing")
        found = self._consensus
        votes = self._votes.sum(axis=1)
        kept = found.junk <= self.max_junk if self.by == "score" else votes >= self._least_votes
        job.progress(2, 3, "writing")
        columns = pl.DataFrame(
            {
                "id": rows["id"], "junk_score": found.junk, "good_votes": votes.astype(np.int64),
                "class_ids": pl.Series(np.stack([rows[f"class_id_{n}"].to_numpy() for n in range(self._sets)], axis=1).tolist(), dtype=pl.List(pl.Int64)),
                "class_junk": pl.Series(found.class_junk.tolist(), dtype=pl.List(pl.Float64)),
            }
        )  # fmt: skip
        whole = self.particles[0].select(rows["id"]).with_columns(columns)
        ids = rows["id"].to_numpy()
        if not kept.any():
            job.warn("No particle is kept, so there is no such output. The reasons are in the rejected set.")
        agreed = whole.select(ids[kept]) if kept.any() else None
        rejected = None
        if not kept.all():
            rejected = whole.select(ids[~kept]).disable(
                {int(ids[place]): self._why_not(place, votes[place]) for place in np.flatnonzero(~kept).tolist()}
            )
        return Agreed(rejected, self._classes_kept(kept), agreed)

    # -- the classifications ------------------------------------------------------------------------------------

    @property
    def _sets(self) -> int:
        return len(self.particles)

    @cached_property
    def _common(self) -> pl.DataFrame:
        """Return ``id`` of the particles that all classifications hold, in the first's order, with ``class_id_0`` … and what says how like they are.

        What a classification has passed on from an earlier one counts once.
        """
        rows = self.particles[0].enabled().select("id")
        for number, each in enumerate(self.particles):
            table = each.enabled()
            names = ["class_id", *(name for name in (*LIKENESS, *MISFIT, "core") if name in table.columns)]
            mine = table.select("id", *(pl.col(name).alias(f"{name}_{number}") for name in names))
            rows = rows.join(mine, on="id", how="inner", maintain_order="left")
            passed_on = [name for name in names[1:] if any(_equal(rows, name, number, before) for before in range(number))]
            rows = rows.drop(f"{name}_{number}" for name in passed_on)
        return rows.with_columns(pl.col(f"class_id_{number}").fill_null(0).cast(pl.Int64) for number in range(self._sets))

    @cached_property
    def _opinions(self) -> "list[Opinion]":
        """Return each classification: classes in the order of their numbers, with their quality."""
        import numpy as np

        from cryoloom.numerics.align.class_consensus import Opinion

        found = []
        for number in range(self._sets):
            label, member = np.unique(self._common[f"class_id_{number}"].to_numpy(), return_inverse=True)
            quality = np.full(len(label), np.nan)
            if number < len(self.classes or ()):
                table = (self.classes or ())[number].items
                known = table["quality"].to_list() if "quality" in table.columns else [float("nan")] * table.height
                of_class = dict(zip(table["class_id"].to_list(), known, strict=True))
                quality = np.array([of_class.get(int(each), 0.0) for each in label], dtype=np.float64)
            # What a method put into no class at all it calls bad.
            member = member.astype(np.int64)
            found.append(Opinion(member, np.where(label < 1, 0.0, quality), self._likeness(number, member)))
        return found

    def _likeness(self, number: int, member: Any) -> Any:
        """Return ``(n, d)`` how like its class average each particle is, and how far from other members, as far as the method tells."""
        import numpy as np

        from cryoloom.numerics.align.class_consensus import standing

        there = [name for name in (*LIKENESS, *MISFIT) if f"{name}_{number}" in self._common.columns]
        found = []
        for name in [*[each for each in there if each in LIKENESS][:1], *[each for each in there if each in MISFIT]]:
            values = self._common[f"{name}_{number}"].cast(pl.Float64).to_numpy().astype(np.float64)
            values = np.where(np.isfinite(values), values, np.nan)
            if name in LIKENESS[1:]:
                values = standing(values, member)
            elif name in MISFIT:
                values = np.log(np.maximum(values, 0.0) + 0.3)
            middle = np.nanmedian(values) if np.isfinite(values).any() else 0.0
            found.append(np.nan_to_num(values, nan=middle))
        return np.stack(found, axis=1) if found else np.zeros((len(member), 0))

    @cached_property
    def _consensus(self) -> "Consensus":
        from cryoloom.numerics.align.class_consensus import consensus

        return consensus(self._opinions)

    @cached_property
    def _votes(self) -> Any:
        """Return ``(n, m)`` whether each classification by itself calls a particle good: by its class, its match, and the class's core."""
        import numpy as np

        from cryoloom.numerics.align.class_quality import least_match

        found = []
        for number, opinion in enumerate(self._opinions):
            known = ~np.isnan(opinion.quality)
            # Where averages were not judged, what the other classifications make of a class stands in.
            good = np.where(
                known[opinion.member], opinion.quality[opinion.member] >= self.min_quality, self._consensus.class_junk[:, number] <= 0.5
            )
            if f"match_{number}" in self._common.columns:
                match = self._common[f"match_{number}"].to_numpy()
                good = good & (match >= least_match(match[good], MATCH))
            if f"core_{number}" in self._common.columns:
                good = good & self._common[f"core_{number}"].fill_null(False).to_numpy()
            found.append(good)
        return np.stack(found, axis=1)

    def _why_not(self, place: int, votes: int) -> str:
        """Return why the particle at `place` is not kept."""
        found = self._consensus
        told = [f"junk score {found.junk[place]:.2f}"] if self.by == "score" else [f"called good by {votes} of {self._sets}"]
        for number, share in enumerate(found.class_junk[place]):
            if share > 0.5:
                told.append(f"class {self._common[f'class_id_{number}'][place]} of set {number + 1} holds {100 * share:.0f} % junk")
            if found.unlike[place, number] > UNLIKE:
                told.append(f"unlike its class average in set {number + 1}")
        return "; ".join(told)

    def _tables(self) -> Iterator[tuple[int, int, "Contingency"]]:
        from cryoloom.numerics.align.contingency import Contingency

        for one, two in combinations(range(self._sets), 2):
            yield one, two, Contingency.of(self._opinions[one].member, self._opinions[two].member)

    def _judged(self, number: int, kept: Any) -> pl.DataFrame:
        """Return ``class_id``, ``junk`` (share of its particles), ``agreed`` (particles kept) and ``reason`` of the classes of a classification."""
        import numpy as np

        opinion, found = self._opinions[number], self._consensus
        size = np.bincount(opinion.member, minlength=len(opinion.quality))
        junk = np.bincount(opinion.member, found.junk, minlength=len(size)) / np.maximum(size, 1)
        label = np.unique(self._common[f"class_id_{number}"].to_numpy())
        agreed = np.bincount(opinion.member, kept, minlength=len(size)).astype(np.int64)
        words = [
            f"{'good' if share <= 0.5 else 'bad'}: {100 * share:.0f} % junk by all classifications"
            + ("" if np.isnan(quality) else f", quality {quality:.2f} by its average")
            for share, quality in zip(junk, opinion.quality, strict=True)
        ]
        return pl.DataFrame({"class_id": label, "junk": junk.round(3), "agreed": agreed, "common": size, "reason": words})

    def _classes_kept(self, kept: Any) -> Classes2D | None:
        """Return the classes of the first classification that hold particles rather than junk, with what was found of them."""
        if not self.classes:
            return None
        first = self.classes[0]
        judged = self._judged(0, kept).filter(pl.col("class_id").is_in(first.items["class_id"].implode()))
        good = judged.filter((pl.col("junk") <= 0.5) & (pl.col("agreed") > 0))
        if good.is_empty():
            return None
        ids = first.items.select("id", "class_id").join(good, on="class_id", how="inner", maintain_order="left")
        return first.select(ids["id"]).with_columns(ids.select("id", "junk", "agreed", "reason"))

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Agreed) -> Mapping[str, Any]:
        kept, rejected = (0 if part is None else len(part) for part in (out.particles, out.rejected))
        called = {f"called good by set {number}": int(each) for number, each in enumerate(self._votes.sum(axis=0), 1)}
        told: dict[str, Any] = {
            "in common": kept + rejected,
            **called,
            "by all": int(self._votes.all(axis=1).sum()),
            "kept": kept,
            "rejected": rejected,
        }
        for one, two, table in self._tables():
            told[f"classes of sets {one + 1} and {two + 1}"] = f"{table.verdict} (adjusted Rand index {table.adjusted_rand:.2f})"
        return told

    def methods(self, out: Agreed) -> str:
        kept, rejected = (0 if part is None else len(part) for part in (out.particles, out.rejected))
        how = (
            f"by the probability of being junk, at most {self.max_junk:g}, from their classes in all of them and their likeness to the class averages"
            if self.by == "score"
            else f"if {self._least_votes} of them called a particle good"
        )
        return f"{self._sets} two-dimensional classifications were compared; {kept} of {kept + rejected} particles were kept {how}."

    def report(self, out: Agreed) -> list[Panel]:
        import numpy as np

        from cryoloom.formats.stack import read_particles

        kept_ids = set() if out.particles is None else set(out.particles.ids())
        kept = np.array([each in kept_ids for each in self._common["id"]])
        votes = self._votes
        steps = [("In all classifications", len(kept)), *((f"Good by set {n + 1}", int(votes[:, n].sum())) for n in range(self._sets))]
        steps += [("Good by all", int(votes.all(axis=1).sum())), ("Kept", int(kept.sum()))]
        panels: list[Panel] = [
            Funnel(title="Consensus", steps=[(label, count, "particles") for label, count in steps], caption="Good by a set: its class quality and match."),
            TableView(title="Who calls what good", columns=self._called(kept), caption="By chance: if the classifications judged independently."),
            Histogram(
                title="Junk score", values=self._consensus.junk.tolist(), label="probability of being junk", bins=40,
                marks={"kept to": self.max_junk} if self.by == "score" else {},
            ),
        ]  # fmt: skip
        for one, two, table in self._tables():
            if table.verdict == "no more than by chance":
                text = f"The classes of sets {one + 1} and {two + 1} have little more in common than by chance: the classes hold no settled views."
                panels.append(Notice(level="advice", title="Agreement", text=text))
        judged = [self._judged(number, kept) for number in range(self._sets)]
        averages = [(each.items["class_id"], read_particles(each)) for each in self.classes or ()]
        return [*panels, *class_agreement_panels([*self._tables()], judged, averages)]

    def _called(self, kept: Any) -> dict[str, list[Any]]:
        """Return the table of who calls how many particles good, how many that would be by chance, and how many are kept."""
        import numpy as np

        votes = self._votes
        share = votes.mean(axis=0)
        lines = []
        for pattern in sorted(np.ndindex(*(2,) * self._sets), key=lambda each: (-sum(each), [-one for one in each])):
            mine = (votes == np.array(pattern, dtype=bool)).all(axis=1)
            who = ", ".join(f"set {number + 1}" for number, each in enumerate(pattern) if each) or "none"
            chance = float(np.prod([one if each else 1.0 - one for one, each in zip(share, pattern, strict=True)])) * len(votes)
            lines.append((who, int(mine.sum()), round(chance, 1), int((mine & kept).sum())))
        return {name: [line[place] for line in lines] for place, name in enumerate(("good by", "particles", "by chance", "kept"))}


def _equal(rows: pl.DataFrame, name: str, one: int, two: int) -> bool:
    """Return whether a column is the same in two classifications."""
    return f"{name}_{two}" in rows.columns and rows[f"{name}_{one}"].equals(rows[f"{name}_{two}"], check_dtypes=False)


def _mixed_sizes(classes: Classes2D) -> str:
    """Return in words the different sizes of averages; nothing where all are of one file, and so of one size."""
    paths = classes.scan(["stack_path"]).select(pl.col("stack_path").unique().sort()).collect()["stack_path"].to_list()
    if len(paths) < 2:
        return ""
    from cryoloom.formats.stack import open_stack

    sizes = sorted({open_stack(classes.file(path), 0).shape[-1] for path in paths})
    return " and ".join(f"{size} px" for size in sizes) if len(sizes) > 1 else ""
