"""Filling a form: what fits an input, what is wrong with a value, what a run would give."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cryoloom.app import catalogue
from cryoloom.app.cluster import targets
from cryoloom.app.compatibility import describe
from cryoloom.app.doctor import processors
from cryoloom.app.form_check import check_form
from cryoloom.server.context import ProjectAt
from cryoloom.server.form_models import Machine
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
    return asdict(check_form(project.folder, protocol, filled.values, seed=filled.seed))


@router.get("/machine", response_model=Machine)
def machine(project: ProjectAt, protocol: str) -> dict[str, Any]:
    """Return the cores and places that a run can have, and which choices of the protocol this machine lacks."""
    absent = {name: dict(choices) for name, choices in catalogue.protocol(protocol).absent().items()}
    return {"cores": processors(), "targets": [asdict(target) for target in targets(project.root)], "absent": absent}
