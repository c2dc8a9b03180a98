"""sets.select: the rows of one set that follow a rule, are listed, or belong to good classes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl
from blake3 import blake3
from pydantic import model_validator

from cryoloom.data import AnySet, Classes2D, Classes3D, OneSet, canonical_name
from cryoloom.data.identity import content_of
from cryoloom.data.members import foreign_classes
from cryoloom.data.places import best_apart
from cryoloom.data.selections import FULL_SET, OF_A_PART, Ids, expanded
from cryoloom.spec import Failure, Hint, Input, Job, Panel, Param, Protocol, WrongUse
from cryoloom.tables import Dataset
from cryoloom.tables.expression import columns_used, parse_rule
from cryoloom.units import Angstrom

_JUDGED = {"class_id": "class", "count": "particles", "resolution": "resolution (Å)", "quality": "quality", "reason": "why"}
"""Columns of the report's table of classes, and what it calls them."""

UNSEEN = "unseen"
"""What `Select.chosen_from` says of ids that were listed before their set was there."""


@dataclass(frozen=True)
class _Choice:
    """The ids that are kept, for the automatic mode what was left out and why, and what the user should know."""

    ids: pl.Series
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Select(
    Protocol,
    id="sets.select",
    version=5,
    outputs=OneSet,
    aliases=("ProtUserSubSet",),
):
    """Keep some rows of a set. Nothing is copied: an id list is stored, and the rule it came from."""

    items: AnySet = Input("Set", help="What to select from.", aliases=FULL_SET)
    classes: Classes2D | Classes3D | None = Input(
        "Classes", optional=True, help="For the modes auto and classes: the classes whose particles are selected."
    )
    mode: Literal["rule", "ids", "auto", "classes"] = Param(
        "Select by",
        "rule",
        help="A rule over columns, listed ids, the automatic choice of good classes, or classes. See each field.",
    )
    where: str = Param(
        "Rule",
        "",
        aliases=("expression",),
        help='Over columns, such as "score > 0.75 and defocus_u between 8000 and 30000". Rows where it is unknown are left out.',
    )
    ids: Ids = Param(
        "Ids",
        (),
        aliases=("range", "class_ids"),
        help="Such as 1,3,5-8: of rows (mode ids) or of classes (mode classes, all of the set of classes if empty). Unknown ids are an error.",
    )
    chosen_from: str = Param(
        "Chosen from", "", advanced=True,
        help="Which ids were chosen from which content of the set; filled in by itself. On other content, after a rerun or on another parent, "
        "the run asks you to choose again. `any` applies the list all the same: the ids may then be other items.",
    )  # fmt: skip
    min_quality: float = Param(
        "Least class quality", 0.5, ge=0, le=1,
        help="For mode auto: classes below this are left out with their particles. Too high loses rare views, too low keeps junk.",
    )  # fmt: skip
    min_match: float = Param(
        "Least match", 0.75, ge=0, le=1,
        help="For mode auto: particles that show less of their class average are left out; 0 keeps all. Lowered by itself where noise "
        "spreads the matches so far that more than 2 % would go for it. Too high loses unusual views, too low keeps ice and fragments.",
    )  # fmt: skip
    min_separation: Angstrom = Param(
        "Least separation", 20.0, ge=0,
        help="For mode auto: of particles whose centres, as classification found them, lie nearer, the best match stays; 0 keeps all.",
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _chosen_by_hand(cls, values: Any) -> Any:
        """Write down which ids are chosen from what, unless that is known of these: an id list means nothing on other items."""
        looked_at = _form_looked_at(values)
        told = str(values.get("chosen_from") or "") if looked_at is not None else ""
        if looked_at is None or told == "any":
            return values
        try:
            mark = _mark(int(each) for each in expanded(values["ids"]))
        except (TypeError, ValueError):
            return values  # what is wrong with the ids is said of them
        if told.partition(".")[0] == mark:
            return values
        return {**values, "chosen_from": f"{mark}.{content_of(looked_at) if hasattr(looked_at, 'root') else UNSEEN}"}

    def check(self) -> Iterator[Hint]:
        if self.mode == "rule" and not self.where.strip():
            yield Hint("where", "is empty: give a rule", fix="enabled")
        if self.mode == "rule" and self.where.strip():
            try:
                self._rule()
            except WrongUse as problem:
                yield Hint("where", f"{problem.message} {problem.cure}".removeprefix("--where "))
        if self.mode == "ids" and not self.ids:
            yield Hint("ids", "is empty: list some")
        of_classes = isinstance(self.items, Classes2D | Classes3D)
        if self.mode in ("auto", "classes") and self.classes is None and not of_classes:
            yield Hint("classes", "is needed to select particles by class")
        elif self.mode == "classes" and self.classes is None and not self.ids:
            yield Hint("ids", "is empty: list some classes")
        elif self.mode in ("auto", "classes") and "class_id" not in self.items.schema:
            yield Hint("items", "has no column class_id: give the particles that a classification has put into classes")
        elif self.mode in ("auto", "classes") and self.classes is not None and (foreign := foreign_classes(self.items, self.classes)):
            yield Hint("classes", foreign)
        elif stale := self._stale():
            yield Hint("ids", f"is stale: {stale}", error=False)
        elif self._by_hand and (missing := self._missing()):
            yield Hint("ids", missing)

    def preview(self) -> Mapping[str, int]:
        return {"kept": len(self._choice().ids), "of": len(self.items)}

    def run(self, job: Job) -> OneSet:
        if stale := self._stale():
            raise Failure("needs-you", f"The selection made by hand is stale: {stale}.", "Choose again, or set chosen_from to any.")
        choice = self._choice()
        for warning in choice.warnings:
            job.warn(warning)
        if choice.ids.is_empty():
            job.warn(f"Nothing was selected from {len(self.items)} rows, so there is no output.")
            return OneSet()
        told = {"mode": self.mode, "by": self._reason(), "by_hand": self._by_hand, "of": len(self.items), **choice.facts}
        kept = self.items.select(choice.ids)
        if self.mode == "auto" and isinstance(self.items, Classes2D):
            kept = kept.with_columns(self._judged(kept.items).select("id", "reason"))
        return OneSet.of(kept.with_meta(only=OF_A_PART, selection=told))

    # -- chosen by hand -----------------------------------------------------------------------------------------

    @property
    def _by_hand(self) -> bool:
        return self.mode in ("ids", "classes") and bool(self.ids)

    @property
    def _looked_at(self) -> Dataset:
        """Return the set that ids are chosen from."""
        return self.items if self.mode != "classes" or self.classes is None else self.classes

    def _stale(self) -> str:
        """Return why a selection made by hand is not of what it is applied to; nothing where it is."""
        if not self._by_hand or self.chosen_from == "any":
            return ""
        looked_at = self._looked_at
        content = self.chosen_from.partition(".")[2]
        if content == UNSEEN:
            return f"its {len(self.ids)} ids were listed before the {looked_at.kind} were there"
        if content == content_of(looked_at):
            return ""
        return f"its {len(self.ids)} ids were chosen from {looked_at.kind} of other content than these"

    # -- which rows ---------------------------------------------------------------------------------------------

    def _choice(self) -> _Choice:
        if self.mode == "rule":
            rule = self._rule()
            return _Choice(self.items.scan(columns_used(rule)).filter(rule).select("id").collect()["id"])
        if self.mode == "auto":
            return self._automatic(self.items.to_polars(), (self.items if self.classes is None else self.classes).items)
        if missing := self._missing():
            raise Failure("no-such-ids", f"The list of ids {missing}.", "List others.")
        if self.mode == "ids":
            return _Choice(self.items.scan([]).filter(pl.col("id").is_in(self.ids)).collect()["id"])
        wanted = self._looked_at.scan(["class_id"]).select("class_id")
        wanted = wanted.filter(pl.col("class_id").is_in(self.ids)) if self.ids else wanted
        members = self.items.scan(["class_id"]).join(wanted, on="class_id", how="semi", maintain_order="left")
        return _Choice(members.select("id").collect()["id"])

    def _rule(self) -> pl.Expr:
        return parse_rule(self.where, self.items.schema, canonical=canonical_name)

    def _missing(self) -> str:
        """Return in words which of the listed ids are not there; nothing where all are."""
        column = "class_id" if self.mode == "classes" else "id"
        there = self._looked_at.scan([column]).select(column).collect()[column]
        missing = sorted(set(self.ids) - set(there.filter(there.is_in(self.ids)).to_list()))
        what = "classes" if self.mode == "classes" else "rows"
        return (
            f"names {what} that are not there: {', '.join(map(str, missing[:10]))}; there are {there.min()} to {there.max()}"
            if missing
            else ""
        )

    def _automatic(self, rows: pl.DataFrame, classes: pl.DataFrame) -> _Choice:
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
        few = f"Only {chosen.height} of {rows.height} rows are good. Look at the class averages before going on."
        return _Choice(chosen["id"], facts, (few,) if chosen.height < 0.3 * rows.height else ())

    def _matching(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, float]:
        """Return the rows that show enough of their class average, and how much that is."""
        from cryoloom.numerics.align.class_quality import least_match

        least = least_match(rows["match"].to_numpy(), self.min_match)
        return rows.filter(pl.col("match") >= least), least

    def _apart(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows without the poorer of particles that classification moved to one place."""
        if not self.min_separation or not {"micrograph_id", "x", "y", "origin_x", "origin_y"} <= set(rows.columns):
            return rows
        return rows.filter(pl.col("id").is_in(best_apart(self.items, self.min_separation, by="match", within=rows["id"]).implode()))

    def _judged(self, classes: pl.DataFrame) -> pl.DataFrame:
        """Return the classes with why each is kept or left out in ``reason``, by its scores as far as they are known."""
        from cryoloom.numerics.align.class_quality import FAULTS, reasons

        scores = {name: classes[f"quality_{name}"].to_numpy() for name in FAULTS if f"quality_{name}" in classes.columns}
        return classes.with_columns(reason=pl.Series(reasons(classes["quality"].to_numpy(), scores, self.min_quality), dtype=pl.String))

    def _reason(self) -> str:
        classes = f"classes {', '.join(map(str, self.ids))}" if self.ids else "all classes of the set"
        return {
            "rule": self.where,
            "ids": f"{len(self.ids)} listed ids",
            "auto": f"class quality >= {self.min_quality:g}, match >= {self.min_match:g}, {self.min_separation:g} Å apart",
            "classes": classes,
        }[self.mode]

    def summary(self, out: OneSet) -> Mapping[str, Any]:
        chosen = out.only
        told = {"selected": 0 if chosen is None else len(chosen), "of": len(self.items), "by": self._reason()}
        if self._by_hand:
            told["chosen"] = "by hand"
        facts = {} if chosen is None else chosen.meta["selection"]
        if "dropped_by_class" not in facts:
            return told
        told["dropped with their class"] = facts["dropped_by_class"]
        if "match_threshold" in facts:
            told["dropped for match"] = f"{facts['dropped_by_match']} below {facts['match_threshold']:.2f}"
            told["dropped as duplicates"] = facts["dropped_as_duplicates"]
        return told

    def methods(self, out: OneSet) -> str:
        how = f"by hand ({self._reason()})" if self._by_hand else f"by {self._reason()}"
        return f"{0 if out.only is None else len(out.only)} of {len(self.items)} {self.items.kind} were selected {how}."

    def report(self, out: OneSet) -> list[Panel]:
        from cryoloom.formats.stack import read_particles
        from cryoloom.report.panels import Histogram, ImageGrid, TableView

        classes = self.items if self.classes is None else self.classes
        if self.mode not in ("auto", "classes") or not isinstance(classes, Classes2D):
            return []
        table = classes.items.sort("count", descending=True)
        averages = read_particles(classes)
        order = {number: place for place, number in enumerate(classes.items["class_id"])}
        listed = set(self.ids or table["class_id"])
        kept = listed if self.mode == "classes" else set(table.filter(pl.col("quality") >= self.min_quality)["class_id"])
        panels: list[Panel] = [
            ImageGrid(
                title="Classes kept", images=[averages[order[number]] for number in table["class_id"]], size=90,
                good=[number in kept for number in table["class_id"]],
                captions=[f"{row['count']}, {row.get('quality', 0):.2f}" for row in table.iter_rows(named=True)],
                caption="Green frames are kept. Captions: number of particles, quality.",
            )
        ]  # fmt: skip
        if self.mode == "auto":
            judged = self._judged(table)
            columns = {label: judged[name].to_list() for name, label in _JUDGED.items() if name in judged.columns}
            panels.append(
                TableView(
                    title="Why", columns=columns, limit=judged.height, caption="Scores from 0, bad, to 1; the quality is the product of all of them."
                )
            )  # fmt: skip
        if self.mode == "auto" and out.particles is not None and "match_threshold" in out.particles.meta["selection"]:
            least = out.particles.meta["selection"]["match_threshold"]
            members = self.items.enabled().filter(pl.col("class_id").is_in(kept))
            panels.append(
                Histogram(
                    title="Match of particles in the classes kept", values=members["match"].to_list(), label="match",
                    marks={f"least, {least:.2f}": least},
                    caption="How much of its class average each particle shows: 1 all of it, 0 nothing. Particles left of the line were left out.",
                )
            )  # fmt: skip
        return panels


def _mark(ids: Iterable[int]) -> str:
    """Return what tells one list of ids from another."""
    return blake3(repr(list(ids)).encode()).hexdigest()[:8]


def _form_looked_at(values: Any) -> Any:
    """Return the set that ids among the values of a form were chosen from, None where none were chosen by hand."""
    if not isinstance(values, dict) or not values.get("ids") or values.get("mode") not in ("ids", "classes"):
        return None
    classes = values.get("classes") if values["mode"] == "classes" else None
    return values.get("items") if classes is None else classes
