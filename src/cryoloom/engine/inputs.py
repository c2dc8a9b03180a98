"""The sets that a run takes, opened: as they were published, or as far as they have come."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryoloom import files
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.state import ACTIVE
from cryoloom.spec.errors import Failure
from cryoloom.spec.protocol import Protocol
from cryoloom.tables import Dataset
from cryoloom.tables.dataset import known_kind

Find = Callable[[str], type[Protocol]]
UNFINISHED = "~"
"""What the stamp of a set that is still being made begins with, in place of its hash."""


def open_inputs(run: RunFolder, find: Find, *, unfinished: bool = False) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the input sets of a run by name, and their hashes as found now.

    Parameters
    ----------
    run
        Whose inputs.
    find
        Returns the protocol of an id; a plugin's kinds of sets come with its protocols.
    unfinished
        Take of a run at work what it has laid open; instead of a hash it then has a stamp, another one whenever there is more.

    Raises
    ------
    Failure
        ``input-missing``, ``input-changed``.
    """
    hashes: dict[str, list[str]] = {}

    def opened(name: str, reference: Mapping[str, Any]) -> Dataset:
        producer = RunFolder(run.root / "runs" / reference["run"])
        at_work = unfinished and producer.is_state(*ACTIVE)
        manifest = (producer.published() or {"outputs": {}})["outputs"].get(reference["output"])
        stamp, record = manifest["hash"] if manifest else "", None
        if manifest is None and at_work and (record := laid_open(producer.path)) and reference["output"] in record["outputs"]:
            manifest, stamp = record["outputs"][reference["output"]], f"{UNFINISHED}{record['round']}"
        if manifest is None:
            if at_work:
                return opened(name, reference)  # it has just published, or will
            message = f"Input {name}: {reference['run']}.{reference['output']} does not exist."
            raise Failure("input-missing", message, "Restore or resume the run that makes it, or start anew from another one.")
        if reference["hash"] not in (None, manifest["hash"]):
            message = f"Input {name}: {reference['run']}.{reference['output']} is not what it was when {run.id} was made."
            raise Failure("input-changed", message, "Start a new run.")
        if not known_kind(manifest["kind"]):
            find(producer.record["protocol"])
        dataset = Dataset.load(manifest, run.root)
        try:
            dataset = in_memory(dataset) if record else dataset
        except FileNotFoundError:
            if laid_open(producer.path) == record:
                raise
            return opened(name, reference)  # it has published meanwhile, or laid open more, and removed this
        hashes.setdefault(name, []).append(stamp)
        return dataset

    inputs: dict[str, Any] = {}
    for name, given in run.record["inputs"].items():
        inputs[name] = tuple(opened(name, each) for each in given) if isinstance(given, list) else opened(name, given)
    return inputs, hashes


def stamps_of(run: RunFolder) -> dict[str, list[str]]:
    """Return what `open_inputs` tells of `unfinished` inputs, with none of them opened; an empty text for one that it would not find."""

    def stamp(reference: Mapping[str, Any]) -> str:
        producer = RunFolder(run.root / "runs" / reference["run"])
        if head := (producer.heads() or {}).get(reference["output"]):
            return head["hash"]
        record = laid_open(producer.path) if producer.is_state(*ACTIVE) else None
        return f"{UNFINISHED}{record['round']}" if record and reference["output"] in record["outputs"] else ""

    given = {name: each if isinstance(each, list) else [each] for name, each in run.record["inputs"].items()}
    return {name: [stamp(reference) for reference in each] for name, each in given.items()}


def laid_open(run: Path) -> dict[str, Any] | None:
    """Return what a run at work has laid open so far: ``round``, and ``outputs``, a manifest each."""
    return files.read_json(run / "open.json")


def in_memory(dataset: Dataset) -> Dataset:
    """Return the set with its rows in memory, so that it does not rest on files that may be removed."""
    return type(dataset)(dataset.items, dataset.root, optics=dataset.optics, meta=dataset.meta)
