"""deposit.empiar: the images of a project as EMPIAR takes them, and particles with their poses."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any, Literal

import polars as pl

from cryoloom.data import Deposition, Micrographs, Movies, Particles
from cryoloom.formats import sources
from cryoloom.formats.archive_files import listed_files
from cryoloom.formats.archive_rules import faults, missing
from cryoloom.formats.empiar import CATEGORIES, DEPOSITION, FORMATS, MAPS_OF_EMDB, RELEASES, VOXELS, plain
from cryoloom.formats.exchange import format_named
from cryoloom.formats.image_sets import image_files, image_set, related
from cryoloom.report.panels import Notice, TableView
from cryoloom.spec import AbsolutePath, Failure, Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset

POSES = "data/particles.star"
"""Where the poses lie in the archive."""
OWN = ("title", "release_date", "experiment_type", "cross_references", "imagesets")
"""Fields that the project fills, and a file of the depositor's may not."""
_CODES = {"category": CATEGORIES, "header_format": FORMATS, "data_format": FORMATS, "voxel_type": VOXELS}


@dataclass(frozen=True)
class Archived(Outputs):
    deposition: Deposition


class DepositEMPIAR(Protocol, id="deposit.empiar", outputs=Archived):
    """Write what EMPIAR asks of movies, micrographs and particles: a deposition as its program empiar-depositor reads it, and lists of all files.

    Movies and micrographs stay where they are, and are sent from there. Particles get a RELION STAR file with their poses beside their stacks.
    """

    movies: Movies | None = Input("Movies", optional=True, help="As recorded: what others need most.")
    micrographs: Micrographs | None = Input("Micrographs", optional=True, help="Aligned sums.")
    particles: Particles | None = Input("Particles", optional=True, help="With poses, of the final map.")
    title: str = Param("Title", "", help="Of the entry, 10 to 255 characters. Empty: it is missing in the deposition.")
    emdb_id: str = Param("EMDB entry", "", help="Such as EMD-1234, if there is one already: EMPIAR links the images with it.")
    release: Literal["when it has been processed", "with the EMDB entry", "with the paper", "a year after it was deposited"] = Param(
        "Release", "when it has been processed", help="When everybody can have the images. What was released cannot be taken back."
    )
    depositor: AbsolutePath = Param(
        "Depositor's part", "",
        help="JSON file of what no project knows, by EMPIAR's names: authors, corresponding_author, principal_investigator, citation. Empty: they are "
        "listed as missing.",
    )  # fmt: skip

    def check(self) -> Iterator[Hint]:
        if not self._sets:
            yield Hint("movies", "are not given, nor micrographs, nor particles: give one of them at least")
        for name, each in self._sets.items():
            if not len(each):
                yield Hint(name, "hold no image")
        if self.particles is not None and "rot" not in self.particles.schema:
            yield Hint("particles", "have no poses: EMPIAR takes them, but others cannot repeat your map from them", error=False)
        for name, field in (("title", "title"), ("emdb_id", "cross_references")):
            if bad := list(faults({key: value for key, value in self._said().items() if key == field}, DEPOSITION)):
                yield Hint(name, f"is not as EMPIAR takes it: {'; '.join(bad)}")
        try:
            told = {**self._said(), **self._of_depositor()}
        except Failure as problem:
            yield Hint("depositor", problem.message)
            return
        if bad := list(faults(told, DEPOSITION)):
            yield Hint("depositor", f"is not as EMPIAR takes it: {'; '.join(bad)}")
        if lacking := _lacking(told):
            yield Hint(
                "depositor", f"does not tell what only you know: {', '.join(lacking)}; the report lists them as missing", error=False
            )

    def fingerprint(self) -> Any:
        return sources.fingerprint([Path(self.depositor)]) if self.depositor else None

    @property
    def _sets(self) -> dict[str, Dataset]:
        given = {"movies": self.movies, "micrographs": self.micrographs, "particles": self.particles}
        return {name: each for name, each in given.items() if each is not None}

    def _said(self) -> dict[str, Any]:
        """Return the fields that the form tells."""
        release = next(code for code, words in RELEASES.items() if words == self.release)
        told: dict[str, Any] = {"title": self.title} if self.title else {}
        told |= {"release_date": release, "experiment_type": MAPS_OF_EMDB}
        return told | ({"cross_references": [{"name": self.emdb_id}]} if self.emdb_id else {})

    def _of_depositor(self) -> dict[str, Any]:
        if not self.depositor:
            return {}
        try:
            told = json.loads(Path(self.depositor).read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise Failure("depositor-file", f"cannot be read as JSON: {problem}", "Give a JSON file of EMPIAR's fields.") from None
        if not isinstance(told, dict) or set(told) & set(OWN):
            raise Failure("depositor-file", f"must be an object without {', '.join(OWN)}", "Those are the project's.")
        return told

    def run(self, job: Job) -> Archived:
        folder = job.output("deposit/empiar_deposition.json").parent
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        found = []
        for number, (name, each) in enumerate(self._sets.items()):
            job.progress(number, len(self._sets), name)
            made = image_set(each, name)
            found.append(made)
            made.files.write_csv(folder / f"{name}.tsv", separator="\t")
            files[f"{name}.tsv"] = f"files of the {name}, with their sizes"
        if self.particles is not None:
            write = format_named("relion").writer("particles")
            assert write is not None
            for path in write(self.particles, "particles", folder, related={}):
                files[path.relative_to(folder).as_posix()] = "particles with their poses, RELION 3.1"
            files |= {path.relative_to(folder).as_posix(): "stack of particles" for path in sorted(folder.glob("particles/*"))}
        told = {**self._said(), **self._of_depositor(), "imagesets": related(found, POSES)}
        if bad := list(faults(told, DEPOSITION)):
            raise Failure("deposition-blocked", f"EMPIAR would not take this: {'; '.join(bad)}.", "Mend what is named.")
        (folder / "empiar_deposition.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
        files["empiar_deposition.json"] = "deposition, as empiar-depositor reads it"
        meta = {
            "checks": [],
            "metadata": told,
            "bytes": {each.told["name"]: int(each.files["bytes"].sum()) for each in found},
            "missing": _lacking(told),
        }
        return Archived(Deposition(listed_files(folder, files, job.root), job.root, meta=meta))

    def summary(self, out: Archived) -> Mapping[str, Any]:
        meta = out.deposition.meta
        sets = {
            each["name"]: f"{each['num_images_or_tilt_series']}, {_size(meta['bytes'][each['name']])}"
            for each in meta["metadata"]["imagesets"]
        }
        return {
            "folder": str(Path(out.deposition.items.filter(pl.col("role").str.starts_with("deposition"))["file_path"][0]).parent),
            **sets,
            "only you can tell": ", ".join(meta["missing"]) or "nothing",
        }

    def report(self, out: Archived) -> list[Panel]:
        meta, files = out.deposition.meta, out.deposition.items
        sets = meta["metadata"]["imagesets"]
        lacking = meta["missing"]
        own = f"{self.summary(out)['folder']}/particles"
        rows = {
            "images": [each["num_images_or_tilt_series"] for each in sets],
            "frames each": [each["frames_per_image"] for each in sets],
            "size": [f"{each['image_width']} × {each['image_height']} px of {each['pixel_width']:.4g} Å" for each in sets],
            "all files": [_size(meta["bytes"][each["name"]]) for each in sets],
            "from": [_folder(self._sets[each["name"]], each["name"]) if each["name"] != "particles" else own for each in sets],
            "to": [each["directory"] for each in sets],
        }
        words = {name.replace("_", " "): [plain(each[name], codes) for each in sets] for name, codes in _CODES.items()}
        return [
            Notice(
                level="advice" if lacking else "good", title="Ready for EMPIAR" if not lacking else "Only you can tell",
                text=f"EMPIAR also needs {', '.join(lacking)}: give a file of them (depositor), or fill in its web form." if lacking
                else "All fields that EMPIAR needs are there.",
            ),
            TableView(title="Image sets", columns={"set": [each["name"] for each in sets], **words}, caption="In EMPIAR's words."),
            TableView(
                title="Where they go", columns={"set": [each["name"] for each in sets], **rows},
                caption="Movies and micrographs are sent from where they are, particles from this run; they belong in the folder named last.",
            ),
            TableView(
                title="Files", limit=100,
                columns={"file": [each.partition("deposit/")[2] for each in files["file_path"]], "what": files["role"].to_list()},
            ),
        ]  # fmt: skip


def _lacking(told: Mapping[str, Any]) -> list[str]:
    """Return EMPIAR's fields that are needed and not there; the sets of images are the run's."""
    return [name for name in missing(told, DEPOSITION) if name != "imagesets"]


def _folder(dataset: Dataset, name: str) -> str:
    return commonpath([path.parent for path in image_files(dataset, name)])


def _size(count: int) -> str:
    unit, divided = next(((unit, size) for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)) if count >= size), ("kB", 1e3))
    return f"{count / divided:.3g} {unit}"
