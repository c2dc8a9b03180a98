"""Files of this computer, for the wizards that fill paths; only within the roots that `cryoloom serve` was given."""

from fastapi import APIRouter, HTTPException, Request

from cryoloom.server.context import WorkplaceAt
from cryoloom.server.form_models import Listing, Matches

router = APIRouter(prefix="/api/files", tags=["files"])


def demand_operator(request: Request) -> None:
    """Refuse viewers: they see projects, not the computer."""
    caller = getattr(request.state, "caller", None)
    if caller is not None and caller.role != "operator":
        raise HTTPException(403, "Viewers do not see the files of this computer.")


@router.get("", response_model=Listing)
def listing(request: Request, workplace: WorkplaceAt, folder: str = "") -> Listing:
    """Return the folders and files of a folder; of none, the roots."""
    demand_operator(request)
    return workplace.roots.listing(folder)


@router.get("/matches", response_model=Matches)
def matches(request: Request, workplace: WorkplaceAt, pattern: str) -> Matches:
    """Return how many files a pattern matches, and the first ones."""
    demand_operator(request)
    return workplace.roots.matches(pattern)
