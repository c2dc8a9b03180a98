"""What EMDB takes beside maps: FSC curves as XML, symmetry operators, and the figures of a reconstruction as a PDBx/mmCIF block.

Its header XML is made by the archive from that block when an entry gets its number, so none is written here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from cryoloom.formats.pdbx import cif_block

X_AXIS, Y_AXIS = "Resolution (A-1)", "Correlation Coefficient"

Curve = NDArray[np.float64]


def write_fsc(path: Path, frequency: Curve, values: Curve, title: str) -> None:
    """Write a curve, ``frequency`` in 1/Å, as the XML file that EMDB takes; shells without a value are left out."""
    root = ElementTree.Element("fsc", title=title, xaxis=X_AXIS, yaxis=Y_AXIS)
    for x, y in zip(frequency, values, strict=True):
        if np.isfinite(x) and np.isfinite(y):
            coordinate = ElementTree.SubElement(root, "coordinate")
            ElementTree.SubElement(coordinate, "x").text = f"{x:.6f}"
            ElementTree.SubElement(coordinate, "y").text = f"{min(max(y, -1.0), 1.0):.6f}"
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n")


def fsc_faults(path: Path, nyquist: float = math.inf) -> list[str]:
    """Return in words what EMDB would refuse in a curve: what docs/schemas/emdb-fsc.xsd says, and the order of x, up to `nyquist` (1/Å)."""
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as problem:
        return [f"no XML: {problem}"]
    return list(_faults(root, nyquist))


def _faults(root: ElementTree.Element, nyquist: float) -> Iterator[str]:
    if root.tag != "fsc":
        yield f"the root is {root.tag}, not fsc"
        return
    if unknown := set(root.attrib) - {"title", "xaxis", "yaxis"}:
        yield f"unknown attributes: {', '.join(sorted(unknown))}"
    for name, wanted in (("xaxis", X_AXIS), ("yaxis", Y_AXIS)):
        if root.get(name) != wanted:
            yield f"{name} is {root.get(name)!r}, not {wanted!r}"
    if len(root) < 2:
        yield f"{len(root)} coordinates; two are the least"
    last = -math.inf
    for number, each in enumerate(root, 1):
        if each.tag != "coordinate" or [part.tag for part in each] != ["x", "y"]:
            yield f"coordinate {number} is {each.tag} of {', '.join(part.tag for part in each) or 'nothing'}, not coordinate of x, y"
            continue
        try:
            x, y = (float(part.text or "") for part in each)
        except ValueError:
            yield f"coordinate {number} holds no numbers"
            continue
        if not (math.isfinite(x) and math.isfinite(y)):
            yield f"coordinate {number} is not finite"
        elif not 0 <= x <= nyquist * (1 + 1e-4) or not -1 <= y <= 1:
            yield f"coordinate {number} ({x:g}, {y:g}) lies outside 0 to Nyquist or -1 to 1"
        if x <= last:
            yield f"x of coordinate {number} does not ascend"
        last = x


def operators_text(name: str, operators: Curve) -> str:
    """Return the rotations of a point group as PDB's BIOMT records, under its name."""
    lines = [f"Point group {name}, {len(operators)} operators, about the centre of the box."]
    for number, matrix in enumerate(operators, 1):
        lines += [
            f"REMARK 350   BIOMT{row + 1} {number:3d} " + " ".join(f"{value + 0.0:9.6f}" for value in matrix[row]) + f" {0.0:14.5f}"
            for row in range(3)
        ]
    return "\n".join(lines) + "\n"


def reconstruction_block(metadata: Mapping[str, Any], maps: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures of a reconstruction by the names of the PDBx/mmCIF dictionary; what only the depositor knows is there as ``?``.

    Parameters
    ----------
    metadata
        As `deposit.emdb` writes them; None where something is not known.
    maps
        Of each map ``file``, ``type``, ``partition`` (of half maps, else None), ``pixel_size_A``, ``box_px`` and ``contour_level``.
    """
    least, largest = (each / 10 for each in metadata["defocus_A"]) if metadata["defocus_A"] else (None, None)
    entry, processed = {"entry_id": "deposition", "id": 1}, {"image_processing_id": 1}
    voltage = metadata["voltage_kV"]
    angles = [("INITIAL", metadata["initial_angle_assignment"]), ("FINAL", metadata["final_angle_assignment"])]
    categories: dict[str, Any] = {
        "em_admin": {"entry_id": "deposition", "title": metadata["title"]},
        "em_experiment": {**entry, "reconstruction_method": metadata["method"], "aggregation_state": "PARTICLE"},
        "em_imaging": {
            **entry, "microscope_model": None, "electron_source": None, "illumination_mode": None, "mode": None,
            "accelerating_voltage": None if voltage is None else round(voltage), "nominal_cs": metadata["cs_mm"],
            "nominal_defocus_min": None, "nominal_defocus_max": None, "calibrated_defocus_min": least, "calibrated_defocus_max": largest,
        },
        "em_image_recording": {
            "id": 1, "imaging_id": 1, "film_or_detector_model": None, "detector_mode": None,
            "avg_electron_dose_per_image": metadata["exposure_e_per_A2"], "num_real_images": metadata["micrographs"],
        },
        "em_image_processing": {"id": 1, "image_recording_id": 1, "details": _motion(metadata["motion_correction"])},
        "em_particle_selection": {"id": 1, **processed, "num_particles_selected": metadata["particles_picked"]},
        "em_ctf_correction": {"id": 1, "em_image_processing_id": 1, "type": metadata["ctf_correction"]},
        "em_euler_angle_assignment": [
            {"id": number, **processed, "order": order, "type": kind} for number, (order, kind) in enumerate(angles, 1)
        ],
        "em_3d_reconstruction": {
            **entry, **processed, "num_particles": metadata["particles_final"], "resolution": metadata["resolution_A"],
            "resolution_method": metadata["resolution_method"], "actual_pixel_size": metadata["pixel_size_A"],
            "algorithm": metadata["algorithm"], "refinement_type": metadata["refinement_type"], "symmetry_type": "POINT",
        },
        "em_single_particle_entity": {**entry, **processed, "point_symmetry": metadata["symmetry"].partition("I")[1] or metadata["symmetry"]},
    }  # fmt: skip
    if metadata["model_fit"]:
        categories["em_3d_fitting"] = {**entry, **metadata["model_fit"]}
    categories["em_software"] = [
        {
            "id": number, "image_processing_id": None if each["category"].startswith("MODEL") else 1,
            "fitting_id": 1 if each["category"].startswith("MODEL") else None, **each,
        }
        for number, each in enumerate(metadata["software"], 1)
    ]  # fmt: skip
    categories["em_map"] = [
        {
            "id": number, "type": each["type"], "partition": each["partition"], "file": each["file"], "contour_level": each["contour_level"],
            "contour_level_source": None if each["contour_level"] is None else metadata["contour_source"],
            **{f"pixel_spacing_{axis}": each["pixel_size_A"] for axis in "xyz"},
            **{f"dimensions_{name}": each["box_px"] for name in ("col", "row", "sec")},
        }
        for number, each in enumerate(maps, 1)
    ]  # fmt: skip
    return cif_block("deposition", categories)


def _motion(kind: str | None) -> str | None:
    return kind and f"Motion correction: {kind}"


DEPOSITOR = {
    "authors, and who is written to": "_em_author_list, _pdbx_contact_author",
    "when it is released": "_pdbx_database_status",
    "paper": "_citation",
    "name, kind and source of the sample": "_em_entity_assembly",
    "buffer and its pH": "_em_buffer",
    "concentration, and whether stained, embedded or frozen": "_em_specimen",
    "grid": "_em_sample_support",
    "cryogen and plunger": "_em_vitrification",
    "microscope": "_em_imaging.microscope_model",
    "electron source": "_em_imaging.electron_source",
    "illumination": "_em_imaging.illumination_mode",
    "imaging": "_em_imaging.mode",
    "defocus that was aimed at": "_em_imaging.nominal_defocus_min, _max",
    "detector": "_em_image_recording.film_or_detector_model",
    "how it counted": "_em_image_recording.detector_mode",
    "program that took the images": "_em_software, IMAGE ACQUISITION",
}
"""What no project knows, and where it belongs in PDBx/mmCIF."""
OF_PROJECT = {
    "title": ("title", "_em_admin.title"),
    "voltage_kV": ("voltage", "_em_imaging.accelerating_voltage"),
    "cs_mm": ("spherical aberration", "_em_imaging.nominal_cs"),
    "exposure_e_per_A2": ("exposure", "_em_image_recording.avg_electron_dose_per_image"),
    "micrographs": ("number of micrographs", "_em_image_recording.num_real_images"),
    "particles_picked": ("particles picked", "_em_particle_selection.num_particles_selected"),
    "particles_final": ("particles in the map", "_em_3d_reconstruction.num_particles"),
    "ctf_correction": ("CTF correction", "_em_ctf_correction.type"),
    "initial_angle_assignment": ("first assignment of angles", "_em_euler_angle_assignment, INITIAL"),
    "final_angle_assignment": ("last assignment of angles", "_em_euler_angle_assignment, FINAL"),
    "algorithm": ("reconstruction algorithm", "_em_3d_reconstruction.algorithm"),
    "refinement_type": ("independence of the half maps", "_em_3d_reconstruction.refinement_type"),
}
"""What a project may know, by its name in the metadata; missing where inputs were left out or came from elsewhere."""


def lacking(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what is missing in words, and where it belongs in PDBx/mmCIF, what the project might have told first."""
    return {words: item for name, (words, item) in OF_PROJECT.items() if metadata[name] in (None, "")} | DEPOSITOR
