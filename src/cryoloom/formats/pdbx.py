"""Blocks of PDBx/mmCIF: written, and held against what the dictionary says of electron microscopy (items, kinds and words; facts, not its text)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryoloom.formats.archive_rules import Rule, faults

_ID = Rule("whole", needed=True, least=1)
_TEXT, _COUNT, _SIZE = Rule("text", empty=True), Rule("whole", empty=True, least=1), Rule("number", empty=True, least=0)


def _word(*words: str) -> Rule:
    return Rule("text", empty=True, among=words)


ANGLES = (
    "ANGULAR RECONSTITUTION",
    "COMMON LINE",
    "NOT APPLICABLE",
    "OTHER",
    "PROJECTION MATCHING",
    "RANDOM ASSIGNMENT",
    "MAXIMUM LIKELIHOOD",
)
CATEGORIES: Mapping[str, Mapping[str, Rule]] = {
    "em_admin": {"entry_id": _TEXT, "title": _TEXT},
    "em_experiment": {
        "entry_id": _TEXT, "id": _ID,
        "reconstruction_method": _word("CRYSTALLOGRAPHY", "HELICAL", "SINGLE PARTICLE", "SUBTOMOGRAM AVERAGING", "TOMOGRAPHY"),
        "aggregation_state": _word("2D ARRAY", "3D ARRAY", "CELL", "FILAMENT", "HELICAL ARRAY", "PARTICLE", "TISSUE"),
    },
    "em_imaging": {
        "entry_id": _TEXT, "id": _ID, "microscope_model": _TEXT, "electron_source": _TEXT,
        "illumination_mode": _word("FLOOD BEAM", "OTHER", "SPOT SCAN"), "mode": _word("4D-STEM", "BRIGHT FIELD", "DARK FIELD", "DIFFRACTION", "OTHER"),
        "accelerating_voltage": Rule("whole", empty=True, least=25), "nominal_cs": Rule("number", empty=True, least=0, most=20),
        **dict.fromkeys(("nominal_defocus_min", "nominal_defocus_max"), Rule("number", empty=True)),
        "calibrated_defocus_min": Rule("number", empty=True, least=-20_000, most=20_000),
        "calibrated_defocus_max": Rule("number", empty=True, least=-30_000, most=50_000),
    },
    "em_image_recording": {
        "id": _ID, "imaging_id": _ID, "film_or_detector_model": _TEXT, "detector_mode": _word("COUNTING", "INTEGRATING", "OTHER", "SUPER-RESOLUTION"),
        "avg_electron_dose_per_image": Rule("number", empty=True, least=0, most=1000), "num_real_images": _COUNT,
    },
    "em_image_processing": {"id": _ID, "image_recording_id": _ID, "details": _TEXT},
    "em_particle_selection": {"id": _ID, "image_processing_id": _ID, "num_particles_selected": _COUNT},
    "em_ctf_correction": {
        "id": _ID, "em_image_processing_id": _ID,
        "type": _word("NONE", "PHASE FLIPPING ONLY", "PHASE FLIPPING AND AMPLITUDE CORRECTION"),
    },
    "em_euler_angle_assignment": {"id": _ID, "image_processing_id": _ID, "order": _word("INITIAL", "FINAL"), "type": _word(*ANGLES)},
    "em_3d_reconstruction": {
        "entry_id": _TEXT, "id": _ID, "image_processing_id": _ID, "num_particles": _COUNT, "resolution": _SIZE, "actual_pixel_size": _SIZE,
        "algorithm": _word("ALGEBRAIC (ARTS)", "BACK PROJECTION", "EXACT BACK PROJECTION", "FOURIER SPACE", "SIMULTANEOUS ITERATIVE (SIRT)"),
        "resolution_method": _word(
            "DIFFRACTION PATTERN/LAYERLINES", *(f"FSC {name} CUT-OFF" for name in ("0.143", "0.33", "0.5", "1/2 BIT", "3 SIGMA")), "OTHER"
        ),
        "refinement_type": _word(
            "HALF-MAPS REFINED AGAINST SAME DATA", "HALF-MAPS REFINED INDEPENDENTLY",
            "HALF-MAPS REFINED INDEPENDENTLY WITH FREQUENCY RANGE OMITTED", "HALF-MAPS REFINED WITH FREQUENCY RANGE OMITTED", "OTHER",
        ),
        "symmetry_type": _word("2D CRYSTAL", "3D CRYSTAL", "HELICAL", "POINT"),
    },
    "em_single_particle_entity": {
        "entry_id": _TEXT, "id": _ID, "image_processing_id": _ID, "point_symmetry": Rule("text", pattern=r"C\d+|D\d+|O|T|I"),
    },
    "em_3d_fitting": {
        "entry_id": _TEXT, "id": _ID, "ref_protocol": _word("AB INITIO MODEL", "BACKBONE TRACE", "FLEXIBLE FIT", "OTHER", "RIGID BODY FIT"),
        "ref_space": _word("REAL", "RECIPROCAL"), "target_criteria": _TEXT,
    },
    "em_software": {
        "id": _ID, "name": _TEXT, "version": _TEXT, "details": _TEXT,
        **dict.fromkeys(("image_processing_id", "imaging_id", "fitting_id"), Rule("whole", empty=True, least=1)),
        "category": _word(
            "CLASSIFICATION", "CRYSTALLOGRAPHY MERGING", "CTF CORRECTION", "DIFFRACTION INDEXING", "EWALD SPHERE CORRECTION",
            "FINAL EULER ASSIGNMENT", "IMAGE ACQUISITION", "INITIAL EULER ASSIGNMENT", "LATTICE DISTORTION CORRECTION", "LAYERLINE INDEXING",
            "MASKING", "MODEL FITTING", "MODEL REFINEMENT", "MOLECULAR REPLACEMENT", "OTHER", "PARTICLE SELECTION", "RECONSTRUCTION",
            "SERIES ALIGNMENT", "SYMMETRY DETERMINATION", "VOLUME SELECTION",
        ),
    },
    "em_map": {
        "id": _ID, "type": _word("primary map", "half map", "additional map", "mask"), "partition": _COUNT, "file": _TEXT,
        "contour_level": Rule("number", empty=True), "contour_level_source": _word("EMDB", "AUTHOR", "SOFTWARE", "ANNOTATOR"),
        **dict.fromkeys((f"pixel_spacing_{axis}" for axis in "xyz"), _SIZE), **dict.fromkeys((f"dimensions_{n}" for n in ("col", "row", "sec")), _COUNT),
    },
}  # fmt: skip
"""Categories of electron microscopy that are written here, by item; defocus in nm, voltage in kV, Cs in mm, exposure in e/Å²."""


def cif_faults(path: Path) -> list[str]:
    """Return in words what the dictionary does not know or allow in a file: categories, items, kinds and words."""
    import gemmi

    try:
        block = gemmi.cif.read(str(path)).sole_block()
    except (RuntimeError, ValueError) as problem:
        return [f"no mmCIF: {problem}"]
    return [fault for category in block.get_mmcif_category_names() for fault in _category_faults(block, category)]


def _category_faults(block: Any, category: str) -> Iterator[str]:
    name, columns = category.strip("_."), block.get_mmcif_category(category)
    rules = CATEGORIES.get(name)
    if rules is None:
        yield f"{name} is not known"
        return
    yield from (f"{name}.{item} is needed" for item, rule in rules.items() if rule.needed and item not in columns)
    for item, values in columns.items():
        if item not in rules:
            yield f"{name}.{item} is not known"
            continue
        for value in values:
            yield from faults(_read(value, rules[item].kind), rules[item], f"{name}.{item}")


def _read(text: str | None, kind: str) -> Any:
    """Return a value as its rule has it, the text where it is none."""
    if text is None or kind == "text":
        return text
    try:
        return int(text) if kind == "whole" else float(text)
    except ValueError:
        return text


def cif_block(name: str, categories: Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]) -> str:
    """Return a data block of PDBx/mmCIF: categories of one row as items, of several as loops; what is None is ``?``."""
    lines = [f"data_{name}", "#"]
    for category, content in categories.items():
        if isinstance(content, Mapping):
            lines += [f"_{category}.{item} {_cif(value)}" for item, value in content.items()]
        elif content:
            lines += ["loop_", *(f"_{category}.{item}" for item in content[0])]
            lines += [" ".join(_cif(value) for value in row.values()) for row in content]
        lines.append("#")
    return "\n".join(lines) + "\n"


def _cif(value: Any) -> str:
    if value is None or value == "":
        return "?"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if "\n" in text or ("'" in text and '"' in text):
        return f"\n;{text}\n;"
    if (
        not any(each in text for each in " '\"#")
        and text[0] not in "_;[]$"
        and text.lower().partition("_")[0] not in ("data", "loop", "save")
    ):
        return text
    return f'"{text}"' if "'" in text else f"'{text}'"
