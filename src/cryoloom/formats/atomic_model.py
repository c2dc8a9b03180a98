"""Atomic models: mmCIF and PDB files in, mmCIF out, by gemmi (Wojdyr 2022, doi:10.21105/joss.04200)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cryoloom.files import replacing
from cryoloom.spec import Failure

if TYPE_CHECKING:
    import gemmi

    from cryoloom.numerics.atoms.model import Atoms

SUFFIXES = (".cif", ".mmcif", ".pdb", ".ent", ".cif.gz", ".mmcif.gz", ".pdb.gz", ".ent.gz")
WATER = 18.02
"""Da that a residue of a polymer loses."""


@dataclass(frozen=True)
class StoredModel:
    """One model of a file, without hydrogens: its structure as gemmi holds it, and where its atoms lie.

    Attributes
    ----------
    structure
        Of one model; alternative places of atoms are gone.
    notes
        What was left out of the file, in words.
    """

    structure: "gemmi.Structure"
    notes: tuple[str, ...] = ()

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """Return x, y, z of every atom in the file's frame, Å, ``(n, 3)``."""
        return np.array([site.atom.pos.tolist() for site in self.structure[0].all()], dtype=np.float64).reshape(-1, 3)

    @cached_property
    def residues(self) -> list[tuple[str, str, str]]:
        """Return chain, number and name of every residue, in the order of the file."""
        return [(chain.name, str(residue.seqid), residue.name) for chain in self.structure[0] for residue in chain]

    @cached_property
    def unknown(self) -> list[tuple[str, str, str]]:
        """Return those residues whose chemistry is not tabulated."""
        import gemmi

        known = {name: gemmi.find_tabulated_residue(name).found() for name in {name for _, _, name in self.residues}}
        return [each for each in self.residues if not known[each[2]]]

    @cached_property
    def mass(self) -> float:
        """Return the mass of its residues, whole even where only some of their atoms are there, Da."""
        import gemmi

        total = 0.0
        for chain in self.structure[0]:
            for residue in chain:
                known = gemmi.find_tabulated_residue(residue.name)
                joined = known.found() and (known.is_amino_acid() or known.is_nucleic_acid())
                total += known.weight - WATER * joined if known.found() else sum(atom.element.weight for atom in residue)
        return total

    @cached_property
    def trace(self) -> list[NDArray[np.int64]]:
        """Return for each chain the numbers of the atoms that trace it: Cα of proteins, P of nucleic acids, else the first of each residue."""
        found, number = [], 0
        for chain in self.structure[0]:
            path = []
            for residue in chain:
                names = [atom.name for atom in residue]
                path.append(number + next((names.index(name) for name in ("CA", "P") if name in names), 0))
                number += len(names)
            found.append(np.array(path, dtype=np.int64))
        return found

    def atoms(self, origin: NDArray[np.float64]) -> "Atoms":
        """Return the model as arrays, placed from a point `origin` of the file's frame, Å."""
        from cryoloom.numerics.atoms.model import Atoms

        sites = list(self.structure[0].all())
        factors = {name: (element.c4322.a, element.c4322.b, element.weight) for name, element in _elements(sites).items()}
        of_each = [factors[site.atom.element.name] for site in sites]
        amplitudes, widths, masses = (np.array([each[part] for each in of_each], dtype=np.float64) for part in range(3))
        sizes = [(len(residue), chain) for chain, every in enumerate(self.structure[0]) for residue in every]
        counts = [size for size, _ in sizes]
        return Atoms(
            self.positions - origin, amplitudes, widths, np.array([max(site.atom.b_iso, 0.0) for site in sites]),
            np.array([site.atom.occ for site in sites]), masses, np.repeat(np.arange(len(sizes)), counts),
            np.repeat([chain for _, chain in sizes], counts),
        )  # fmt: skip

    def copied(self, positions: NDArray[np.float64], b_factors: NDArray[np.float64] | None = None) -> "StoredModel":
        """Return copies of the model at `positions` ``(copies, n, 3)`` of the file's frame; chains of further copies are numbered: A, A2, A3."""
        import gemmi

        out = self.structure.clone()
        taken = {chain.name for chain in out[0]}
        for number in range(1, len(positions)):
            for chain in self.structure[0]:
                another = chain.clone()
                another.name = next(
                    name for name in (f"{chain.name}{suffix}" for suffix in range(number + 1, number + 10_000)) if name not in taken
                )
                taken.add(another.name)
                for residue in another:
                    residue.subchain = f"{another.name}{residue.subchain.removeprefix(chain.name)}"
                out[0].add_chain(another)
        flat = np.round(positions.reshape(-1, 3), 3)
        for site, place in zip(out[0].all(), flat, strict=True):
            site.atom.pos = gemmi.Position(*place)
        if b_factors is not None:
            for site, value in zip(out[0].all(), b_factors, strict=True):
                site.atom.b_iso = float(value)
        return StoredModel(out)

    def write(self, path: Path) -> None:
        """Write an mmCIF file."""
        with replacing(path) as handle:
            handle.write(self.structure.make_mmcif_document().as_string().encode())


def traced_model(positions: NDArray[np.float64], chains: NDArray[np.int64], b_factors: NDArray[np.float64]) -> StoredModel:
    """Return a model of one Cα a residue: positions ``(n, 3)`` in Å, the number of each one's chain from 0, and B-factors in Å²."""
    import gemmi

    model = gemmi.Model(1)
    for number in np.unique(chains):
        chain = gemmi.Chain(chr(ord("A") + number) if number < 26 else f"C{number}")
        for index, (place, b_factor) in enumerate(zip(positions[chains == number], b_factors[chains == number], strict=True), 1):
            residue, atom = gemmi.Residue(), gemmi.Atom()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(str(index))
            atom.name, atom.element, atom.pos, atom.b_iso = "CA", gemmi.Element("C"), gemmi.Position(*place), float(b_factor)
            residue.add_atom(atom)
            chain.add_residue(residue)
        model.add_chain(chain)
    structure = gemmi.Structure()
    structure.add_model(model)
    for chain in structure[0]:
        for residue in chain:
            residue.entity_type = gemmi.EntityType.Polymer
    structure.setup_entities()
    return StoredModel(structure)


def read_model(path: Path | str, *, least_confidence: float | None = None, waters: bool = True) -> StoredModel:
    """Read the first model of a file.

    Parameters
    ----------
    least_confidence
        Leave out residues whose mean B, which predicted models use for their confidence (pLDDT), is below it.
    waters
        Keep them.

    Raises
    ------
    Failure
        ``model-unreadable``, ``model-empty`` and ``model-broken``.
    """
    import gemmi

    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as problem:
        raise Failure("model-unreadable", f"{path}: {problem}.", "Give a model as mmCIF or PDB.") from None
    notes = []
    if len(structure) > 1:
        notes.append(f"of {len(structure)} models the first is taken")
        while len(structure) > 1:
            del structure[1]
    if structure and any(site.atom.has_altloc() for site in structure[0].all()):
        notes.append("of alternative places of atoms the first are taken")
        structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    if not waters:
        structure.remove_waters()
    if least_confidence is not None and structure:
        notes += _without_doubtful(structure, least_confidence)
    structure.remove_empty_chains()
    if not structure or structure[0].count_atom_sites() == 0:
        raise Failure("model-empty", f"{path}: holds no atoms.", "Check that this is the right file.")
    structure.merge_chain_parts()
    structure.setup_entities()
    found = StoredModel(structure, tuple(notes))
    if not np.isfinite(found.positions).all():
        raise Failure("model-broken", f"{path}: some coordinates are no numbers.", "Write the model again.")
    return found


def _without_doubtful(structure: Any, least: float) -> list[str]:
    dropped = 0
    for chain in structure[0]:
        for number in reversed(range(len(chain))):
            if np.mean([atom.b_iso for atom in chain[number]]) < least:
                del chain[number]
                dropped += 1
    return [f"{dropped} residues with a confidence below {least:g} are left out"] if dropped else []


def _elements(sites: list[Any]) -> dict[str, Any]:
    import gemmi

    names = {site.atom.element.name for site in sites}
    return {name: gemmi.Element("C" if name == "X" else name) for name in names}
