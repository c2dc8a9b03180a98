"""Filling a form: what fits an input, what is wrong with a value, what a run would give."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cryoloom.app.compatibility import describe
from cryoloom.app.form_check import check_form
from cryoloom.server.context import ProjectAt
from cryoloom.server.models import FormCheck, Offer

router = APIRouter(prefix="/api/projects/{project}/forms/{protocol}", tags=["forms"])


class Filled(BaseModel):
    """What a form holds: parameters as values or texts, inputs as ``RUN.OUTPUT`` or a list of them."""

    values: dict[str, Any]
    seed: int = Field(0, ge=0)


@router.get("/offers/{name}", response_model=list[Offer])
def offers(project: ProjectAt, protocol: str, name: str) -> list[dict[str, Any]]:
    """Return the outputs that an input takes, last made first."""
    return [describe(output) for output in project.compatible(protocol, name)]


@router.post("/check", response_model=FormCheck)
def check(project: ProjectAt, protocol: str, filled: Filled) -> dict[str, Any]:
    """Return what is wrong with which field, and what a run would give; nothing is made."""
    found = check_form(project.folder, protocol, filled.values, seed=filled.seed)
    errors = [dict(zip(("field", "message", "cure"), each, strict=True)) for each in found.errors]
    return {"errors": errors, "advice": found.advice, "why": found.why, "preview": found.preview}
