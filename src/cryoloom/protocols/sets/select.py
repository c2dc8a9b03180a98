"""sets.select: the rows of one set that follow a rule, are listed, or belong to good classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cryoloom.data import Classes2D, Classes3D, Coordinates, CTFs, Micrographs, Movies, Particles, column_named
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol, WrongUse
from cryoloom.tables.expression import parse_rule


@dataclass(frozen=True)
class Selected(Outputs):
    """The selection, under the name of the set it was taken from."""

    movies: Movies | None = None
    micrographs: Micrographs | None = None
    ctfs: CTFs | None = None
    coordinates: Coordinates | None = None
    particles: Particles | None = None
    classes: Classes2D | Classes3D | None = None


class Select(
    Protocol,
    id="sets.select",
    outputs=Selected,
    aliases=("ProtUserSubSet", "ProtSubSet"),
):
    """Keep some rows of a set. Nothing is copied: an id list is stored, and the rule it came from."""

    items: Movies | Micrographs | CTFs | Coordinates | Particles | Classes2D | Classes3D = Input("Set", help="What to select from.")
    classes: Classes2D | Classes3D | None = Input(
        "Classes", optional=True, help="For the modes auto and classes: the classes whose particles are selected."
    )
    mode: Literal["rule", "ids", "auto", "classes"] = Param(
        "Select by",
        "rule",
        help="A rule over columns, listed ids, the automatic choice of good classes, or listed classes. See each field.",
    )
    where: str = Param(
        "Rule",
        "",
        aliases=("expression",),
        help='Over columns, such as "score > 0.75 and defocus_u < 30000". Rows where it is unknown are left out.',
    )
    ids: tuple[int, ...] = Param(
        "Ids",
        (),
        aliases=("range", "class_ids"),
        help="Of rows (mode ids) or of classes (mode classes). Ids that do not exist are an error.",
    )
    min_quality: float = Param(
        "Least class quality", 0.5, ge=0, le=1,
        help="For mode auto: classes below this are left out with their particles. Too high loses rare views, too low keeps junk.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if self.mode == "rule" and not self.where.strip():
            yield Hint("where", "is empty: give a rule", fix="enabled")
        if self.mode == "rule" and self.where.strip():
            try:
                self._rule(self.items.to_polars())
            except WrongUse as problem:
                yield Hint("where", f"{problem.message} {problem.cure}".removeprefix("--where "))
        if self.mode in ("ids", "classes") and not self.ids:
            yield Hint("ids", "is empty: list some")
        if self.mode in ("auto", "classes") and self.classes is None and not isinstance(self.items, Classes2D | Classes3D):
            yield Hint("classes", "is needed to select particles by class")

    def run(self, job: Job) -> Selected:
        keep = self._keep(job)
        if keep.is_empty():
            job.warn(f"Nothing was selected from {len(self.items)} rows, so there is no output.")
            return Selected()
        chosen = self.items.select(keep, selected_by=self._reason(), selected_from=len(self.items))
        name = "classes" if isinstance(chosen, Classes2D | Classes3D) else chosen.kind
        kept: dict[str, Any] = {name: chosen}
        return Selected(**kept)

    def _keep(self, job: Job) -> pl.Series:
        rows = self.items.to_polars()
        if self.mode == "rule":
            return rows.filter(self._rule(rows))["id"]
        if self.mode == "ids":
            self._demand(self.ids, rows["id"].to_list(), "rows")
            return rows.filter(pl.col("id").is_in(self.ids))["id"]
        classes = (self.classes or self.items).items
        if self.mode == "classes":
            self._demand(self.ids, classes["class_id"].to_list(), "classes")
            return rows.filter(pl.col("class_id").is_in(self.ids))["id"]
        return self._automatic(job, rows, classes)

    def _rule(self, rows: pl.DataFrame) -> pl.Expr:
        return parse_rule(self.where, rows.columns, canonical=_canonical)

    def _automatic(self, job: Job, rows: pl.DataFrame, classes: pl.DataFrame) -> pl.Series:
        if "quality" not in classes.columns:
            raise Failure(
                "no-quality", "These classes carry no quality.", "Use classes of classify2d.em, or list classes: --mode classes --ids 1,2."
            )
        good = classes.filter(pl.col("quality") >= self.min_quality)
        if good.is_empty():
            best = classes["quality"].max()
            raise Failure(
                "no-good-class",
                f"None of {classes.height} classes has a quality of {self.min_quality:g}; the best has {best:.2f}.",
                "Look at the class averages: if there are particles, lower min_quality or list classes; if not, check diameter and picks.",
            )
        chosen = rows.filter(pl.col("class_id").is_in(good["class_id"].implode()))
        if "enabled" in chosen.columns:
            chosen = chosen.filter(pl.col("enabled"))
        if chosen.height < 0.3 * rows.height:
            job.warn(f"Only {chosen.height} of {rows.height} rows are in good classes. Look at the class averages before going on.")
        return chosen["id"]

    @staticmethod
    def _demand(wanted: tuple[int, ...], there: list[int], what: str) -> None:
        missing = sorted(set(wanted) - set(there))
        if missing:
            raise Failure(
                "no-such-ids", f"There are no {what} {', '.join(map(str, missing[:10]))}.", f"Known: {min(there)} to {max(there)}."
            )

    def _reason(self) -> str:
        return {
            "rule": self.where,
            "ids": f"{len(self.ids)} listed ids",
            "auto": f"class quality >= {self.min_quality:g}",
            "classes": f"classes {', '.join(map(str, self.ids))}",
        }[self.mode]

    def summary(self, out: Selected) -> Mapping[str, Any]:
        chosen = next(iter(out.named().values()), None)
        return {"selected": 0 if chosen is None else len(chosen), "of": len(self.items), "by": self._reason()}

    def report(self, out: Any) -> list[Panel]:
        from cryoloom.formats.stack import read_particles
        from cryoloom.report.panels import ImageGrid

        if self.mode not in ("auto", "classes") or not isinstance(self.classes, Classes2D):
            return []
        table = self.classes.items.sort("count", descending=True)
        averages = read_particles(self.classes)
        order = {number: place for place, number in enumerate(self.classes.items["class_id"])}
        kept = set(self.ids) if self.mode == "classes" else set(table.filter(pl.col("quality") >= self.min_quality)["class_id"])
        return [
            ImageGrid(
                title="Classes kept", images=[averages[order[number]] for number in table["class_id"]], size=90,
                good=[number in kept for number in table["class_id"]],
                captions=[f"{row['count']}, {row.get('quality', 0):.2f}" for row in table.iter_rows(named=True)],
                caption="Green frames are kept. Captions: number of particles, quality.",
            )
        ]  # fmt: skip


def _canonical(name: str) -> str:
    column = column_named(name)
    return column.name if column else name
