"""Columns of sets as histograms and as points; Fourier shell correlations."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from cryoloom.app import columns, fsc
from cryoloom.server.context import OutputAt
from cryoloom.server.models import Curves, Histograms, Points

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}", tags=["plots"])


@router.get("/histograms", response_model=Histograms)
def histograms(
    output: OutputAt, column: Annotated[list[str], Query(min_length=1, max_length=24)], bins: int = 40, where: str = ""
) -> dict[str, Any]:
    """Return columns counted in bins, over all rows and over those that follow a rule."""
    return columns.histograms(output, column, bins=bins, where=where)


@router.get("/points", response_model=Points)
def points(output: OutputAt, y: str, x: str = "", where: str = "", limit: int = columns.MOST_POINTS) -> dict[str, Any]:
    """Return two columns against each other, or one over the rows, thinned out."""
    return columns.points(output, y, x, where=where, limit=limit)


@router.get("/fsc", response_model=Curves)
def curves(output: OutputAt) -> dict[str, Any]:
    """Return Fourier shell correlations, and where each falls below the usual thresholds."""
    return fsc.curves(output)
