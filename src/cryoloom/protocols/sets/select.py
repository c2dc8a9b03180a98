"""sets.select: the rows of one set that follow a rule, are listed, or belong to good classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from cryoloom.data import Classes2D, Classes3D, Coordinates, CTFs, Micrographs, Movies, Particles, column_named
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol, WrongUse
from cryoloom.tables.expression import parse_rule
from cryoloom.units import Angstrom


@dataclass(frozen=True)
class Selected(Outputs):
    """The selection, under the name of the set it was taken from."""

    movies: Movies | None = None
    micrographs: Micrographs | None = None
    ctfs: CTFs | None = None
    coordinates: Coordinates | None = None
    particles: Particles | None = None
    classes: Classes2D | Classes3D | None = None


@dataclass(frozen=True)
class _Choice:
    """The ids that are kept, and for the automatic mode what was left out and why."""

    ids: pl.Series
    facts: Mapping[str, Any] = field(default_factory=dict)


class Select(
    Protocol,
    id="sets.select",
    version=2,
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
    min_match: float = Param(
        "Least match", 0.75, ge=0, le=1,
        help="For mode auto: particles that show less of their class average are left out; 0 keeps all. Lowered by itself where noise "
        "spreads the matches so far that more than 4 % would go for it. Too high loses unusual views, too low keeps ice and fragments.",
    )  # fmt: skip
    min_separation: Angstrom = Param(
        "Least separation", 20.0, ge=0,
        help="For mode auto: of particles whose centres, as classification found them, lie nearer, the best match stays; 0 keeps all.",
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
        choice = self._choice(job)
        if choice.ids.is_empty():
            job.warn(f"Nothing was selected from {len(self.items)} rows, so there is no output.")
            return Selected()
        chosen = self.items.select(choice.ids, selected_by=self._reason(), selected_from=len(self.items), **choice.facts)
        name = "classes" if isinstance(chosen, Classes2D | Classes3D) else chosen.kind
        kept: dict[str, Any] = {name: chosen}
        return Selected(**kept)

    def _choice(self, job: Job) -> _Choice:
        rows = self.items.to_polars()
        if self.mode == "rule":
            return _Choice(rows.filter(self._rule(rows))["id"])
        if self.mode == "ids":
            self._demand(self.ids, rows["id"].to_list(), "rows")
            return _Choice(rows.filter(pl.col("id").is_in(self.ids))["id"])
        classes = (self.classes or self.items).items
        if self.mode == "classes":
            self._demand(self.ids, classes["class_id"].to_list(), "classes")
            return _Choice(rows.filter(pl.col("class_id").is_in(self.ids))["id"])
        return self._automatic(job, rows, classes)

    def _rule(self, rows: pl.DataFrame) -> pl.Expr:
        return parse_rule(self.where, rows.columns, canonical=_canonical)

    def _automatic(self, job: Job, rows: pl.DataFrame, classes: pl.DataFrame) -> _Choice:
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
        usable = rows.filter(pl.col("enabled")) if "enabled" in rows.columns else rows
        chosen = usable.filter(pl.col("class_id").is_in(good["class_id"].implode()))
        facts: dict[str, Any] = {"dropped_by_class": usable.height - chosen.height}
        if "match" in chosen.columns:
            matching, facts["match_threshold"] = self._matching(chosen)
            apart = self._apart(matching)
            facts |= {"dropped_by_match": chosen.height - matching.height, "dropped_as_duplicates": matching.height - apart.height}
            chosen = apart
        if chosen.height < 0.3 * rows.height:
            job.warn(f"Only {chosen.height} of {rows.height} rows are good. Look at the class averages before going on.")
        return _Choice(chosen["id"], facts)

    def _matching(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, float]:
        """Return the rows that show enough of their class average, and how much that is."""
        from cryoloom.numerics.align.class_quality import least_match

        least = least_match(rows["match"].to_numpy(), self.min_match)
        return rows.filter(pl.col("match") >= least), least

    def _apart(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows without the poorer of particles that classification moved to one place."""
        from cryoloom.numerics.picking.peaks import keep_apart

        if not self.min_separation or not {"micrograph_id", "x", "y", "origin_x", "origin_y"} <= set(rows.columns):
            return rows
        size = "micrograph_pixel_size" if "micrograph_pixel_size" in rows.columns else "pixel_size"
        centres = {axis: pl.col(axis) * pl.col(size) - pl.col(f"origin_{axis}") for axis in "xy"}
        best_first = rows.with_columns(**centres).sort("match", descending=True, maintain_order=True)
        kept = [
            group.filter(pl.Series(keep_apart(group["x"].to_numpy(), group["y"].to_numpy(), self.min_separation)))["id"]
            for group in best_first.partition_by("micrograph_id", maintain_order=True)
        ]
        return rows.filter(pl.col("id").is_in(pl.concat(kept).implode())) if kept else rows

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
            "auto": f"class quality >= {self.min_quality:g}, match >= {self.min_match:g}, {self.min_separation:g} Å apart",
            "classes": f"classes {', '.join(map(str, self.ids))}",
        }[self.mode]

    def summary(self, out: Selected) -> Mapping[str, Any]:
        chosen = next(iter(out.named().values()), None)
        told = {"selected": 0 if chosen is None else len(chosen), "of": len(self.items), "by": self._reason()}
        facts = {} if chosen is None else chosen.meta
        if self.mode != "auto" or "dropped_by_class" not in facts:
            return told
        told["dropped with their class"] = facts["dropped_by_class"]
        if "match_threshold" in facts:
            told["dropped for match"] = f"{facts['dropped_by_match']} below {facts['match_threshold']:.2f}"
            told["dropped as duplicates"] = facts["dropped_as_duplicates"]
        return told

    def report(self, out: Any) -> list[Panel]:
        from cryoloom.formats.stack import read_particles
        from cryoloom.report.panels import Histogram, ImageGrid

        if self.mode not in ("auto", "classes") or not isinstance(self.classes, Classes2D):
            return []
        table = self.classes.items.sort("count", descending=True)
        averages = read_particles(self.classes)
        order = {number: place for place, number in enumerate(self.classes.items["class_id"])}
        kept = set(self.ids) if self.mode == "classes" else set(table.filter(pl.col("quality") >= self.min_quality)["class_id"])
        panels: list[Panel] = [
            ImageGrid(
                title="Classes kept", images=[averages[order[number]] for number in table["class_id"]], size=90,
                good=[number in kept for number in table["class_id"]],
                captions=[f"{row['count']}, {row.get('quality', 0):.2f}" for row in table.iter_rows(named=True)],
                caption="Green frames are kept. Captions: number of particles, quality.",
            )
        ]  # fmt: skip
        if self.mode == "auto" and out.particles is not None and "match_threshold" in out.particles.meta:
            least = out.particles.meta["match_threshold"]
            members = self.items.enabled().filter(pl.col("class_id").is_in(kept))
            panels.append(
                Histogram(
                    title="Match of particles in the classes kept", values=members["match"].to_list(), label="match",
                    marks={f"least, {least:.2f}": least},
                    caption="How much of its class average each particle shows: 1 all of it, 0 nothing. Particles left of the line were left out.",
                )
            )  # fmt: skip
        return panels


def _canonical(name: str) -> str:
    column = column_named(name)
    return column.name if column else name
