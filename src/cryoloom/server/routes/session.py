"""Who asks, and whom they ask."""

from typing import Any

from fastapi import APIRouter, Request

import cryoloom
from cryoloom.server.context import WorkplaceAt
from cryoloom.server.models import Session

router = APIRouter(tags=["session"])


@router.get("/api/session", response_model=Session)
def session(request: Request, workplace: WorkplaceAt) -> dict[str, Any]:
    """Return the caller's role, and what this server is."""
    caller = getattr(request.state, "caller", None)
    return {"role": caller.role if caller else "operator", "version": cryoloom.__version__, "folder": str(workplace.root)}


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "ok"}
