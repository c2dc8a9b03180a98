"""From where particles were seen."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from cryoloom.app.orientations import Spread, has_angles, orientations
from cryoloom.server.context import OutputAt
from cryoloom.server.models import Orientations

router = APIRouter(prefix="/api/projects/{project}/outputs/{output}", tags=["orientations"])


@router.get("/orientations", response_model=Orientations)
def views(
    output: OutputAt,
    symmetry: str = "",
    spread: Spread = "all",
    side: Annotated[float, Query(description="of a cell in degrees; 0: as fits the number of particles")] = 0.0,
    where: str = "",
) -> dict[str, Any]:
    """Return the views of an output's particles in cells of equal area, and the volume that the same run gave."""
    if not has_angles(output):
        return {"why": f"The {output.kind} of {output} have not been aligned to a map: they have no angles yet."}
    found = orientations(output, symmetry=symmetry, spread=spread, side=side, where=where)
    return {
        "rings": found.cells.rings.tolist(),
        "counts": found.counts.tolist(),
        "side": found.side,
        "particles": found.particles,
        "symmetry": found.symmetry,
        "spread": found.spread,
        "coverage": found.coverage,
        "parts": found.parts,
        "volume": next((str(each) for each in output.run.outputs if each.kind == "volume"), None),
    }
