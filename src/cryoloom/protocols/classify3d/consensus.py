"""classify3d.consensus: what two or more 3D classifications of the same particles have in common beyond chance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryoloom.data import Classes3D, Particles
from cryoloom.data.compared import comparison_hints, not_classified
from cryoloom.data.members import foreign_classes
from cryoloom.formats.mrc import read_mrc
from cryoloom.report.panels import Bars, Dendrogram, HeatMap, ImageGrid, LinePlot, Notice, Series, TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol

if TYPE_CHECKING:
    from cryoloom.numerics.align.intersections import Intersections
    from cryoloom.numerics.align.merging import Tree

MOST_CELLS = 4000
"""Tuples of classes that are looked at: more than any table can show."""
DRAWN = 40
"""Intersections that a picture shows, the largest ones."""
CHANCE = "no more than by chance"


@dataclass(frozen=True)
class Agreed3D(Outputs):
    """What is stable comes last, for the last set of a kind is what an export of everything writes."""

    unstable: Particles | None = None
    classes: Classes3D | None = None
    particles: Particles | None = None


class ClassConsensus3D(
    Protocol,
    id="classify3d.consensus",
    outputs=Agreed3D,
    cite=("10.1007/BF01908075", "10.1016/j.csda.2005.09.010"),
    aliases=("XmippProtConsensusClasses3D",),
):
    """Say whether 3D classes are reproducible, and gather the particles that stay together into groups.

    Particles of the same class in every classification are an intersection. Its size is held against chance; intersections that are more than what
    goes astray are merged by how like their classes are. Classifications that agree no more than by chance found no states, and give no groups.
    """

    particles: tuple[Particles, ...] = Input(
        "Particles", many=True, aliases=("inputParticles",),
        help="Of at least two classifications of the same particles; repeat the flag. Other seeds, references or methods tell most.",
    )  # fmt: skip
    classes: tuple[Classes3D, ...] | None = Input(
        "Classes", many=True, optional=True, aliases=("inputClasses", "inputClassifications"),
        help="Of each classification, in the same order: their maps stand for the groups. Of a part of the classes, particles in others are left out.",
    )  # fmt: skip
    groups: int | None = Param(
        "Groups", None, ge=0,
        help="Empty: none if the classifications agree no more than by chance, else as many as agree with them best. 0 keeps every intersection "
        "apart. The report shows where the cost of merging rises.",
    )  # fmt: skip
    keep: Literal["stable", "all"] = Param(
        "Intersections kept", "stable",
        help="stable: those larger than by chance, or most of one of their classes; the others hold what changed its class. all: every one.",
    )  # fmt: skip
    min_class_size: int = Param(
        "Least intersection",
        0,
        ge=0,
        aliases=("minClassSize",),
        help="Particles below which an intersection is left out. Too many lose rare states.",
    )
    distance: Literal["cosine", "euclidean", "cityblock", "correlation"] = Param(
        "Distance", "cosine", advanced=True, aliases=("distanceMetric",),
        help="Of the Jaccard indices of an intersection and every class, by which intersections are merged.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if refused := not_classified(self.particles):
            yield refused
            return
        yield from comparison_hints(self.particles)
        if len(self.classes or ()) > len(self.particles):
            yield Hint("classes", f"are of {len(self.classes or ())} classifications, the particles of {len(self.particles)}")
            return
        for number, (particles, each) in enumerate(zip(self.particles, self.classes or (), strict=False), 1):
            if foreign := foreign_classes(particles, each):
                yield Hint("classes", f"(set {number}) {foreign}. Give them in the order of the particles")
        cells = 1
        for each in self.particles:
            cells *= each.scan(["class_id"]).select(pl.col("class_id").n_unique()).collect().item()
        if cells > MOST_CELLS:
            yield Hint("particles", f"have {cells} tuples of classes; {MOST_CELLS} are the most: compare fewer or coarser classifications")

    def run(self, job: Job) -> Agreed3D:
        import numpy as np

        rows, found = self._common, self._cells
        absent = len(self.particles[0].ids()) - rows.height
        if absent:
            job.warn(
                f"{absent} particles of the first set are not in all others, disabled there or in classes not given: they are not common."
            )
        verdict = self._verdict
        if verdict == CHANCE:
            job.warn("No states found: the classifications have no more in common than by chance. Take the particles as one set.")
        group = self._group
        columns = pl.DataFrame(
            {
                "id": rows["id"], "class_id": group[found.member],
                "class_ids": pl.Series(np.stack([rows[f"class_id_{n}"].to_numpy() for n in range(self._sets)], axis=1).tolist(), dtype=pl.List(pl.Int64)),
            }
        )  # fmt: skip
        kept = columns.filter(pl.col("class_id") > 0)
        if kept.is_empty():
            return Agreed3D()
        whole = self.particles[0]
        rest = columns.filter(pl.col("class_id") == 0)
        return Agreed3D(
            None if rest.is_empty() else whole.select(rest["id"]).with_columns(rest),
            self._maps(job),
            whole.select(kept["id"]).with_columns(kept),
        )

    # -- the classifications ------------------------------------------------------------------------------------

    @property
    def _sets(self) -> int:
        return len(self.particles)

    @cached_property
    def _common(self) -> pl.DataFrame:
        """Return ``id`` of the particles that all classifications hold, in their order in the first, and ``class_id_0`` and so on."""
        rows = self.particles[0].enabled().select("id")
        for number, each in enumerate(self.particles):
            mine = each.enabled().select("id", pl.col("class_id").cast(pl.Int64).alias(f"class_id_{number}")).drop_nulls()
            if number < len(self.classes or ()):
                listed = (self.classes or ())[number].items["class_id"].cast(pl.Int64)
                mine = mine.filter(pl.col(f"class_id_{number}").is_in(listed.implode()))
            rows = rows.join(mine, on="id", how="inner", maintain_order="left")
        return rows

    @cached_property
    def _labels(self) -> list[list[int]]:
        """Return the numbers of the classes of each classification, in their order."""
        return [self._common[f"class_id_{number}"].unique().sort().to_list() for number in range(self._sets)]

    @cached_property
    def _cells(self) -> "Intersections":
        import numpy as np

        from cryoloom.numerics.align.intersections import Intersections

        members = [
            np.searchsorted(label, self._common[f"class_id_{number}"].to_numpy()).astype(np.int64)
            for number, label in enumerate(self._labels)
        ]
        return Intersections.of(members)

    @cached_property
    def _verdict(self) -> str:
        """Return the verdict on all classifications together: that of all pairs, if they are of one mind."""
        found = {table.verdict for _, _, table in self._cells.pairs}
        return found.pop() if len(found) == 1 else "partly agree"

    @cached_property
    def _kept(self) -> Any:
        """Return the places of the intersections that groups are made of."""
        import numpy as np

        cells = self._cells
        wanted = cells.stable if self.keep == "stable" else cells.counts > 0
        return np.flatnonzero(wanted & (cells.counts >= self.min_class_size))

    @cached_property
    def _tree(self) -> "Tree":
        from cryoloom.numerics.align.merging import Tree

        return Tree.of(self._cells.similarity[self._kept], self.distance)

    @cached_property
    def _count(self) -> int:
        """Return how many groups there are."""
        cells = len(self._kept)
        if self.groups is not None or not cells:
            return min(self.groups or cells, cells)
        if self._verdict == CHANCE:
            return 0
        tree, found = self._tree, self._cells
        return max(range(1, cells + 1), key=lambda count: (round(found.agreement(self._kept, tree.groups(count)), 6), -count))

    @cached_property
    def _group(self) -> Any:
        """Return the group of each intersection, ``(G,)``, the largest 1; 0 for none."""
        import numpy as np

        group = np.zeros(len(self._cells.counts), np.int64)
        if self._count:
            mine = self._tree.groups(self._count)
            sizes = np.bincount(mine, self._cells.counts[self._kept])
            group[self._kept] = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")[mine] + 1
        return group

    def _maps(self, job: Job) -> Classes3D | None:
        """Return the groups as classes, each shown by the map of the smaller class of its largest intersection; None without maps."""
        import numpy as np

        given = self.classes or ()
        if not given:
            return None
        cells, lines = self._cells, []
        for number in range(1, self._count + 1):
            members = np.flatnonzero(self._group == number)
            largest = members[np.argmax(cells.counts[members])]
            parents = cells.parents[largest, : len(given)]
            source = int(np.argmin(parents))
            class_id = self._labels[source][cells.classes[largest, source]]
            row = given[source].items.filter(pl.col("class_id") == class_id).row(0, named=True)
            count = int(cells.counts[members].sum())
            lines.append(
                {
                    "id": number, "class_id": number, "volume_path": row["volume_path"], "count": count,
                    "distribution": count / cells.total, "reason": f"class {class_id} of set {source + 1} stands for it",
                }
                | {name: row[name] for name in ("box_size",) if name in row}
            )  # fmt: skip
        first = given[0]
        return Classes3D(
            pl.DataFrame(lines), job.root, meta={name: first.meta[name] for name in ("pixel_size", "box_size") if name in first.meta}
        )

    def _named(self, cell: int) -> str:
        """Return an intersection as ``1∩2``, the classes of it."""
        return "∩".join(str(label[place]) for label, place in zip(self._labels, self._cells.classes[cell], strict=True))

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Agreed3D) -> Mapping[str, Any]:
        told: dict[str, Any] = {"in common": self._cells.total, "verdict": self._said}
        for one, two, table in self._cells.pairs:
            told[f"sets {one + 1} and {two + 1}"] = (
                f"{table.verdict} (adjusted Rand index {table.adjusted_rand:.2f}, mutual information {table.mutual_information:.2f}, "
                f"probability by chance {table.significance:.2g})"
            )
        sizes = [] if out.particles is None else out.particles.items["class_id"].value_counts().sort("class_id")["count"].to_list()
        return told | {"groups": len(sizes), "particles a group": ", ".join(map(str, sizes)) or "none"}

    @property
    def _said(self) -> str:
        return {CHANCE: "no states found: agreement at chance", "agree": "assignments agree"}.get(self._verdict, "assignments agree partly")

    def methods(self, out: Agreed3D) -> str:
        told = ", ".join(f"{table.adjusted_rand:.2f}" for _, _, table in self._cells.pairs)
        groups = (
            ""
            if out.particles is None
            else f" {len(out.particles)} of {self._cells.total} particles stayed together, in {self._count} groups."
        )
        return (
            f"{self._sets} three-dimensional classifications were compared by the intersections of their classes and the adjusted Rand index ({told})."
            f"{groups}"
        )

    def report(self, out: Agreed3D) -> list[Panel]:
        level: Literal["good", "advice", "warning"] = {"agree": "good", CHANCE: "warning"}.get(self._verdict, "advice")  # type: ignore[assignment]
        text = {
            "agree": "The assignments agree: the classes are reproducible.",
            CHANCE: "No states found: the classifications have no more in common than by chance. What one of them sorted, the other did not.",
        }.get(
            self._verdict,
            "The assignments agree partly: some classes are reproducible, or the classifications divide one state differently.",
        )
        return [Notice(level=level, title="Verdict", text=text), *self._sizes(), *self._pairs(), *self._merges(), *self._shown(out)]

    def _sizes(self) -> list[Panel]:
        import numpy as np

        cells, group = self._cells, self._group
        order = np.sort(np.argsort(-cells.counts, kind="stable")[:DRAWN])
        names = [self._named(cell) for cell in range(len(cells.counts))]
        columns: dict[str, list[Any]] = {
            "classes": names,
            "particles": cells.counts.tolist(),
            "by chance": [round(float(each), 1) for each in cells.expected],
            "5 to 95 %": [f"{low} to {high}" for low, high in cells.band],
            "standard deviations": [round(float(each), 1) for each in cells.deviations],
            "of the smaller class": [round(float(each), 3) for each in cells.normalised],
            "group": [int(each) or None for each in group],
        }
        return [
            Bars(
                title="Sizes of intersections", values=cells.counts[order].tolist(), names=[names[cell] for cell in order], label="particles",
                item="intersection",
                bands=[(float(low), float(high)) for low, high in cells.band[order]],
                caption="In the order of the classes. Brackets: nine of ten sizes by chance; bars outside stand out.",
            ),
            TableView(
                title="Intersections", columns=columns, limit=200,
                caption="1∩2: the particles of class 1 of the first set that are in class 2 of the second. Standard deviations: how far their number is from "
                "what chance gives.",
            ),
        ]  # fmt: skip

    def _pairs(self) -> list[Panel]:
        panels: list[Panel] = []
        for one, two, table in self._cells.pairs:
            said = (
                f"Adjusted Rand index {table.adjusted_rand:.3f}, mutual information {table.mutual_information:.3f}, "
                f"probability by chance {table.significance:.2g}"
            )
            panels.append(
                HeatMap(
                    title=f"Contingency of sets {one + 1} and {two + 1}", values=table.deviations, label="deviations from chance (σ)", limits=(-3.0, 3.0),
                    rows=[str(each) for each in self._labels[one]], columns=[str(each) for each in self._labels[two]],
                    texts=[[str(each) for each in row] for row in table.counts.tolist()], y_label=f"class of set {one + 1}",
                    x_label=f"class of set {two + 1}", caption=f"Numbers: particles in common. {said}: {table.verdict}.",
                )
            )  # fmt: skip
        return panels

    def _merges(self) -> list[Panel]:
        from cryoloom.numerics.align.merging import elbows

        tree, kept = self._tree, self._kept
        if not 3 <= len(kept) <= DRAWN:
            return []
        costs = tree.costs
        marks: dict[str, float] = {}
        for name, count in elbows(costs).items():
            label = next((each for each, there in marks.items() if there == count), None)
            if label is not None:
                marks[f"{label}, {name}"] = marks.pop(label)
            else:
                marks[name] = count
        cut = (
            None
            if not self._count or self._count >= len(kept)
            else float(costs[self._count - 1] + (costs[self._count - 2] if self._count > 1 else 1.1 * costs[0])) / 2
        )
        return [
            Dendrogram(
                title="Merging", links=tree.links, names=[self._named(cell) for cell in kept], label=f"{self.distance} distance", cut=cut,
                caption="Intersections that are kept, by how like their classes are. The broken line: where groups were taken.",
            ),
            LinePlot(
                title="Cost of merging", x_label="groups", y_label=f"{self.distance} distance", marks=marks,
                series=[Series("cost of the last merge", list(range(1, len(costs) + 1)), costs.tolist())],
                caption="Elbows by four criteria; groups of that number are made by running it with --groups.",
            ),
        ]  # fmt: skip

    def _shown(self, out: Agreed3D) -> list[Panel]:
        if out.classes is None:
            return []
        table = out.classes.items
        maps = [read_mrc(out.classes.file(path)).data for path in table["volume_path"]]
        cuts = [("z", lambda data: data[len(data) // 2]), ("y", lambda data: data[:, data.shape[1] // 2])]
        return [
            ImageGrid(
                title="Groups", images=[cut(data) for data in maps for _, cut in cuts], size=150,
                captions=[f"group {row['class_id']}, {row['count']} particles, across {name}" for row in table.iter_rows(named=True) for name, _ in cuts],
                caption="; ".join(f"group {row['class_id']}: {row['reason']}" for row in table.iter_rows(named=True)) + ".",
            )
        ]  # fmt: skip
