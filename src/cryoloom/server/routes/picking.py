"""Picking by hand: micrographs, picks, edits, the model that learns from them.

An edit names the revision it was made at; if there is another by now nothing is done, and the answer, 409, has what there is.
"""

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from cryoloom.server.context import WatchAt
from cryoloom.server.models import Made, Picked, Picking, PickingRevision, Picks
from cryoloom.server.pickings import PickingAt, Shared
from cryoloom.spec import WrongUse

router = APIRouter(prefix="/api/projects/{project}/runs/{run}/picking", tags=["picking"])

MOST = 20_000
"""Places in one edit."""


class SheetEdit(BaseModel):
    """What to do on a micrograph: add `places`, remove `numbers`, move the pick `numbers[0]` to `places[0]`, or set the region."""

    revision: int
    do: Literal["add", "remove", "move", "region"]
    places: list[tuple[float, float]] = Field([], max_length=MOST)
    numbers: list[int] = Field([], max_length=MOST)
    region: tuple[float, float, float, float] | None = None


class PickingEdit(BaseModel):
    """What to change of a whole picking."""

    revision: int
    diameter: float | None = Field(None, gt=0, allow_inf_nan=False)
    least: float | None = Field(None, ge=0, le=1)


class At(BaseModel):
    """The revision that somebody looks at."""

    revision: int


@router.get("", response_model=Picking)
def whole(picking: PickingAt) -> dict[str, Any]:
    """Return a picking without its picks."""
    session = picking.session
    rows = session.micrographs().rows(named=True)
    about = [(row, session.micrograph(row["id"])) for row in rows]
    return {
        "revision": session.revision, "output": picking.output, "diameter": session.diameter, "least": session.marks.least,
        "trained": session.trained, "estimates": session.estimates, "can_undo": session.can_undo, "can_redo": session.can_redo, "learning": picking.learning,
        "count": session.marks.count, "next": session.next(),
        "micrographs": [
            {**row, **{name: one[name] for name in ("width", "height", "pixel_size")}, "weighted": bool(one.get("weighted_path"))}
            for row, one in about
        ],
    }  # fmt: skip


@router.get("/revision", response_model=PickingRevision)
def revision(picking: PickingAt) -> dict[str, Any]:
    """Return the number of the last change, for those who only want to know whether there was one."""
    return {"revision": picking.session.revision, "learning": picking.learning}


@router.patch("", response_model=Picked)
def change(picking: PickingAt, wanted: PickingEdit) -> dict[str, Any]:
    """Change the particle's diameter, Å, or the score below which picks of the model are hidden."""
    with picking.session.at(wanted.revision):
        if wanted.diameter is not None:
            picking.session.set_diameter(wanted.diameter)
        if wanted.least is not None:
            picking.session.set_least(wanted.least)
        return _picked(picking)


@router.post("/undo", response_model=Picked)
def undo(picking: PickingAt, wanted: At) -> dict[str, Any]:
    """Take back the last edit by hand; the answer names the micrograph it was made on."""
    with picking.session.at(wanted.revision):
        return _picked(picking, micrograph=picking.session.undo())


@router.post("/redo", response_model=Picked)
def redo(picking: PickingAt, wanted: At) -> dict[str, Any]:
    """Make the edit again that was taken back last; the answer names the micrograph it was made on."""
    with picking.session.at(wanted.revision):
        return _picked(picking, micrograph=picking.session.redo())


@router.get("/sheets/{micrograph}", response_model=Picks)
def picks(picking: PickingAt, micrograph: int) -> dict[str, Any]:
    """Return the picks of a micrograph."""
    return _picks(picking, micrograph)


@router.put(
    "/sheets/{micrograph}", response_model=Picked, responses={409: {"description": "Changed meanwhile; with the picks as they are."}}
)
def edit(picking: PickingAt, micrograph: int, wanted: SheetEdit) -> Any:
    """Make one edit on a micrograph."""
    session = picking.session
    try:
        with session.at(wanted.revision):
            return _picked(picking, micrograph=micrograph, numbers=_done(picking, micrograph, wanted))
    except WrongUse as problem:
        if problem.code != "picking-changed":
            raise
        told = {"code": f"CL-{problem.code}", "message": problem.message, "cure": problem.cure}
        return JSONResponse({"error": told, "current": _picks(picking, micrograph)}, 409)


def _done(picking: Shared, micrograph: int, wanted: SheetEdit) -> list[int]:
    session = picking.session
    if wanted.do == "add":
        return session.add_many(micrograph, wanted.places)
    if wanted.do == "remove":
        session.remove(micrograph, *wanted.numbers)
    elif wanted.do == "region":
        session.set_region(micrograph, wanted.region)
    elif len(wanted.numbers) == len(wanted.places) == 1:
        session.move(micrograph, wanted.numbers[0], *wanted.places[0])
    else:
        raise WrongUse("bad-edit", "A move is of one pick to one place.", "Give one number and one place.")
    return []


@router.post("/train", response_model=Picked)
def train(picking: PickingAt) -> dict[str, Any]:
    """Learn from what was picked and accepted; edits go on meanwhile."""
    with picking.learns() as session:
        session.train()
    return _picked(picking)


@router.post("/sheets/{micrograph}/autopick", response_model=Picked)
def autopick(picking: PickingAt, micrograph: int) -> dict[str, Any]:
    """Let the model pick a micrograph; edits go on meanwhile."""
    with picking.learns() as session:
        session.autopick(micrograph)
    return _picked(picking, micrograph=micrograph)


@router.post("/sheets/{micrograph}/accept", response_model=Picked)
def accept(picking: PickingAt, micrograph: int) -> dict[str, Any]:
    """Say that the picks of a micrograph are right and complete; a model that is in use learns from it."""
    with picking.learns() as session:
        session.accept(micrograph)
    return _picked(picking, micrograph=micrograph)


@router.post("/sheets/{micrograph}/reopen", response_model=Picked)
def reopen(picking: PickingAt, micrograph: int) -> dict[str, Any]:
    """Take an acceptance back."""
    picking.session.reopen(micrograph)
    return _picked(picking, micrograph=micrograph)


@router.post("/save", response_model=Made)
def save(picking: PickingAt, watch: WatchAt) -> dict[str, Any]:
    """Write the picks down for good and let the run finish with them."""
    picking.session.save(wait=False)
    watch.hurry()
    return {"run": picking.run.id, "state": picking.run.state}


def _picked(picking: Shared, **about: Any) -> dict[str, Any]:
    session = picking.session
    about |= {"can_undo": session.can_undo, "can_redo": session.can_redo}
    return {"revision": session.revision, "estimates": session.estimates, **about}


def _picks(picking: Shared, micrograph: int) -> dict[str, Any]:
    session = picking.session
    rows = session.picks(micrograph).rows()
    state = next(row["state"] for row in session.micrographs().iter_rows(named=True) if row["id"] == micrograph)
    return {"revision": session.revision, "micrograph": micrograph, "picks": rows, "region": session.region(micrograph), "state": state}
