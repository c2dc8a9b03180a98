"""A RELION project: what its jobs gave, as imports whose outputs can be used at once; jobs that gave nothing of the kind as placeholders."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from blake3 import blake3

from cryoloom.formats.sources import patterns_of
from cryoloom.formats.star import read_star
from cryoloom.spec import Failure, Protocol, WrongUse
from cryoloom.spec.workflow import Node, Origin, Reading, Value, Workflow

PROGRAM = "relion"
PIPELINE = "default_pipeline.star"
KINDS = {0: "movies", 1: "micrographs", 2: "coordinates", 3: "particles", 6: "volume", 7: "mask", 10: "half", 11: "volume"}
"""RELION 3's numbers of what a file is."""
LABELS = {
    "MicrographMoviesData": "movies",
    "MicrographMovieGroupMetadata": "movies",
    "MicrographsData": "micrographs",
    "MicrographGroupMetadata": "micrographs",
    "MicrographsCoords": "coordinates",
    "MicrographCoordsGroup": "coordinates",
    "ParticlesData": "particles",
    "ParticleGroupMetadata": "particles",
    "DensityMap": "volume",
    "Mask3D": "mask",
    "Halfmap": "half",
}
"""The same in RELION 4 and 5, by the first part of the label."""
JOB = re.compile(r"\w+/job\d+/")
_NUMBER_AT_END = re.compile(r"\((\d+)\)$")

Find = Callable[[str], type[Protocol] | None]


def recognises(path: Path) -> bool:
    """Return whether `path` is a RELION project or its pipeline."""
    return (path / PIPELINE).is_file() or path.name == PIPELINE


def read(path: Path, given: dict[str, str], find: Find) -> Reading:
    """Read the pipeline, the jobs' options and what their outputs say of the data."""
    pipeline = path if path.is_file() else path / PIPELINE
    return _Project(pipeline.absolute(), find).reading()


class _Project:
    def __init__(self, pipeline: Path, find: Find) -> None:
        self.pipeline, self.root, self.find = pipeline, pipeline.parent, find
        blocks = read_star(pipeline)
        self.jobs = self._jobs(blocks.get("pipeline_processes", pl.DataFrame()))
        types = blocks.get("pipeline_nodes", pl.DataFrame())
        column = next((name for name in ("rlnPipeLineNodeTypeLabel", "rlnPipeLineNodeType") if name in types.columns), None)
        self.kinds = {file: _kind(kind) for file, kind in types.select("rlnPipeLineNodeName", column).iter_rows()} if column else {}
        inputs = blocks.get("pipeline_input_edges", pl.DataFrame())
        outputs = blocks.get("pipeline_output_edges", pl.DataFrame())
        self.inputs = inputs.select("rlnPipeLineEdgeProcess", "rlnPipeLineEdgeFromNode").rows() if inputs.height else []
        self.outputs = outputs.select("rlnPipeLineEdgeProcess", "rlnPipeLineEdgeToNode").rows() if outputs.height else []
        self.nodes: dict[str, Node] = {}
        self.places: dict[str, str] = {}
        """File of the project to ``NODE.OUTPUT``."""
        self.makers = {file: job for job, file in self.outputs}
        self.messages: list[str] = []

    @staticmethod
    def _jobs(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
        jobs: dict[str, dict[str, Any]] = {}
        for row in rows.iter_rows(named=True):
            name = str(row["rlnPipeLineProcessName"])
            if not JOB.fullmatch(name):
                raise WrongUse("relion-pipeline", f"{PIPELINE}: {name!r} is no job of a RELION project.", "Check the file.")
            jobs[name] = row
        return jobs

    def reading(self) -> Reading:
        for job in self.jobs:
            self._imports(job)
        for job in self.jobs:
            if not any(node.id.startswith(f"{_id(job)}-") for node in self.nodes.values()):
                self._placeholder(job)
        for node in self.nodes.values():
            self._connect(node)
        placeholders = sum(":" in node.protocol for node in self.nodes.values())
        counts = {
            "jobs": len(self.jobs),
            "imports": len(self.nodes) - placeholders,
            "placeholders": placeholders,
            "files imported": len(self.places),
            "files left aside": len(self.outputs) - len(self.places),
            "edges": len(self.inputs),
        }
        workflow = Workflow(name=self.root.name, program="RELION", nodes=list(self.nodes.values()))
        return Reading(workflow, counts, self.messages, results=True)

    # -- nodes --------------------------------------------------------------------------------------------------

    def _imports(self, job: str) -> None:
        """Make an import of everything a job gave that can be imported."""
        files = [file for name, file in self.outputs if name == job]
        makers = {
            "movies": self._movies,
            "micrographs": self._micrographs,
            "coordinates": self._coordinates,
            "particles": self._particles,
            "volume": self._volume,
            "mask": self._mask,
        }
        wanted = [(file, kind) for file in files if (kind := self.kinds.get(file, "")) in makers]
        if not any(kind == "volume" for _, kind in wanted):
            wanted += [(file, "volume") for file in files if self.kinds.get(file) == "half"]
        for number, (file, kind) in enumerate(wanted):
            parameters = makers[kind](job, file)
            protocol = f"import.{kind}"
            if parameters is None or self.find(protocol) is None:
                continue
            again = any(other == kind for _, other in wanted[:number])
            node = self._node(job, f"{_id(job)}-{kind}{number if again else ''}", protocol, kind if len(wanted) > 1 else "")
            node.parameters = {name: Value(value=value) for name, value in parameters.items() if value not in (None, "", [])}
            self.places[file] = f"{node.id}.{kind}"
            if kind == "micrographs":
                self._ctfs(job, file, node)

    def _ctfs(self, job: str, file: str, micrographs: Node) -> None:
        """Bring in what a list of micrographs says of their transfer functions."""
        if self.find("import.ctfs") and any("rlnDefocusU" in block.columns for block in self._star(file).values()):
            node = self._node(job, f"{micrographs.id}-ctfs", "import.ctfs", "ctfs")
            node.parameters = {"path": Value(value=[str(self.root / file)])}
            node.inputs = {"micrographs": f"{micrographs.id}.micrographs"}

    def _node(self, job: str, name: str, protocol: str, tail: str) -> Node:
        row = self.jobs[job]
        alias = str(row.get("rlnPipeLineProcessAlias", "None")).strip("/").rpartition("/")[2]
        shown = alias if alias and alias != "None" else job.strip("/").replace("/", " ")
        record = {
            "process": row,
            "options": self._options(job),
            "inputs": [file for each, file in self.inputs if each == job],
            "outputs": [file for each, file in self.outputs if each == job],
        }
        origin = Origin(program=PROGRAM, name=job.partition("/")[0], record=record, position=len(self.nodes), source=self._hash())
        self.nodes[name] = Node(id=name, protocol=protocol, label=f"{shown} {tail}".strip(), origin=origin)
        return self.nodes[name]

    def _hash(self) -> str:
        return blake3(self.pipeline.read_bytes()).hexdigest()[:16]

    def _placeholder(self, job: str) -> None:
        kind = job.partition("/")[0]
        node = self._node(job, _id(job), f"{PROGRAM}:{kind}", "")
        node.parameters = {name: Value(value=value) for name, value in self._options(job).items()}
        node.needs[""] = f"nothing that this {kind} job gave can be imported; it is kept as a record and never run"

    def _connect(self, node: Node) -> None:
        """Give coordinates their micrographs, and placeholders all that they took."""
        assert node.origin
        taken = [self.places.get(file, "") for file in node.origin.record["inputs"]]
        micrographs = [place for place in taken if place.endswith(".micrographs")]
        if node.protocol == "import.coordinates" and micrographs:
            node.inputs["micrographs"] = micrographs[0]
        elif ":" in node.protocol and any(taken):
            node.inputs["input"] = [place for place in dict.fromkeys(taken) if place]

    def _options(self, job: str) -> dict[str, str]:
        blocks = self._star(f"{job}job.star")
        rows = blocks.get("joboptions_values", pl.DataFrame())
        if "rlnJobOptionVariable" not in rows.columns:
            return {}
        return {str(name): str(value) for name, value in rows.select("rlnJobOptionVariable", "rlnJobOptionValue").iter_rows()}

    def _star(self, file: str) -> Mapping[str, pl.DataFrame]:
        """Return a table of the project, nothing where there is none."""
        if not (self.root / file).is_file():
            return {}
        try:
            return read_star(self.root / file)
        except Failure as failure:
            self.messages.append(failure.message)
            return {}

    # -- parameters of the imports ------------------------------------------------------------------------------

    def _movies(self, job: str, file: str) -> dict[str, Any] | None:
        parameters = self._images(file, "rlnMicrographMovieName", "rlnMicrographOriginalPixelSize")
        users = [each for each, taken in self.inputs if taken == file and each.startswith("MotionCorr/")]
        if parameters and users:
            options = self._options(users[0])
            gain = options.get("fn_gain_ref", "")
            parameters |= {"gain": str(self.root / gain) if gain else "", "dose_per_frame": _positive(options.get("dose_per_frame"))}
            if gain and (turned := _choice(options.get("gain_rot"))) is not None:
                parameters["gain_rotation"] = 90 * turned
            if gain and (flipped := _choice(options.get("gain_flip"))) in (1, 2):
                parameters["gain_flip"] = "upside-down" if flipped == 1 else "left-right"
        return parameters

    def _micrographs(self, job: str, file: str) -> dict[str, Any] | None:
        return self._images(file, "rlnMicrographName", "rlnMicrographPixelSize")

    def _images(self, file: str, column: str, size: str) -> dict[str, Any] | None:
        """Return the parameters of an import of movies or micrographs; of several optics groups the first."""
        blocks = self._star(file)
        rows = next((block for block in blocks.values() if column in block.columns), None)
        if rows is None:
            return None
        optics = blocks.get("optics", rows)
        if optics.height and "rlnOpticsGroup" in optics.columns and optics["rlnOpticsGroup"].n_unique() > 1 and optics is not rows:
            self.messages.append(f"{file}: {optics.height} optics groups; all are imported with the microscope's figures of the first.")
        first = optics.row(0, named=True) if optics.height else {}
        pixel_size = first.get(size) or first.get("rlnMicrographPixelSize") or first.get("rlnMicrographOriginalPixelSize")
        if pixel_size is None and first.get("rlnMagnification"):
            pixel_size = round(1e4 * first.get("rlnDetectorPixelSize", 0) / first["rlnMagnification"], 6)
        return {
            "pattern": patterns_of([self.root / name for name in rows[column].to_list()]),
            "pixel_size": pixel_size,
            "voltage": first.get("rlnVoltage"),
            "cs": first.get("rlnSphericalAberration"),
            "amplitude_contrast": first.get("rlnAmplitudeContrast"),
        }

    def _coordinates(self, job: str, file: str) -> dict[str, Any] | None:
        """Return the files of RELION 4's list, or those that RELION 3's suffix stands for."""
        suffix = re.fullmatch(r"coords_suffix(_\w+)\.star", Path(file).name)
        if suffix is None:
            return {"path": [str(self.root / file)]}
        found = sorted((self.root / job).rglob(f"*{suffix[1]}.star"))
        return {"path": patterns_of([each for each in found if not each.name.startswith("coords_suffix")])}

    def _particles(self, job: str, file: str) -> dict[str, Any]:
        return {"path": str(self.root / file), "folder": str(self.root)}

    def _volume(self, job: str, file: str) -> dict[str, Any]:
        path = self.root / file
        halves = [path.with_name(f"{path.stem.partition('_class')[0]}_half{number}_class001_unfil.mrc") for number in (1, 2)]
        if self.kinds.get(file) == "half":
            halves = [path, path.with_name(path.name.replace("half1", "half2"))]
        there = all(half.is_file() for half in halves) and halves[0] != halves[1]
        return {"path": str(path), **({"half_map1": str(halves[0]), "half_map2": str(halves[1])} if there else {})}

    def _mask(self, job: str, file: str) -> dict[str, Any]:
        return {"path": str(self.root / file)}


def _kind(kind: Any) -> str:
    return KINDS.get(kind, "") if isinstance(kind, int) else LABELS.get(str(kind).partition(".")[0], "")


def _id(job: str) -> str:
    return job.strip("/").replace("/", "-")


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or 0)
    except ValueError:
        return None
    return value if value > 0 else None


def _choice(text: str | None) -> int | None:
    match = _NUMBER_AT_END.search(text or "")
    return int(match[1]) if match else None
