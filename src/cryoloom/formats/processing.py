"""What an archive is told of how a map was made, from the steps that made it, in the words of EMDB's schema."""

from collections.abc import Mapping, Sequence
from typing import Any

from cryoloom.spec import Step

SOFTWARE = {
    "motion": "OTHER", "particles.polish": "OTHER", "pick": "PARTICLE SELECTION", "ctf": "CTF CORRECTION", "refine.ctf": "CTF CORRECTION",
    "initial": "INITIAL EULER ASSIGNMENT", "classify2d": "CLASSIFICATION", "classify3d": "CLASSIFICATION", "postprocess.mask": "MASKING",
    "model.fit": "MODEL FITTING",
}  # fmt: skip
"""Categories of EMDB's software by protocol or the room of protocols; the longest name that fits counts."""
ANGLES = {
    "initial.sgd": "MAXIMUM LIKELIHOOD", "initial.significant": "PROJECTION MATCHING", "initial.swarm": "OTHER",
    "classify3d.em": "MAXIMUM LIKELIHOOD", "refine.auto": "MAXIMUM LIKELIHOOD", "refine.local": "PROJECTION MATCHING",
    "refine.deep_align": "OTHER",
}  # fmt: skip
"""How protocols find orientations."""
MAKERS = ("initial.sgd", "initial.significant", "initial.swarm", "classify3d.em", "refine.auto", "refine.local")
"""Protocols that make maps of particles, in Fourier space."""
INDEPENDENT = ("refine.auto", "refine.local")
"""Those of them that keep half sets apart."""
UNMOVED = {"refine.auto": ("poses", "given"), "refine.local": ("method", "none"), "classify3d.em": ("align", False)}
"""The parameter by which a protocol leaves orientations as they are."""


def reconstruction(steps: Sequence[Step]) -> dict[str, Any]:
    """Return how a map was made, of the `steps` that it rests on; None where a step outside made it.

    Returns
    -------
    dict
        ``algorithm``, ``refinement_type``, ``initial_angles`` and ``final_angles`` in EMDB's words, ``made_by`` (protocol).
    """
    maker = next((step.protocol for step in reversed(steps) if step.protocol in MAKERS), None)
    posed = [step.protocol for step in steps if step.protocol in ANGLES and not _unmoved(step)]
    first = next((name for name in posed if name.startswith("initial.")), None)
    last = next((name for name in reversed(posed) if not name.startswith("initial.")), None)
    return {
        "made_by": maker,
        "algorithm": "FOURIER SPACE" if maker else None,
        "refinement_type": "HALF-MAPS REFINED INDEPENDENTLY" if maker in INDEPENDENT else None,
        "initial_angles": ANGLES.get(first or ""),
        "final_angles": ANGLES.get(last or ""),
    }


def motion_correction(steps: Sequence[Step]) -> str | None:
    """Return how motion was undone, in EMDB's words; None where no step tells."""
    names = {step.protocol for step in steps}
    if "particles.polish" in names:
        return "PER PARTICLE"
    moved = [step for step in steps if step.protocol.startswith("motion.")]
    if not moved:
        return None
    return "WHOLE MICROGRAPH" if moved[-1].parameters.get("patches") == 1 else "MICROGRAPH PATCHES"


def model_fit(steps: Sequence[Step]) -> dict[str, Any]:
    """Return how a model was fitted, in the words of PDBx/mmCIF; None where no step tells."""
    fit = next((step for step in reversed(steps) if step.protocol == "model.fit"), None)
    if fit is None:
        return {"ref_protocol": None, "ref_space": None, "target_criteria": None}
    refined = fit.parameters.get("refinement", "none") != "none"
    return {
        "ref_protocol": "FLEXIBLE FIT" if refined else "RIGID BODY FIT", "ref_space": "RECIPROCAL",
        "target_criteria": "Maximum likelihood" if refined else "Fourier shell correlation",
    }  # fmt: skip


def software(steps: Sequence[Step], made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return programs by task: ``category``, ``name``, ``version`` and, in ``details``, the protocols.

    Parameters
    ----------
    steps
        All that map, particles and model rest on.
    made
        What `reconstruction` tells of the map.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for step in steps:
        categories = [_category(step.protocol)]
        if step.protocol == made["made_by"]:
            categories.append("RECONSTRUCTION")
        if step.protocol in ANGLES and not step.protocol.startswith("initial.") and not _unmoved(step):
            categories.append("FINAL EULER ASSIGNMENT")
        for category in filter(None, categories):
            found.setdefault((category, "cryoloom", step.version), []).append(step.protocol)
        if step.protocol == "model.fit" and step.parameters.get("refinement", "none") != "none":
            found.setdefault(("MODEL REFINEMENT", step.parameters["refinement"], ""), []).append(step.protocol)
    return [
        {"category": category, "name": name, "version": version or None, "details": ", ".join(dict.fromkeys(protocols))}
        for (category, name, version), protocols in sorted(found.items())
    ]


def _unmoved(step: Step) -> bool:
    name, value = UNMOVED.get(step.protocol, ("", None))
    return bool(name) and step.parameters.get(name) == value


def _category(protocol: str) -> str | None:
    fitting = [name for name in SOFTWARE if protocol == name or protocol.startswith(f"{name}.")]
    return SOFTWARE[max(fitting, key=len)] if fitting else None
