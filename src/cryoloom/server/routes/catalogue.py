"""The protocols there are, and their forms."""

from functools import cache
from typing import Any

from fastapi import APIRouter

from cryoloom.app import catalogue
from cryoloom.app.schema import schema_of
from cryoloom.server.models import CatalogueEntry

router = APIRouter(prefix="/api/catalogue", tags=["catalogue"])


@router.get("", response_model=list[CatalogueEntry])
def everything() -> list[dict[str, Any]]:
    """Return all protocols; `words` is what a search looks in."""
    return _everything()


@cache
def _everything() -> list[dict[str, Any]]:
    return [
        {
            "id": entry.id,
            "step": entry.id.partition(".")[0],
            "title": entry.title,
            "words": catalogue.words_of(entry),
            "error": entry.error,
        }
        for entry in catalogue.entries()
    ]


@router.get("/{protocol}")
def one(protocol: str) -> dict[str, Any]:
    """Return the JSON Schema of a protocol's form."""
    return schema_of(catalogue.protocol(protocol))
