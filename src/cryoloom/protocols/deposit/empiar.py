"""deposit.empiar: lists of the images of a project as EMPIAR's deposition form asks for them, and particles with their poses."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cryoloom.data import Deposition, Micrographs, Movies, Particles
from cryoloom.formats.archive_files import listed_files
from cryoloom.formats.exchange import format_named
from cryoloom.formats.image_sets import ImageSet, image_set
from cryoloom.report.panels import TableView
from cryoloom.spec import Hint, Input, Job, Outputs, Panel, Param, Protocol
from cryoloom.tables import Dataset


@dataclass(frozen=True)
class Archived(Outputs):
    deposition: Deposition


class DepositEMPIAR(Protocol, id="deposit.empiar", outputs=Archived):
    """Write what EMPIAR asks of movies, micrographs and particles: image sets with their formats and sizes, and a list of all files.

    Movies and micrographs stay where they are, and are sent from there. Particles get a RELION STAR file with their poses beside their stacks.
    """

    movies: Movies | None = Input("Movies", optional=True, help="As recorded: what others need most.")
    micrographs: Micrographs | None = Input("Micrographs", optional=True, help="Aligned sums.")
    particles: Particles | None = Input("Particles", optional=True, help="With poses, of the final map.")
    title: str = Param("Title", "", help="Of the entry.")
    emdb_id: str = Param("EMDB entry", "", help="Such as EMD-1234, if there is one already: EMPIAR links the images with it.")

    def check(self) -> Iterator[Hint]:
        if not self._sets:
            yield Hint("movies", "are not given, nor micrographs, nor particles: give one of them at least")
        for name, each in self._sets.items():
            if not len(each):
                yield Hint(name, "hold no image")
        if self.particles is not None and "rot" not in self.particles.schema:
            yield Hint("particles", "have no poses: EMPIAR takes them, but others cannot repeat your map from them", error=False)

    @property
    def _sets(self) -> dict[str, Dataset]:
        given = {"movies": self.movies, "micrographs": self.micrographs, "particles": self.particles}
        return {name: each for name, each in given.items() if each is not None}

    def run(self, job: Job) -> Archived:
        folder = job.output("deposit/image_sets.json").parent
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        found: list[ImageSet] = []
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
        told = {"title": self.title, "cross_references": [self.emdb_id] if self.emdb_id else [], "imagesets": [each.told for each in found]}
        (folder / "image_sets.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
        files["image_sets.json"] = "image sets, by the fields of EMPIAR's form"
        bytes_of = {each.told["name"]: int(each.files["bytes"].sum()) for each in found}
        return Archived(
            Deposition(listed_files(folder, files, job.root), job.root, meta={"checks": [], "metadata": told, "bytes": bytes_of})
        )

    def summary(self, out: Archived) -> Mapping[str, Any]:
        meta = out.deposition.meta
        sets = {each["name"]: f"{each['num_images_or_tilt_series']}, {size / 1e9:.2f} GB" for each, size in _with_sizes(meta)}
        return {
            "folder": str(Path(out.deposition.items.filter(pl.col("role").str.starts_with("image sets"))["file_path"][0]).parent),
            **sets,
        }

    def report(self, out: Archived) -> list[Panel]:
        meta = out.deposition.meta
        names = (
            "name",
            "category",
            "header_format",
            "data_format",
            "num_images_or_tilt_series",
            "frames_per_image",
            "voxel_type",
            "image_width",
            "pixel_width",
        )
        columns: dict[str, list[Any]] = {name.replace("_", " "): [each[name] for each in meta["metadata"]["imagesets"]] for name in names}
        columns["GB"] = [round(size / 1e9, 3) for _, size in _with_sizes(meta)]
        files = out.deposition.items
        return [
            TableView(title="Image sets", columns=columns, caption="By the fields of EMPIAR's form."),
            TableView(
                title="Files",
                columns={"file": [Path(each).name for each in files["file_path"]], "what": files["role"].to_list()},
                limit=100,
            ),
        ]


def _with_sizes(meta: Mapping[str, Any]) -> list[tuple[dict[str, Any], int]]:
    return [(each, meta["bytes"][each["name"]]) for each in meta["metadata"]["imagesets"]]
