"""Workflows and templates of Scipion: every object becomes a node, one without a protocol here an inert placeholder; nothing is lost."""

import json
from pathlib import Path
from typing import Any

from blake3 import blake3

from cryoloom.importers.scipion.convert import Conversion, Find
from cryoloom.importers.scipion.special import finish
from cryoloom.importers.scipion.text import looks_like_scipion, read_text
from cryoloom.spec.workflow import Reading, Workflow

PROGRAM = "scipion"

recognises = looks_like_scipion


def read(path: Path, given: dict[str, str], find: Find) -> Reading:
    """Read a workflow; settings for fields of a template are taken from `given`."""
    template = read_text(path, given)
    conversion = Conversion(template.records, find, blake3(path.read_bytes()).hexdigest()[:16])
    nodes = conversion.nodes(finish)
    notes = [template.description] if template.description else []
    workflow = Workflow(name=path.name.split(".")[0], program="Scipion", notes=notes, inputs=template.inputs, nodes=nodes)
    return Reading(workflow, conversion.counts(), template.messages)


def write(records: list[Any]) -> str:
    """Return objects as Scipion exports them."""
    return json.dumps(records, indent=4) + "\n"
