"""A project's history as a Workflow Run RO-Crate: who wants to know how a map was made can read it with other people's tools.

The crate follows RO-Crate 1.1, the Workflow RO-Crate profile 1.0 and the Process, Workflow and Provenance Run Crate profiles 0.5: the project
is a workflow of one step a run, every run an action with its tool, its parameters, what it took and what it gave. It holds the records,
and of the outputs the lists of their files with hashes; the files themselves come along on request.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoloom import files
from cryoloom.app import catalogue
from cryoloom.app.outputs import OutputRef
from cryoloom.app.references import find_output
from cryoloom.app.runs import Run
from cryoloom.data.literature import paper
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.project import ProjectFolder, in_order
from cryoloom.engine.provenance import whole_hashes
from cryoloom.engine.state import State
from cryoloom.spec import CryoloomError, WrongUse
from cryoloom.spec.words import counted

if TYPE_CHECKING:
    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.entity import Entity
    from rocrate.model.file import File
    from rocrate.rocrate import ROCrate

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
DONE = "http://schema.org/CompletedActionStatus"
HOME = "https://pypi.org/project/cryoloom/"


def write_crate(project: ProjectFolder, path: Path, *, data: Iterable["str | OutputRef"] = (), licence: str = "") -> Path:
    """Write the crate of a project's finished runs to the ZIP file `path` and return it.

    Parameters
    ----------
    data
        Outputs whose tables and images come along.
    licence
        Under which the owner gives it away: a URL. By default it is said that none was stated.

    Raises
    ------
    WrongUse
        ``nothing-finished``.
    """
    runs = [Run(folder) for folder in in_order(project.runs()) if folder.is_state(State.FINISHED)]
    if not runs:
        raise WrongUse("nothing-finished", f"Nothing has finished in {project.path}.", "Run something first.")
    wanted = [find_output(project, each) for each in data]
    with tempfile.TemporaryDirectory() as folder, files.writing(path) as temporary:
        _Crate(project, runs, Path(folder), licence).filled(wanted).write_zip(temporary)
    return path


class _Crate:
    """The crate while it is being made."""

    def __init__(self, project: ProjectFolder, runs: list[Run], folder: Path, licence: str) -> None:
        from rocrate.rocrate import ROCrate

        self.root, self.runs, self.folder = project.path, runs, folder
        self.name, self.uuid = project.record["name"], project.record["uuid"]
        self.crate: ROCrate = ROCrate(version="1.1")
        self.licence = licence
        self.outputs: dict[str, Entity] = {}
        self.roles: dict[str, list[str]] = {}

    def filled(self, data: list[OutputRef]) -> "ROCrate":
        """Return the whole crate."""
        crate = self.crate
        self._about()
        engine = self._add(f"{HOME}#program", "SoftwareApplication", name="cryoloom", url=HOME, softwareVersion=version("cryoloom"))
        workflow = self._workflow()
        steps, actions, controls = [], [], []
        for position, run in enumerate(self.runs, 1):
            tool = self._tool(run)
            step = self._add(f"#step-{run.id}", "HowToStep", name=run.label or run.id, position=str(position), workExample=tool)
            action = self._action(run, tool)
            controls.append(self._add(f"#control-{run.id}", "ControlAction", name=f"orchestrate {run.id}", instrument=step, object=action))
            steps.append(step)
            actions.append(action)
        workflow["step"] = _alone(steps)
        workflow["hasPart"] = _alone(list({action["instrument"].id: action["instrument"] for action in actions}.values()))
        whole = self._whole(workflow)
        organised = self._add(
            "#organise", "OrganizeAction", name=f"cryoloom {version('cryoloom')}", instrument=engine, object=controls, result=whole
        )
        crate.root_dataset["mentions"] = [organised, whole, *actions]
        for name, roles in self.roles.items():
            self.outputs[name]["exampleOfWork"] = _alone([{"@id": role} for role in dict.fromkeys(roles)])
        for output in data:
            self._bring(output)
        return crate

    def _about(self) -> None:
        crate, root = self.crate, self.crate.root_dataset
        crate.name = self.name
        crate.description = f"How the results of the cryo-EM project {self.name} were made: {counted(len(self.runs), 'run')} of cryoloom."
        crate.datePublished = datetime.now(UTC)
        url = self.licence or "#no-licence-stated"
        text = (
            {"name": "stated by the owner"}
            if self.licence
            else {"name": "No licence was stated", "description": "Ask the owner before using it."}
        )
        root["license"] = self._add(url, "CreativeWork", **text)
        profiles = [self._add(each, "CreativeWork", name=name, version=each.rpartition("/")[2]) for each, name in PROFILES.items()]
        root["conformsTo"] = profiles
        crate.metadata["conformsTo"] = [
            {"@id": "https://w3id.org/ro/crate/1.1"},
            {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
        ]

    def _add(self, key: str, kind: str, /, **properties: Any) -> "ContextEntity":
        from rocrate.model.contextentity import ContextEntity

        entity = ContextEntity(self.crate, key, properties={"@type": kind, **_single(properties)})
        self.crate.add(entity)
        return entity

    def _held(self, source: Path, place: str, properties: Mapping[str, Any]) -> "File":
        from rocrate.model.file import File

        entity = File(self.crate, source, place, properties=dict(properties))
        self.crate.add(entity)
        return entity

    def _file(self, place: str, content: Any, /, **properties: Any) -> "Entity":
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        size = str(path.stat().st_size)
        return self._held(path, place, {"encodingFormat": "application/json", "contentSize": size, **properties})

    # -- the workflow -------------------------------------------------------------------------------------------

    def _workflow(self) -> "Entity":
        recipe = [
            {
                "run": run.id,
                "label": run.label,
                **{key: run.folder.record[key] for key in ("protocol", "version", "parameters", "inputs", "seed")},
            }
            for run in self.runs
        ]
        language = self._add(f"{HOME}#runs", "ComputerLanguage", name="cryoloom runs", url=HOME)
        name = f"Workflow of {self.name}"
        kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
        content = {"cryoloom": version("cryoloom"), "runs": recipe}
        workflow = self._file(
            "workflow.json", content, name=name, programmingLanguage=language, url=HOME, version=self.uuid, **{"@type": kinds}
        )
        workflow["conformsTo"] = {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"}
        self.crate.mainEntity = workflow
        return workflow

    def _tool(self, run: Run) -> "Entity":
        """Return the application that a run's protocol is; the same for all runs of that version."""
        record = run.folder.record
        name = f"{HOME}#{run.protocol}-{record['version']}"
        if known := self.crate.get(name):
            return known
        told = {"name": run.protocol, "softwareVersion": f"{record['cryoloom']}, method version {record['version']}", "url": HOME}
        try:
            protocol = catalogue.protocol(run.protocol)
            told["description"] = " ".join((protocol.__doc__ or run.protocol).split())
            citation = [
                self._add(f"https://doi.org/{doi}", "ScholarlyArticle", name=paper(doi).title or doi, identifier=doi)
                for doi in protocol.cite
            ]
        except CryoloomError:
            citation = []
        parameters = [self._formal(f"{name}/{key}", key, _type_of(value)) for key, value in run.parameters.items()]
        taken = [self._formal(f"{name}/input-{key}", key, "File") for key in run.inputs]
        given = [self._formal(f"{name}/output-{output.name}", output.name, "File") for output in run.outputs]
        return self._add(name, "SoftwareApplication", **told, citation=citation, input=[*taken, *parameters], output=given)

    def _formal(self, name: str, key: str, kind: str) -> "Entity":
        profile = {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"}
        return self._add(name, "FormalParameter", name=key, additionalType=kind, conformsTo=profile)

    # -- what was done ------------------------------------------------------------------------------------------

    def _action(self, run: Run, tool: "Entity") -> "Entity":
        values = [
            self._add(
                f"#{run.id}/{key}", "PropertyValue", name=key, value=value if isinstance(value, str | int | float) else json.dumps(value),
                exampleOfWork={"@id": f"{tool.id}/{key}"},
            )
            for key, value in run.parameters.items()
        ]  # fmt: skip
        seed = self._add(f"#{run.id}/seed", "PropertyValue", name="seed", value=run.seed)
        for key, each in run.inputs.items():
            for reference in each if isinstance(each, list) else [each]:
                self.roles[f"{reference['run']}.{reference['output']}"].append(f"{tool.id}/input-{key}")
        taken = [self.outputs[name] for name in _names(run.folder)]
        given = [self._output(output, tool) for output in run.outputs]
        began, ended = _times(run)
        return self._add(
            f"#{run.id}", "CreateAction", name=f"{run.id} {run.label or run.protocol}", description=run.why or run.protocol, instrument=tool,
            object=[*taken, *values, seed, *([] if taken else self._sources(run))], result=given, startTime=began, endTime=ended,
            actionStatus=DONE, subjectOf=[*self._records(run)],
        )  # fmt: skip

    def _records(self, run: Run) -> Iterable["Entity"]:
        yield self._file(f"runs/{run.id}/run.json", run.folder.record, name=f"what {run.id} was asked to do")
        if environment := run.environment:
            yield self._file(f"runs/{run.id}/environment.json", environment, name=f"what {run.id} was computed with")

    def _output(self, output: OutputRef, tool: "Entity") -> "Entity":
        manifest = output.manifest
        entity = self._file(
            f"outputs/{output}.json",
            manifest,
            name=f"{output}: {manifest['count']} {manifest['kind']}",
            identifier=f"blake3:{manifest['hash']}",
        )
        self.outputs[str(output)] = entity
        self.roles[str(output)] = [f"{tool.id}/output-{output.name}"]
        return entity

    def _sources(self, run: Run) -> list["Entity"]:
        """Return the files that a first step brought in, by name and hash."""
        listed = {entry["path"]: entry for output in run.outputs for entry in output.manifest["files"]}
        whole = whole_hashes(run.project, run.id, listed.values())
        return [
            self._add(
                f"#{path}",
                "CreativeWork",
                name=Path(path).name,
                identifier=_identifier(entry, whole.get(path)),
                contentSize=str(entry["size"]),
            )
            for path, entry in listed.items()
        ]

    def _whole(self, workflow: "Entity") -> "Entity":
        taken = {reference for run in self.runs for reference in _names(run.folder)}
        last = [entity for name, entity in self.outputs.items() if name not in taken]
        spans = [_times(run) for run in self.runs]
        workflow["output"] = _alone([self._formal(f"#workflow/{entity.id}", str(entity["name"]), "File") for entity in last])
        for name, entity in self.outputs.items():
            if entity in last:
                self.roles[name].append(f"#workflow/{entity.id}")
        return self._add(
            "#whole", "CreateAction", name=f"All of {self.name}", description="All runs, first to last.", instrument=workflow, result=last,
            startTime=min(began for began, _ in spans), endTime=max(ended for _, ended in spans),
            actionStatus=DONE,
        )  # fmt: skip

    def _bring(self, output: OutputRef) -> None:
        """Put an output's own files into the crate."""
        table = output.manifest["table"]
        listed = [*table["base"], *table["sidecars"], *([table["ids"]] if table["ids"] else []), *output.manifest["files"]]
        parts = []
        for entry in listed:
            told = {"contentSize": str(entry["size"]), "identifier": _identifier(entry, None)}
            parts.append(self._held(self.root / entry["path"], f"data/{entry['path']}", told))
        self.outputs[str(output)]["mentions"] = _alone(parts)


def _identifier(entry: Mapping[str, Any], whole: str | None) -> str:
    """Return the hash of a file that a manifest lists: of the `whole` file, if it is known."""
    return f"blake3:{whole}" if whole else f"{'quick-' if entry.get('quick') else ''}blake3:{entry['blake3']}"


def _single(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties as RO-Crate wants them: no empty lists, and one value not as a list."""
    return {key: _alone(value) for key, value in properties.items() if value != []}


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _names(run: RunFolder) -> list[str]:
    return [f"{each['run']}.{each['output']}" for each in run.references()]


def _times(run: Run) -> tuple[str, str]:
    times = [event["t"] for event in run.events()] or [run.created]
    began, ended = (datetime.fromtimestamp(each, UTC).isoformat(timespec="seconds") for each in (times[0], times[-1]))
    return began, ended


_TYPES: Mapping[type, str] = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}


def _type_of(value: Any) -> str:
    return _TYPES.get(type(value), "PropertyValue" if isinstance(value, dict) else "Text")
