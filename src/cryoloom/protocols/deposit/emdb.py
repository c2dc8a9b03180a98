"""deposit.emdb: a folder with all that EMDB asks for of a single-particle map, checked before it is sent."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from cryoloom.data import FSC, AtomicModel, Coordinates, Deposition, Mask, Micrographs, Particles, Volume, symmetry_hints
from cryoloom.formats.archive_files import listed_files
from cryoloom.formats.atomic_model import read_model
from cryoloom.formats.deposition_checks import Bundle, Check
from cryoloom.formats.emdb import DEPOSITOR, fsc_faults, lacking, operators_text, reconstruction_block, write_fsc
from cryoloom.formats.map_sets import StoredMap, rows_of, stored_map
from cryoloom.formats.mrc import read_mrc, write_mrc
from cryoloom.formats.pdbx import cif_faults
from cryoloom.formats.processing import model_fit, motion_correction, reconstruction, software
from cryoloom.report.panels import LinePlot, MapSurface, Notice, Series, TableView
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol, Step

if TYPE_CHECKING:
    from cryoloom.numerics.geometry.symmetry import PointGroup

METHOD = "FSC 0.143 CUT-OFF"
"""EMDB's word for the resolution of half maps."""
HALVES = ("half_map1_path", "half_map2_path")
PICTURE = 600
"""Pixels a side of the picture; EMDB wants 500 at the least."""
CURVES = {"fsc": "corrected", "fsc_unmasked": "unmasked", "fsc_masked": "masked"}
"""Curves that are written, and what they are called; the first is the headline's."""
SOURCES = {"masked": "masked_path", "unfiltered": "unfiltered_path"}
"""Further maps of the set itself."""
LOST = {
    "particles": "voltage, Cs and the number of particles",
    "coordinates": "the number of picks",
    "micrographs": "their number and exposure",
}
"""What is not told without an input."""
SHOWN = {
    "title": ("title", ""), "method": ("method", ""), "voltage_kV": ("voltage", "kV"), "cs_mm": ("Cs", "mm"),
    "amplitude_contrast": ("amplitude contrast", ""), "exposure_e_per_A2": ("exposure", "e/Å²"), "defocus_A": ("defocus, measured", "Å"),
    "micrographs": ("micrographs", ""), "motion_correction": ("motion correction", ""), "particles_picked": ("particles picked", ""),
    "particles_selected": ("particles refined", ""), "particles_final": ("particles in the map", ""), "ctf_correction": ("CTF correction", ""),
    "initial_angle_assignment": ("first assignment of angles", ""), "final_angle_assignment": ("last assignment of angles", ""),
    "algorithm": ("reconstruction", ""), "refinement_type": ("half maps", ""), "symmetry": ("symmetry", ""), "pixel_size_A": ("pixel size", "Å"),
    "box_px": ("box", "px"), "resolution_A": ("resolution", "Å"), "resolution_method": ("resolution by", ""),
    "resolution_unmasked_A": ("resolution, unmasked", "Å"), "sharpening_b_factor_A2": ("sharpening B-factor", "Å²"),
    "contour_level": ("contour", ""), "contour_source": ("contour by", ""),
}  # fmt: skip
"""Figures of the metadata in words, and their units."""


@dataclass(frozen=True)
class Deposited(Outputs):
    deposition: Deposition


class DepositEMDB(
    Protocol,
    id="deposit.emdb",
    version=2,
    outputs=Deposited,
    aliases=("ProtExportEMDB", "ProtExportDataBases"),
):
    """Write primary map, half maps, mask, FSC curves, picture, contour and figures into one folder, with checksums.

    What an archive would refuse stops the run; what would mislead its readers is warned of. Every grey value is that of the project's maps.
    """

    volume: Volume = Input(
        "Primary map", aliases=("exportVolume", "inputVolume"),
        help="Sharpened or as refined, with the half maps that its resolution was measured on.",
    )  # fmt: skip
    mask: Mask | None = Input("Mask", optional=True, aliases=("masks", "exportMask"), help="The one that the FSC is corrected for.")
    fsc: FSC | None = Input("FSC", optional=True, aliases=("exportFSC",), help="Of these half maps; left out, it is measured here.")
    additional: tuple[Volume, ...] | None = Input(
        "Additional maps", many=True, optional=True, aliases=("exportAdditionalVolumes", "additionalVolumesToExport"),
        help="Local resolution, local sharpening, other filters; repeat the flag.",
    )  # fmt: skip
    particles: Particles | None = Input("Particles", optional=True, help="That the map is made of: their number, microscope and symmetry.")
    coordinates: Coordinates | None = Input("Picks", optional=True, help="All that were picked: their number.")
    micrographs: Micrographs | None = Input("Micrographs", optional=True, help="Their number and exposure.")
    model: AtomicModel | None = Input(
        "Atomic model", optional=True, aliases=("exportAtomStruct", "exportStructure"), help="Fitted in the map, by model.fit or elsewhere; it is copied."
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry", "", aliases=("symmetryGroup",),
        help="Point group of the map; empty: that of map or particles, C1 if they do not tell. A wrong one misleads who rebuilds the assembly.",
    )  # fmt: skip
    contour: float | None = Param(
        "Recommended contour", None, wizard="map-threshold",
        help="Grey value at which others should look at the map; empty: by the mass, or else by Otsu's rule. Too low shows noise.",
    )  # fmt: skip
    mass: float | None = Param("Mass (kDa)", None, gt=0, help="Of the particle, against which the contour is checked.")
    dose: float | None = Param("Exposure (e/Å²)", None, gt=0, help="Of a whole movie, for the record; empty: as the micrographs tell.")
    hand_decided: bool = Param(
        "Hand is decided",
        False,
        help="By helices, a model or tilts. A map of the wrong hand is the commonest error in archives: without it, you are warned.",
    )
    title: str = Param("Title", "", help="For the record.")
    compress: bool = Param("Compress maps", False, advanced=True, help="By gzip, as archives take them too.")

    def check(self) -> Iterator[Hint]:
        missing = [name for name in HALVES if name not in self.volume.items.columns or not self.volume.items[name][0]]
        if missing:
            yield Hint(
                "volume",
                f"has no {' and '.join(missing)}: EMDB requires both unfiltered half maps of single-particle maps. "
                "Give the output of refine.auto or postprocess.sharpen, or import the map with its half maps",
            )
        if self.fsc is not None and self.mask is None and self._measured(self.fsc.items, masked=True)[0]:
            yield Hint("mask", "is needed: the FSC is corrected for one")
        if self.symmetry:
            yield from symmetry_hints(self.symmetry)
        for name, lost in LOST.items():
            if getattr(self, name) is None:
                yield Hint(name, f"are not given: {lost} will be missing", error=False)
        empty = "" if self.title else "is empty. "
        yield Hint("title", f"{empty}EMDB also asks what no project knows, and the report lists: {'; '.join(DEPOSITOR)}", error=False)
        if not self.hand_decided:
            yield Hint("hand_decided", "is not said: look at helices, or fit a model, before the map is deposited", fix=True, error=False)

    def automatic(self) -> Mapping[str, Any]:
        return {"symmetry": self._group_name, "dose": self._exposure}

    @property
    def _group_name(self) -> str:
        told = self.volume.meta.get("symmetry") or (self.particles.meta.get("symmetry") if self.particles else None)
        return self.symmetry or str(told or "C1")

    @property
    def _exposure(self) -> float | None:
        """Return the exposure of a movie, e/Å²: that of a frame as often as there are shifts of frames."""
        if self.dose is not None or self.micrographs is None or not self.micrographs.optics or "shift_x" not in self.micrographs.schema:
            return self.dose
        each, before = (self.micrographs.optics[0].get(name) for name in ("dose_per_frame", "pre_exposure"))
        shifts = self.micrographs.items["shift_x"].drop_nulls()
        return None if not each or shifts.is_empty() else round(float(each) * len(shifts[0]) + float(before or 0.0), 6)

    @property
    def _unmasked(self) -> bool:
        """Return whether the headline's curve was left uncorrected, the mask having cut the particle."""
        meta = {} if self.fsc is None else self.fsc.meta
        return "resolution" in meta and meta["resolution"] == meta.get("resolution_unmasked")

    @property
    def _model(self) -> Path | None:
        return None if self.model is None else self.model.file(str(self.model.items.item(0, "model_path")))

    def run(self, job: Job) -> Deposited:
        from cryoloom.numerics.geometry.symmetry import point_group

        group = point_group(self._group_name)
        maps = self._maps()
        curves = self._curves(maps, job.seed)
        contour = self._contour(maps)
        corrected, sphere = self._measured(curves, "mask_01" in maps)
        resolution = self._resolution(curves)
        job.progress(0, 3, "checks")
        own = {name: each for name, each in maps.items() if "/" not in name}
        filtered = float(self.volume.meta.get("resolution") or 0.0)
        bundle = Bundle(own, corrected, sphere, resolution, filtered, contour, self.mass, job.seed)
        checks = [*bundle.checks(), *self._counts(), *self._model_inside(maps["map"], contour)]
        checks.append(Check("hand is decided", self.hand_decided, "said so" if self.hand_decided else "nobody has said so"))
        _refuse(checks)
        job.progress(1, 3, "writing")
        folder = job.output("deposit/map.mrc").parent
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        for name, each in maps.items():
            files[self._write_map(folder, name, each)] = _role(name)
        for number, (name, label) in enumerate((name, label) for name, label in CURVES.items() if name in curves.columns):
            path = folder / (f"fsc_{number + 1:02d}.xml" if not number else f"fsc_{number + 1:02d}_{label}.xml")
            write_fsc(path, curves["frequency"].to_numpy(), curves[name].to_numpy(), f"FSC, {label}")
            faults = fsc_faults(path, 0.5 / maps["map"].pixel_size)
            checks.append(Check(f"{path.name} is as EMDB takes it", not faults, "; ".join(faults) or "valid", blocking=True))
            files[path.name] = f"FSC curve, {label}"
        _refuse(checks)
        files |= self._texts(folder, group, contour)
        files |= _picture(folder, maps["map"], contour)
        metadata = self._metadata(maps["map"], group, contour, resolution) | self._made(job)
        missing = lacking(metadata)
        (folder / "metadata.cif").write_text(reconstruction_block(metadata, _told(maps, contour, self.compress)), encoding="utf-8")
        faults = cif_faults(folder / "metadata.cif")
        checks.append(Check("metadata.cif is as the archive's dictionary has it", not faults, "; ".join(faults) or "valid", blocking=True))
        _refuse(checks)
        (folder / "metadata.json").write_text(
            json.dumps(metadata | {"missing": missing, "checks": [vars(each) for each in checks]}, indent=1), encoding="utf-8"
        )
        files |= {"metadata.json": "figures of the reconstruction", "metadata.cif": "the same, in PDBx/mmCIF"}
        for each in checks:
            if not each.passed:
                job.warn(f"{each.name}: no. {each.found}.")
        items = listed_files(folder, files, job.root)
        job.progress(2, 3, "checksums")
        told = {"checks": [vars(each) for each in checks], "metadata": metadata, "missing": missing}
        return Deposited(Deposition(items, job.root, meta=told))

    # -- what goes in -------------------------------------------------------------------------------------------

    def _maps(self) -> dict[str, StoredMap]:
        """Return the maps by the names of their files."""
        row = rows_of(self.volume)[0]
        found = {"map": stored_map(self.volume, row)}
        found |= {f"half_map_{number}": stored_map(self.volume, row, column) for number, column in enumerate(HALVES, 1)}
        if self.mask is not None:
            found["mask_01"] = stored_map(self.mask, rows_of(self.mask)[0])
        found |= {f"additional/{name}": stored_map(self.volume, row, column) for name, column in SOURCES.items() if row.get(column)}
        for number, each in enumerate(self.additional or (), 1):
            for further in rows_of(each):
                stem = Path(str(further["volume_path"])).stem
                found[f"additional/{number:02d}_{stem}"] = stored_map(each, further)
        return found

    def _curves(self, maps: Mapping[str, StoredMap], seed: int) -> pl.DataFrame:
        """Return the FSC given, or that of the half maps: ``frequency``, ``fsc`` and, with a mask, the curves behind it."""
        if self.fsc is not None:
            return self.fsc.items.sort("shell")
        from cryoloom.numerics.fsc.masked import masked_fsc
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, shell_frequencies

        one, two = maps["half_map_1"], maps["half_map_2"]
        frequency = {"frequency": shell_frequencies(len(one.data), one.pixel_size)}
        if "mask_01" not in maps:
            return pl.DataFrame(frequency | {"fsc": fourier_shell_correlation(one.data, two.data)})
        found = masked_fsc(one.data, two.data, maps["mask_01"].data, seed=seed)
        return pl.DataFrame(frequency | {"fsc": found.corrected, "fsc_unmasked": found.unmasked, "fsc_masked": found.masked})

    def _measured(self, curves: pl.DataFrame, masked: bool) -> tuple[bool, float | None]:
        """Return whether the headline's curve is corrected for the mask, and the diameter of the sphere that it was measured in otherwise."""
        how = "" if self.fsc is None else str(self.fsc.meta.get("mask", ""))
        corrected = "fsc_masked" in curves.columns and not self._unmasked or "reference mask" in how
        return corrected and masked, self.volume.meta.get("mask_diameter") if "sphere" in how else None

    def _resolution(self, curves: pl.DataFrame) -> float:
        from cryoloom.numerics.fsc.shells import crossing_shell

        stated = None if self.fsc is None else self.fsc.meta.get("resolution")
        return float(stated or 1.0 / curves["frequency"][int(crossing_shell(curves["fsc"].to_numpy(), 0.143))])

    def _contour(self, maps: Mapping[str, StoredMap]) -> float:
        """Return the grey value of the surface, found within the mask where there is one: noise outside does not count as particle."""
        from cryoloom.numerics.masks.soft import automatic_threshold

        if self.contour is not None:
            return self.contour
        primary, mask = maps["map"], maps.get("mask_01")
        box, mass = len(primary.data), None if self.mass is None else 1000 * self.mass
        seen = primary.data * mask.data if mask is not None and mask.data.shape == primary.data.shape else primary.data
        return automatic_threshold(seen, box if mass else box / 2, mass=mass, voxel_volume=primary.pixel_size**3)

    def _counts(self) -> Iterator[Check]:
        """Look at the numbers of particles: none may be more than were there before."""
        if self.particles is None:
            return
        final = self.particles.enabled()
        words = f"{final.height} particles"
        right = final.height > 0
        if self.coordinates is not None:
            words += f" of {len(self.coordinates)} picked"
            right &= final.height <= len(self.coordinates)
        if "half_set" in final.columns:
            halves = [int((final["half_set"] == half).sum()) for half in (1, 2)]
            words += f", {halves[0]} and {halves[1]} in the halves"
            right &= min(halves) > 0 and sum(halves) == final.height
        yield Check("numbers of particles fit", right, words)

    def _model_inside(self, primary: StoredMap, contour: float) -> Iterator[Check]:
        """Look at how many atoms lie in the map, in the frame of its header."""
        if self._model is None:
            return
        places = read_model(self._model).positions
        voxels = np.rint((places - np.array(primary.origin)) / primary.pixel_size).astype(int)
        inside = ((voxels >= 0) & (voxels < len(primary.data))).all(axis=1)
        x, y, z = voxels[inside].T
        dense = float((primary.data[z, y, x] > contour).sum() / max(len(places), 1))
        yield Check(
            "model lies in the map",
            dense > 0.5,
            f"{len(places)} atoms, {100 * dense:.0f} % in the contour, {int((~inside).sum())} outside of the box",
        )

    # -- what is written ----------------------------------------------------------------------------------------

    def _write_map(self, folder: Path, name: str, each: StoredMap) -> str:
        path = folder / f"{name}.mrc"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mrc(path, each.data, each.pixel_size, volume=True, origin=each.origin)
        if not self.compress:
            return f"{name}.mrc"
        with (path.parent / f"{path.name}.gz").open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
            packed.write(path.read_bytes())
        path.unlink()
        return f"{name}.mrc.gz"

    def _texts(self, folder: Path, group: "PointGroup", contour: float) -> dict[str, str]:
        (folder / "symmetry.txt").write_text(operators_text(group.name, group.operators), encoding="utf-8")
        (folder / "recommended_contour.txt").write_text(f"{contour:.6g}\n", encoding="utf-8")
        files = {"symmetry.txt": "point group and its operators", "recommended_contour.txt": "grey value of the surface"}
        if self._model is not None:
            (folder / "coordinates.cif").write_bytes(self._model.read_bytes())
            files["coordinates.cif"] = "atomic model"
        return files

    def _metadata(self, primary: StoredMap, group: "PointGroup", contour: float, resolution: float) -> dict[str, Any]:
        optics = self.particles.optics if self.particles is not None else self.micrographs.optics if self.micrographs is not None else []
        first: Mapping[str, Any] = optics[0] if optics else {}
        final = None if self.particles is None else self.particles.enabled()
        defoci: list[float] = []
        if final is not None and "defocus_u" in final.columns:
            values = final["defocus_u"].to_numpy()
            defoci = [float(values.min()), float(values.max())]
        meta = {} if self.fsc is None else self.fsc.meta
        return {
            "title": self.title, "method": "SINGLE PARTICLE", "voltage_kV": first.get("voltage"), "cs_mm": first.get("cs"),
            "amplitude_contrast": first.get("amplitude_contrast"), "exposure_e_per_A2": self._exposure, "defocus_A": defoci,
            "micrographs": None if self.micrographs is None else self.micrographs.enabled().height,
            "particles_picked": None if self.coordinates is None else len(self.coordinates),
            "particles_selected": None if self.particles is None else len(self.particles),
            "particles_final": None if final is None else final.height,
            "pixel_size_A": primary.pixel_size, "box_px": len(primary.data), "symmetry": group.name,
            "resolution_A": resolution, "resolution_method": METHOD, "resolution_unmasked_A": meta.get("resolution_unmasked"),
            "sharpening_b_factor_A2": self.volume.meta.get("b_factor"), "contour_level": contour,
            "contour_source": "SOFTWARE" if self.contour is None else "AUTHOR",
        }  # fmt: skip

    def _made(self, job: Job) -> dict[str, Any]:
        """Return how the map was made, as the steps before tell; None where they do not."""
        given = ("micrographs", "coordinates", "particles", "volume", "mask", "model")
        steps = {name: job.steps(name) for name in given}
        every: list[Step] = []
        every += [step for name in given for step in steps[name] if step not in every]
        made = reconstruction(steps["volume"])
        return {
            "motion_correction": motion_correction([*steps["micrographs"], *steps["particles"]]),
            "ctf_correction": self._ctf_correction if made["made_by"] else None,
            "initial_angle_assignment": made["initial_angles"], "final_angle_assignment": made["final_angles"],
            "algorithm": made["algorithm"], "refinement_type": made["refinement_type"],
            "model_fit": None if self.model is None else model_fit(steps["model"]),
            "software": software(every, made),
        }  # fmt: skip

    @property
    def _ctf_correction(self) -> str | None:
        """Return EMDB's word for what reconstructions do with particles whose transfer function is known, and with others."""
        if self.particles is None:
            return None
        return "PHASE FLIPPING AND AMPLITUDE CORRECTION" if "defocus_u" in self.particles.schema else "NONE"

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Deposited) -> Mapping[str, Any]:
        checks = out.deposition.meta["checks"]
        failed = [each["name"] for each in checks if not each["passed"]]
        return {
            "files": len(out.deposition),
            "folder": str(Path(out.deposition.items["file_path"][0]).parent),
            "resolution (Å, FSC 0.143)": round(out.deposition.meta["metadata"]["resolution_A"], 2),
            "recommended contour": float(f"{out.deposition.meta['metadata']['contour_level']:.4g}"),
            "checks passed": f"{len(checks) - len(failed)} of {len(checks)}",
            "look at": ", ".join(failed) or "nothing",
            "missing": f"{len(out.deposition.meta['missing'])} answers, listed on the report",
        }

    def methods(self, out: Deposited) -> str:
        meta = out.deposition.meta["metadata"]
        return f"The map, its half maps and FSC curves were deposited with a recommended contour of {meta['contour_level']:.3g}."

    def report(self, out: Deposited) -> list[Panel]:
        checks, meta, missing = (out.deposition.meta[name] for name in ("checks", "metadata", "missing"))
        failed = [each for each in checks if not each["passed"]]
        text = "; ".join(f"{each['name']}: {each['found']}" for each in failed)
        notice = Notice(
            level="advice" if failed else "good", title="Before you send it" if failed else "Ready to be deposited",
            text=f"Look again: {text}." if failed else "All that was looked at is right.",
        )  # fmt: skip
        folder = out.deposition.file(out.deposition.items["file_path"][0]).parent
        columns = {
            "what": [each["name"] for each in checks],
            "right": ["yes" if each["passed"] else "no" for each in checks],
            "found": [each["found"] for each in checks],
        }
        files = out.deposition.items
        curves = [_read_curve(path) for path in sorted(folder.glob("fsc_*.xml"))]
        primary = read_mrc(next(path for path in (folder / "map.mrc", folder / "map.mrc.gz") if path.exists())).data
        return [
            notice,
            TableView(title="Checks", columns=columns, caption="Those of maps and curves that archives refuse have stopped the run otherwise."),
            TableView(
                title="Missing", limit=100,
                columns={
                    "what": list(missing), "why": ["only you know" if each in DEPOSITOR else "no step or input tells" for each in missing],
                    "PDBx/mmCIF": list(missing.values()),
                },
                caption="Asked for when you deposit. Where a field is named, metadata.cif has it as ?, to be filled in.",
            ),
            TableView(title="Told by the project", limit=100, columns=_shown(meta), caption="As metadata.json and metadata.cif have it."),
            TableView(
                title="Software", limit=100,
                columns={name: [str(each[name] or "") for each in meta["software"]] for name in ("category", "name", "version", "details")},
                caption="Of the steps that map, particles and model rest on.",
            ),
            TableView(
                title="Files", limit=100, caption=f"In {folder.relative_to(out.deposition.root)}; checksums.sha256 is read by sha256sum -c.",
                columns={
                    "file": [(out.deposition.root / each).relative_to(folder).as_posix() for each in files["file_path"]],
                    "what": files["role"].to_list(), "bytes": files["size"].to_list(),
                },
            ),
            LinePlot(
                title="FSC curves", series=curves, x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.143": 0.143},
                y_range=(-0.1, 1.05),
            ),
            MapSurface(title="At the recommended contour", volume=primary, level=meta["contour_level"], caption=f"{meta['contour_level']:.4g}"),
        ]  # fmt: skip


def _refuse(checks: list[Check]) -> None:
    """Stop where an archive would refuse."""
    if bad := [each for each in checks if each.blocking and not each.passed]:
        told = "; ".join(f"{each.name}: no ({each.found})" for each in bad)
        raise Failure(
            "deposition-blocked", f"The maps cannot be deposited: {told}.", "Give map, half maps, mask and FSC of one refinement."
        )


def _told(maps: Mapping[str, StoredMap], contour: float, compressed: bool) -> list[dict[str, Any]]:
    """Return what is told of each map."""
    kinds = {"map": "primary map", "half_map_1": "half map", "half_map_2": "half map", "mask_01": "mask"}
    return [
        {
            "file": f"{name}.mrc.gz" if compressed else f"{name}.mrc", "type": kinds.get(name, "additional map"),
            "partition": int(name[-1]) if name.startswith("half_map") else None, "pixel_size_A": each.pixel_size, "box_px": len(each.data),
            "contour_level": contour if name == "map" else None,
        }
        for name, each in maps.items()
    ]  # fmt: skip


def _shown(metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the figures of the metadata for people, with their units, without what is missing."""
    names, values = [], []
    for name, (words, unit) in SHOWN.items():
        value = metadata[name]
        if value not in (None, "", []):
            parts = [f"{each:.5g}" if isinstance(each, float) else str(each) for each in (value if isinstance(value, list) else [value])]
            names.append(words)
            values.append(f"{' to '.join(parts)} {unit}".strip())
    return {"what": names, "value": values}


def _role(name: str) -> str:
    words = {
        "map": "primary map",
        "half_map_1": "first half map, unfiltered",
        "half_map_2": "second half map, unfiltered",
        "mask_01": "mask",
    }
    return words.get(name, "additional map")


def _picture(folder: Path, primary: StoredMap, contour: float) -> dict[str, str]:
    from cryoloom.report.panels.map_surface import shaded_surface
    from cryoloom.report.raster import png_bytes

    (folder / "image.png").write_bytes(png_bytes(shaded_surface(primary.data, contour, PICTURE)))
    return {"image.png": "picture for the entry's page"}


def _read_curve(path: Path) -> Series:
    from xml.etree import ElementTree

    root = ElementTree.parse(path).getroot()
    x, y = ([float(each.findtext(axis) or "nan") for each in root] for axis in "xy")
    return Series(root.get("title", path.stem), x, y)
