"""import.model: an atomic model made elsewhere, or predicted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import AtomicModel
from cryoloom.formats import sources
from cryoloom.spec import AbsolutePath, Hint, Job, Outputs, Panel, Param, Protocol


@dataclass(frozen=True)
class Imported(Outputs):
    model: AtomicModel


class ImportModel(Protocol, id="import.model", outputs=Imported, cite=("10.21105/joss.04200",), aliases=("ProtImportPdb",)):
    """Read an atomic model (mmCIF or PDB, plain or gzipped) and keep its first model, without hydrogens, as mmCIF."""

    path: AbsolutePath = Param(
        "Model", aliases=("pdbFile", "filesPath"), wizard="file",
        help="mmCIF or PDB. Of several models in it the first is taken, of alternative places of an atom the first too.",
    )  # fmt: skip
    least_confidence: float | None = Param(
        "Least confidence", None, ge=0, le=100,
        help="For predicted models, whose B-factors are confidences (pLDDT): leave out residues below it, 50 for instance. On a measured model it "
        "drops what is best ordered.",
    )  # fmt: skip
    waters: bool = Param("Keep waters", True, advanced=True, help="Off, they are left out. At low resolution a map does not show them.")

    def check(self) -> Iterator[Hint]:
        if wrong := sources.not_a_file(self.path):
            yield Hint("path", wrong)

    def fingerprint(self) -> Any:
        return sources.fingerprint([Path(self.path)])

    def run(self, job: Job) -> Imported:
        from cryoloom.formats.atomic_model import read_model

        found = read_model(self.path, least_confidence=self.least_confidence, waters=self.waters)
        for note in found.notes:
            job.warn(f"{Path(self.path).name}: {note}.")
        if found.unknown:
            job.warn(f"{Path(self.path).name}: residues of no known chemistry are kept as they are: {_listed(found.unknown)}.")
        path = job.output("model.cif")
        found.write(path)
        counts = {"atoms": len(found.positions), "residues": len(found.residues), "chains": len(found.trace)}
        items = pl.DataFrame(
            {"id": [1], "model_path": [path.relative_to(job.root).as_posix()], **{name: [n] for name, n in counts.items()}}
        )
        return Imported(AtomicModel(items, job.root))

    def summary(self, out: Imported) -> Mapping[str, Any]:
        row = out.model.items.row(0, named=True)
        return {name: row[name] for name in ("atoms", "residues", "chains")}

    def methods(self, out: Imported) -> str:
        row = out.model.items.row(0, named=True)
        return f"An atomic model of {row['residues']} residues in {row['chains']} chains was imported with gemmi."

    def report(self, out: Imported) -> list[Panel]:
        from cryoloom.formats.atomic_model import read_model
        from cryoloom.report.panels import TableView

        chains = [(chain.name, len(chain), chain.count_atom_sites(), str(chain[0].seqid), str(chain[-1].seqid))
                  for chain in read_model(out.model.file(out.model.items["model_path"][0])).structure[0]]  # fmt: skip
        names = ("chain", "residues", "atoms", "from", "to")
        return [TableView(title="Chains", columns={name: [each[part] for each in chains] for part, name in enumerate(names)})]


def _listed(residues: list[tuple[str, str, str]], most: int = 8) -> str:
    names = [f"{name} {chain}/{number}" for chain, number, name in residues[:most]]
    return ", ".join(names) + (f" and {len(residues) - most} more" if len(residues) > most else "")
