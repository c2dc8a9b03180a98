"""model.fit: an atomic model laid in a map, and how well they agree."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from cryoloom.data import FSC, AtomicModel, Mask, ModelFits, Residues, Volume, symmetry_hints
from cryoloom.formats.atomic_model import StoredModel, read_model
from cryoloom.formats.map_sets import StoredMap, grid_of, rows_of, stored_map
from cryoloom.formats.mrc import write_mrc
from cryoloom.report.model_fit import Drawn, fit_panels
from cryoloom.spec import Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.units import Angstrom

if TYPE_CHECKING:
    from cryoloom.numerics.atoms.agreement import Agreement
    from cryoloom.numerics.atoms.placement import Placement

HALVES = ("half_map1_path", "half_map2_path")
INSIDE = 0.5
"""Part of the atoms that must lie in the box for a fit near where they lie."""
MONOMERS = "list/mon_lib_list.cif"
"""What a monomer library has that gemmi can read; Debian's refmac-dictionary has not."""
INSTALLED = "pip install servalcat; the monomer library is CCP4's, or that of github.com/MonomerLibrary/monomers, its folder in CLIBD_MON"


@dataclass(frozen=True)
class Fitted(Outputs):
    """``volume`` is made where the model lies in the mirror image of the map: that image, with its half maps."""

    model: AtomicModel
    residues: Residues
    solutions: ModelFits
    fsc: FSC
    difference: Volume
    volume: Volume | None = None


class ModelFit(
    Protocol,
    id="model.fit",
    version=2,
    outputs=Fitted,
    cite=("10.21105/joss.04200", "10.1038/s41592-020-0731-1"),
    aliases=("ChimeraProtRigidFit", "PhenixProtRunDockInMap", "PhenixProtRunRSRefine"),
):
    """Lay an atomic model in a map as a rigid body, or chain by chain, and say how well each part of it agrees with the map.

    Every orientation is tried with every shift, in the map and in its mirror image: a model has one hand, and tells which the map has. The
    best places are improved continuously and ranked. Refinement of the atoms themselves is servalcat's, where it is installed. Memory: about
    twenty maps at the most.
    """

    volume: Volume = Input(
        "Map", aliases=("inputVolume",), help="Of several the first. Half maps tell the agreement with each half, and weight the difference map."
    )  # fmt: skip
    model: AtomicModel = Input(
        "Model", aliases=("inputStructure", "pdbFileToBeRefined"), help="Imported, or of an earlier fit; of several the first."
    )
    mask: Mask | None = Input(
        "Mask", optional=True, aliases=("inputMask",), help="Where the model may lie: the map is 0 outside for the search. A tight one keeps out what it cuts."
    )  # fmt: skip
    resolution: Angstrom | None = Param(
        "Resolution", None, gt=0, le=100,
        help="Å of the map, to which it is compared with the model; empty takes what the map tells, or where its half maps agree. Too fine follows noise.",
    )  # fmt: skip
    search: bool = Param(
        "Search everywhere", True, aliases=("doGlobalDock",),
        help="Try every place and orientation. Off, the model is only improved near where it lies, and stays wrong if that is wrong.",
    )  # fmt: skip
    recentre: bool = Param(
        "Centre the model first", False, when="search=False",
        help="Move its centre of mass to that of the box. For models of another frame that are turned as the map is.",
    )  # fmt: skip
    hand: bool = Param(
        "Try both hands", True, aliases=("testHand",), when="search",
        help="Also look in the mirror image of the map. Off for maps whose hand is known: of a wrong hand nothing is said then.",
    )  # fmt: skip
    bodies: Literal["whole", "chains after whole", "chains"] = Param(
        "Moves as one", "whole",
        help="whole: the model; chains after whole: then each chain near there; chains: each is sought by itself, the largest first, in what the "
        "others leave. Small chains are found only where the map is fine enough.",
    )  # fmt: skip
    symmetry: str = Param(
        "Symmetry of the map", "C1", aliases=("symmetryGroup",),
        help="Point group on RELION's axes: places that differ by it are one. A wrong one leaves places out.",
    )  # fmt: skip
    mates: bool = Param(
        "Repeat by symmetry", False,
        help="The model is one unit of the symmetric map: write all of them. Wrong for a model that is whole already: its atoms are doubled.",
    )  # fmt: skip
    copies: int = Param(
        "Copies", 1, ge=1, le=60, aliases=("modelCopies",), when="search",
        help="Of the model in the map (in one unit of it, where it is repeated by symmetry); each is sought in what those before it leave. More than "
        "there are overlap.",
    )  # fmt: skip
    mask_radius: Angstrom = Param(
        "Radius about atoms", 3.0, ge=1, le=10, advanced=True, aliases=("maskRadius",),
        help="Å that count as the model's in correlations and the masked FSC. Wide takes in noise, narrow leaves out density.",
    )  # fmt: skip
    contour: float | None = Param(
        "Contour", None, advanced=True,
        help="Grey value for the inclusion of atoms, the recommended one of a deposited map; empty encloses the volume of the model's mass.",
    )  # fmt: skip
    low_pass: Angstrom | None = Param(
        "Finest detail of the search", None, gt=0, le=500, advanced=True,
        help="Å; empty takes 25 (less for small models), and in the last step what map and model share. Too fine follows noise.",
    )  # fmt: skip
    places: int = Param(
        "Places kept", 10, ge=2, le=32, advanced=True, help="Different places that are improved and listed. Few may miss the right one."
    )
    refinement: Literal["none", "servalcat"] = Param(
        "Refinement", "none", group="Refinement", aliases=("engine",),
        help="By servalcat, of coordinates and B-factors against the half maps with the restraints of the monomer library. Coarser than 5 Å it "
        "follows noise.",
    )  # fmt: skip
    cycles: int = Param(
        "Cycles", 10, ge=1, le=200, group="Refinement", when="refinement=servalcat", help="Few leave it unfinished, many take long."
    )
    weight: float = Param(
        "Weight", 0.0, ge=0, group="Refinement", when="refinement=servalcat", advanced=True,
        help="Of the map beside the restraints; 0 lets it be chosen by the bond lengths. Too high bends the chemistry.",
    )  # fmt: skip
    jelly_body: bool = Param(
        "Jelly body", True, group="Refinement", when="refinement=servalcat", advanced=True, aliases=("jellybody",),
        help="Neighbouring atoms keep their distances, wrong ones too: turn it off for models of poor geometry. Off at low resolution the model falls apart.",
    )  # fmt: skip
    cross_validation: bool = Param(
        "Refine against the first half", False, group="Refinement", when="refinement=servalcat", advanced=True,
        help="The FSC with the second half then shows whether noise was followed. The model is that of half the data.",
    )  # fmt: skip

    # -- what is asked ------------------------------------------------------------------------------------------

    @classmethod
    def absent(cls) -> Mapping[str, Mapping[str, str]]:
        return {"refinement": {"servalcat": reason}} if (reason := _no_servalcat()) else {}

    def check(self) -> Iterator[Hint]:
        yield from symmetry_hints(self.symmetry)
        _, pixel_size = grid_of(self.volume)
        row = next(iter(rows_of(self.volume)), {})
        if not row:
            yield Hint("volume", "holds no map")
        for name in ("resolution", "low_pass"):
            value = getattr(self, name)
            if value is not None and pixel_size and value < 2 * pixel_size:
                yield Hint(name, f"{value:g} Å is finer than two pixels of {pixel_size:.4g} Å", fix=round(2 * pixel_size, 3))
        if self.resolution is None and self._told() is None and not all(row.get(name) for name in HALVES):
            yield Hint("resolution", "is not told by the map, which has no half maps either: give it")
        if self.mates and self.symmetry.strip().upper() in ("", "C1"):
            yield Hint("mates", "repeats nothing without a symmetry", fix=False)
        if self.bodies != "whole" and self.model.items["chains"][0] == 1:
            yield Hint("bodies", "the model has one chain", fix="whole", error=False)
        if self.refinement == "servalcat" and not all(row.get(name) for name in HALVES):
            yield Hint("refinement", "servalcat refines against half maps, and the map has none", fix="none")

    def _told(self) -> float | None:
        value = self.volume.meta.get("resolution")
        return float(value) if isinstance(value, int | float) and value > 0 else None

    def automatic(self) -> Mapping[str, Any]:
        return {"resolution": self._told()} if self._told() else {}

    # -- the run ------------------------------------------------------------------------------------------------

    def run(self, job: Job) -> Fitted:
        import torch

        from cryoloom.numerics.atoms.agreement import agreement

        torch.set_num_threads(1)
        row = rows_of(self.volume)[0]
        data = stored_map(self.volume, row)
        halves = self._halves(row, data)
        resolution = self._resolution(data, halves)
        given = read_model(self.model.file(self.model.items["model_path"][0]))
        task = self._task(given, data, resolution)
        state = job.iterate(
            task.begin, task.step, done=lambda state: state["step"] == len(task.bodies), name="bodies", total=len(task.bodies)
        )
        self._warn(job, state["fits"], len(task.bodies))
        placed = given.copied(task.every(state["positions"]) + _origin(data))
        shown, shown_halves = data, halves
        if state["mirrored"]:
            shown, shown_halves = _mirrored(data), None if halves is None else (_mirrored(halves[0]), _mirrored(halves[1]))
        maps = self._written_mirror(job, shown, shown_halves) if state["mirrored"] else None
        bonds = None
        if self.refinement == "servalcat":
            placed, bonds = self._refined(job, placed, resolution, self.volume if maps is None else maps)
        job.progress(0.9, 1.0, "agreement")
        found = agreement(
            placed.atoms(_origin(data)), shown.data, data.pixel_size, resolution=resolution, radius=self.mask_radius, mass=placed.mass,
            contour=self.contour, halves=None if shown_halves is None else (shown_halves[0].data, shown_halves[1].data),
        )  # fmt: skip
        return self._outputs(job, task, state, placed, shown, found, maps, resolution, bonds)

    def _halves(self, row: Mapping[str, Any], data: StoredMap) -> tuple[StoredMap, StoredMap] | None:
        if not all(row.get(name) for name in HALVES):
            return None
        first, second = (stored_map(self.volume, row, name) for name in HALVES)
        for each in (first, second):
            if each.data.shape != data.data.shape:
                raise Failure(
                    "half-map-box", f"{each.row[each.column]}: box of {len(each.data)} voxels, the map has {len(data.data)}.",
                    "Give a map with half maps of its own box.",
                )  # fmt: skip
        return first, second

    def _resolution(self, data: StoredMap, halves: tuple[StoredMap, StoredMap] | None) -> float:
        from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at

        value = self.resolution or self._told()
        if value is None and halves is not None:
            value = resolution_at(fourier_shell_correlation(halves[0].data, halves[1].data), 0.143, len(data.data), data.pixel_size)
        if value is None:
            raise Failure("resolution", "Neither the map nor its half maps tell the resolution.", "Give it: --resolution.")
        return max(value, 2 * data.pixel_size)

    def _task(self, given: StoredModel, data: StoredMap, resolution: float) -> "Placement":
        from cryoloom.numerics.atoms.placement import Placement, bodies_of

        box, size = len(data.data), data.pixel_size
        atoms = given.atoms(_origin(data))
        reach = 2 * float(np.linalg.norm(atoms.positions - atoms.centre, axis=1).max())
        if reach > box * size:
            raise Failure(
                "model-too-large", f"The model is about {reach:.0f} Å across, the box of the map {box * size:.0f} Å.",
                "Check the pixel size of the map; pad the map, or give one unit of the model.",
            )  # fmt: skip
        if not self.search and self.recentre:
            atoms = atoms.at(atoms.positions - atoms.centre)
        inside = float((np.abs(atoms.positions).max(axis=1) < 0.5 * box * size).mean())
        if not self.search and inside < INSIDE:
            raise Failure(
                "model-elsewhere", f"{100 * inside:.0f} % of the atoms lie in the box of the map, whose first voxel is at {data.origin} Å.",
                "Search everywhere, or centre the model first (recentre).",
            )  # fmt: skip
        names = [chain.name for chain in given.structure[0]]
        copies = self.copies if self.search else 1
        bodies = bodies_of(atoms, names, self.bodies, copies, search=self.search)
        return Placement(
            atoms, data.data * self._mask(box), size, resolution, bodies, copies, self.hand and self.search, self.symmetry, self.mates,
            self.low_pass, self.places,
        )  # fmt: skip

    def _mask(self, box: int) -> Any:
        if self.mask is None:
            return np.float32(1.0)
        mask = stored_map(self.mask, rows_of(self.mask)[0]).data
        if len(mask) != box:
            raise Failure("mask-box", f"The mask has a box of {len(mask)} px, the map {box} px.", "Make the mask from this map.")
        return mask

    def _warn(self, job: Job, fits: list[dict[str, Any]], bodies: int) -> None:
        best = [fit for fit in fits if fit["rank"] == 1]
        if best[0]["mirrored"]:
            job.warn(
                f"The mirror image of the map fits better ({best[0]['score']:.2f} against {best[0]['other_hand']:.2f}): the map has the wrong hand, or "
                "the model has. The model lies in the mirrored map that is given with it; volumes.flip_hand mirrors the particles' poses too."
            )
        for fit in best:
            if fit["ambiguous"]:
                second = next(each for each in fits if each["rank"] == 2 and (each["body"], each["copy"]) == (fit["body"], fit["copy"]))
                copy = f" of copy {fit['copy']}" if self.copies > 1 else ""
                of = f"{fit['body']}{copy}: " if bodies > 1 else ""
                job.warn(
                    f"{of}another place (score {second['score']:.2f}, Z {second['search_z']:.1f}) is about as good as the best ({fit['score']:.2f}, "
                    f"Z {fit['search_z']:.1f}): the map does not tell which is right, or the model is of something else. A symmetric particle has as many "
                    "right places as mates: give its symmetry."
                )

    def _written_mirror(self, job: Job, shown: StoredMap, halves: tuple[StoredMap, StoredMap] | None) -> Volume:
        row: dict[str, Any] = {"id": 1, "box_size": len(shown.data)}
        for column, each in zip(("volume_path", *HALVES), (shown, *(halves or ())), strict=False):
            path = job.output({"volume_path": "mirrored.mrc"}.get(column, f"mirrored_{column.removesuffix('_path')}.mrc"))
            write_mrc(path, each.data, each.pixel_size, volume=True, origin=each.origin)
            row[column] = path.relative_to(job.root).as_posix()
        told = {"resolution": self._told()} if self._told() else {}
        return Volume(pl.DataFrame([row]), job.root, meta={"pixel_size": shown.pixel_size, **told})

    def _refined(self, job: Job, placed: StoredModel, resolution: float, maps: Volume) -> tuple[StoredModel, float | None]:
        """Have servalcat refine the model against the half maps of the map it lies in; return it, and how its bond lengths fit, r.m.s. Z."""
        if reason := _no_servalcat():
            raise Failure("servalcat-missing", f"model.fit: {reason}", f"Install it ({INSTALLED}), or choose no refinement.")
        start = job.output("before_refinement.cif")
        row = rows_of(maps)[0]
        origin = np.asarray(stored_map(maps, row, HALVES[0]).origin)
        placed.copied(placed.positions[None] - origin).write(start)  # servalcat takes the first voxel for 0, whatever the header says
        words = ["servalcat", "refine_spa_norefmac", "--halfmaps", *(str(maps.file(row[name])) for name in HALVES), "--model", str(start)]
        words += ["--resolution", f"{resolution:.3f}", "--mask_radius", f"{self.mask_radius:g}", "--ncycle", str(self.cycles)]
        words += ["--pixel_size", f"{float(maps.meta['pixel_size']):.6f}"]
        words += ["--jellybody"] if self.jelly_body else []
        words += ["--weight", f"{self.weight:g}"] if self.weight > 0 else []
        words += ["--cross_validation"] if self.cross_validation else []
        folder = job.run_program([*words, "--output_prefix", "refined"], name="servalcat")
        refined = read_model(folder / "refined.mmcif")
        return refined.copied(refined.positions[None] + origin), _bond_lengths(folder / "refined_stats.json")

    def _outputs(
        self, job: Job, task: "Placement", state: dict[str, Any], placed: StoredModel, shown: StoredMap, found: "Agreement",
        maps: Volume | None, resolution: float, bonds: float | None,
    ) -> Fitted:  # fmt: skip
        box, size = len(shown.data), shown.pixel_size
        paths = {name: job.output(name) for name in ("model.cif", "difference.mrc")}
        placed.write(paths["model.cif"])
        write_mrc(paths["difference.mrc"], found.difference, size, volume=True, origin=shown.origin)
        best = state["fits"][0]
        model = pl.DataFrame(
            {
                "id": [1], "model_path": [paths["model.cif"].relative_to(job.root).as_posix()], "atoms": [len(placed.positions)],
                "residues": [len(placed.residues)], "chains": [len(placed.trace)], "map_correlation": [found.map_correlation],
                "box_correlation": [found.box_correlation], "model_resolution": [found.resolution], "inclusion": [found.inclusion],
                "q_score": [found.q_score], "contour": [found.contour], "mirrored": [bool(state["mirrored"])],
            }
        )  # fmt: skip
        chain, number, name = zip(*placed.residues, strict=True)
        residues = pl.DataFrame(
            {
                "id": np.arange(1, len(chain) + 1), "chain": chain, "residue_number": number, "residue_name": name,
                "residue_correlation": found.residue_correlation, "q_score": found.residue_q, "inclusion": found.residue_inclusion,
            }
        )  # fmt: skip
        fits = pl.DataFrame(state["fits"], infer_schema_length=None).with_row_index("id", 1).with_columns(pl.col("id").cast(pl.Int64))
        shells = np.arange(box // 2 + 1)
        curves = {"fsc": found.masked, "fsc_unmasked": found.unmasked, **{f"fsc_half{n}": each for n, each in enumerate(found.halves, 1)}}
        fsc = pl.DataFrame({"id": shells, "shell": shells, "frequency": shells / (box * size), **curves})
        about = {"pixel_size": size, "resolution": found.resolution}
        difference = pl.DataFrame({"id": [1], "volume_path": [paths["difference.mrc"].relative_to(job.root).as_posix()], "box_size": [box]})
        told = {"map_resolution": resolution, "score": best["score"], "other_hand": best["other_hand"], "refinement": self.refinement}
        told |= {} if bonds is None else {"bond_rmsz": bonds}
        return Fitted(
            AtomicModel(model, job.root, meta=told), Residues(residues, job.root), ModelFits(fits, job.root), FSC(fsc, job.root, meta=about),
            Volume(difference, job.root, meta={"pixel_size": size, "density": False}), maps,
        )  # fmt: skip

    # -- in words and pictures ----------------------------------------------------------------------------------

    def summary(self, out: Fitted) -> Mapping[str, Any]:
        row, best = out.model.items.row(0, named=True), out.solutions.items.row(0, named=True)
        told: dict[str, Any] = {
            "correlation about the model": round(row["map_correlation"], 3),
            "map and model agree to (Å, FSC 0.5)": round(row["model_resolution"], 2),
            "atoms above the contour (%)": round(100 * row["inclusion"], 1),
            "Q-score": round(row["q_score"], 3),
        }
        if "bond_rmsz" in out.model.meta:
            told["bond lengths (r.m.s. Z, 1 is usual)"] = round(out.model.meta["bond_rmsz"], 2)
        if best["other_hand"] is not None:
            told["hand"] = f"{'mirrored' if row['mirrored'] else 'as it is'} ({best['score']:.2f} against {best['other_hand']:.2f})"
        if out.solutions.items.filter(pl.col("ambiguous") & (pl.col("rank") == 1)).height:
            told["place"] = "ambiguous"
        return told

    def methods(self, out: Fitted) -> str:
        row = out.model.items.row(0, named=True)
        way = {"whole": "as a rigid body", "chains after whole": "as a rigid body, then chain by chain", "chains": "chain by chain"}[
            self.bodies
        ]
        sought = "by an exhaustive search of rotations and shifts" if self.search else "near where it lay"
        refined = (
            "" if self.refinement == "none" else f" It was refined with servalcat (doi:10.1107/S2059798321009475) in {self.cycles} cycles."
        )
        return (
            f"An atomic model was laid in the map {way} {sought}.{refined} They correlate by {row['map_correlation']:.2f} within {self.mask_radius:g} Å of its "
            f"atoms and agree to {row['model_resolution']:.2f} Å (FSC 0.5); the mean Q-score is {row['q_score']:.2f}."
        )

    def report(self, out: Fitted) -> list[Panel]:
        maps = out.volume if out.volume is not None else self.volume
        data = stored_map(maps, rows_of(maps)[0])
        difference = stored_map(out.difference, rows_of(out.difference)[0]).data
        model = read_model(out.model.file(out.model.items["model_path"][0]))
        trace = (model.positions[np.concatenate(model.trace)] - np.asarray(data.origin)) / data.pixel_size
        return fit_panels(out.model, out.residues, out.solutions, out.fsc, Drawn(data.data, difference, data.pixel_size, trace))


def _no_servalcat() -> str:
    """Return why servalcat cannot refine here, nothing if it can."""
    if shutil.which("servalcat") is None:
        return "The command servalcat is not installed here."
    folder = os.environ.get("CLIBD_MON", "")
    if not folder:
        return "servalcat needs a monomer library, and CLIBD_MON does not name its folder."
    return "" if (Path(folder) / MONOMERS).is_file() else f"The monomer library that CLIBD_MON names has no {MONOMERS}."


def _bond_lengths(path: Path) -> float | None:
    """Return the r.m.s. Z of bond lengths without hydrogen after the last cycle, as servalcat tells; None where it does not."""
    try:
        last = json.loads(path.read_text())[-1]
        return float(last["geom"]["summary"]["r.m.s.Z"]["Bond distances, non H"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _origin(data: StoredMap) -> Any:
    """Return where the centre of the box lies in the frame of the map's header, Å."""
    return np.asarray(data.origin) + data.pixel_size * (len(data.data) // 2)


def _mirrored(data: StoredMap) -> StoredMap:
    from cryoloom.numerics.reconstruct.hand import mirrored_map

    return StoredMap(mirrored_map(data.data), data.pixel_size, data.origin, data.row, data.column)
