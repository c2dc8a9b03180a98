"""Chosen rows: counted, and made into subsets."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cryoloom.app import selections
from cryoloom.server.context import OutputAt, ProjectAt, WatchAt
from cryoloom.server.models import SelectionCheck, SubsetMade

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}/selection", tags=["selections"])


class Chosen(BaseModel):
    """Rows that follow a rule (empty: all; null: none), but for listed ids, of which it is the other way round."""

    where: str | None = Field(None, max_length=100_000)
    flipped: list[Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]] = Field([], max_length=selections.MOST_LISTED)

    def selection(self) -> selections.Selection:
        """Return it as the session knows it."""
        return selections.Selection(self.where, tuple(self.flipped))


class SubsetWanted(Chosen):
    """What to make of them, and what to call it."""

    offer: str = "same"
    label: str = Field("", max_length=200)
    threads: int | None = Field(None, ge=1, le=1024)


@router.post("/check", response_model=SelectionCheck)
def check(project: ProjectAt, output: OutputAt, chosen: Chosen) -> dict[str, Any]:
    """Return how many rows are chosen and what can be made of them; nothing is made."""
    return selections.check(project.folder, output, chosen.selection())


@router.post("/subset", response_model=SubsetMade, status_code=201)
def subset(project: ProjectAt, watch: WatchAt, output: OutputAt, wanted: SubsetWanted) -> dict[str, Any]:
    """Make a subset of chosen rows, or of what belongs to them, and start the run of it."""
    made = selections.make(
        project.folder, output, wanted.selection(), offer=wanted.offer, name=wanted.label.strip(), threads=wanted.threads
    )
    watch.hurry()
    return made
