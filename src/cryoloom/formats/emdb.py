"""What EMDB takes beside maps: FSC curves as XML, symmetry operators, and the figures of a reconstruction as a PDBx/mmCIF block."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

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


def reconstruction_block(metadata: Mapping[str, Any]) -> str:
    """Return the figures of a reconstruction by the names of the PDBx/mmCIF dictionary, defocus in nm.

    Parameters
    ----------
    metadata
        As `deposit.emdb` writes them: ``method``, ``voltage_kV``, ``cs_mm``, ``defocus_A`` (least and largest, or nothing), ``exposure_e_per_A2``,
        ``micrographs``, ``particles_picked``, ``particles_final``, ``resolution_A``, ``resolution_method``, ``symmetry``, ``software``,
        ``contour_level``, ``pixel_size_A`` and ``box_px``; None where it is not known.
    """
    least, largest = (each / 10 for each in metadata["defocus_A"]) if metadata["defocus_A"] else (None, None)
    tasks = [(task, each) for each in metadata["software"] for task in ("RECONSTRUCTION", "FINAL EULER ASSIGNMENT")]
    entry, processed = {"entry_id": "deposition", "id": 1}, {"image_processing_id": 1}
    return cif_block(
        "deposition",
        {
            "em_experiment": {**entry, "reconstruction_method": metadata["method"], "aggregation_state": "PARTICLE"},
            "em_imaging": {
                **entry, "accelerating_voltage": metadata["voltage_kV"], "nominal_cs": metadata["cs_mm"],
                "nominal_defocus_min": least, "nominal_defocus_max": largest,
            },
            "em_image_recording": {
                "id": 1, "imaging_id": 1, "avg_electron_dose_per_image": metadata["exposure_e_per_A2"], "num_real_images": metadata["micrographs"],
            },
            "em_image_processing": {"id": 1, "image_recording_id": 1},
            "em_particle_selection": {"id": 1, **processed, "num_particles_selected": metadata["particles_picked"]},
            "em_3d_reconstruction": {
                **entry, **processed, "num_particles": metadata["particles_final"], "resolution": metadata["resolution_A"],
                "resolution_method": metadata["resolution_method"], "symmetry_type": "POINT",
            },
            "em_single_particle_entity": {**entry, **processed, "point_symmetry": metadata["symmetry"]},
            "em_software": [
                {"id": number, **processed, "category": task, "name": each["name"], "version": each["version"]}
                for number, (task, each) in enumerate(tasks, 1)
            ],
            "em_map": {
                "id": 1, "file": "map.mrc", "contour_level": metadata["contour_level"],
                **{f"pixel_spacing_{axis}": metadata["pixel_size_A"] for axis in "xyz"},
                **{f"dimensions_{name}": metadata["box_px"] for name in ("col", "row", "sec")},
            },
        },
    )  # fmt: skip


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
