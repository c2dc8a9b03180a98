"""Fourier shell correlations as a plot needs them: curves, and where each falls below the usual thresholds."""

from typing import Any

import numpy as np

from cryoloom.app.outputs import OutputRef
from cryoloom.numerics.fsc.shells import crossing_shell
from cryoloom.spec import WrongUse

THRESHOLDS = (0.143, 0.5)
_TITLES = {
    "fsc_unmasked": "unmasked",
    "fsc_masked": "masked",
    "fsc_randomised": "phases randomised, masked",
    "fsc_particle": "of the particle",
    "fsc_worst_direction": "worst direction",
    "fsc_best_direction": "best direction",
}


def curves(output: OutputRef) -> dict[str, Any]:
    """Return the curves of an output of kind ``fsc``.

    Returns
    -------
    dict
        ``frequency`` (1/Å, of each shell), ``resolution`` (Å; what the run says of its map, None if nothing) and ``curves``: of each ``name``, ``title``,
        ``values`` (None where there is none) and ``crossings``: by threshold the resolution in Å of the last shell before it falls below.

    Raises
    ------
    WrongUse
        ``no-fsc``: the output is of another kind.
    """
    if output.kind != "fsc":
        raise WrongUse("no-fsc", f"{output} is a set of {output.kind}, not of Fourier shell correlations.", "Choose an output of kind fsc.")
    rows = output.items.sort("shell")
    names = [name for name in rows.columns if name == "fsc" or name.startswith("fsc_")]
    frequency = rows["frequency"].to_numpy()
    title = "corrected for the mask" if "fsc_masked" in names else "of the half maps"
    found = []
    for name in names:
        values = rows[name].cast(float).fill_null(float("nan")).to_numpy()
        found.append(
            {
                "name": name,
                "title": title if name == "fsc" else _TITLES.get(name, name.removeprefix("fsc_").replace("_", " ")),
                "values": [float(each) if np.isfinite(each) else None for each in values],
                "crossings": {str(level): _crossing(values, frequency, level) for level in THRESHOLDS},
            }
        )
    return {"output": str(output), "frequency": frequency.tolist(), "resolution": output.meta.get("resolution"), "curves": found}


def _crossing(values: "np.ndarray[Any, Any]", frequency: "np.ndarray[Any, Any]", level: float) -> float | None:
    """Return the resolution at which a curve crosses a threshold; None where it never does, or does before the first shell."""
    there = values[: int(np.argmin(np.isfinite(values)))] if not np.isfinite(values).all() else values
    if not len(there) or (there >= level).all():
        return None
    shell = int(crossing_shell(there, level))
    return float(1.0 / frequency[shell]) if shell > 0 else None
