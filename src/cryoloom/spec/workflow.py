"""A workflow as a document: what is done on what, without the results. Its JSON Schema is docs/schemas/workflow-1.json."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SCHEMA = "urn:cryoloom:schema:workflow-1"
"""Names the schema in every file."""

NodeId = Annotated[str, StringConstraints(pattern=r"^[\w-]+$", max_length=100)]
Source = Annotated[str, StringConstraints(pattern=r"^[\w-]+(\.[A-Za-z_]\w*)?$", max_length=300)]
"""``NODE.OUTPUT``; ``NODE`` where a whole run of another program is meant."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Value(_Part):
    """A parameter: a value with its unit, or the name of an input of the workflow that gives it."""

    value: Any = None
    unit: str = ""
    input: str = Field(default="", description="Name of the workflow's input that gives the value.")


class Asked(_Part):
    """An input of the workflow: what is asked of who carries it out."""

    type: Literal["path", "paths", "number", "integer", "boolean", "text"]
    label: str = ""
    help: str = ""
    default: Any = None


class Origin(_Part):
    """Where a node comes from, when it was another program's."""

    program: str = Field(description="Such as scipion.")
    name: str = Field(description="What that program calls this kind of step.")
    record: Any = Field(default=None, description="The node as that program wrote it, whole and unchanged.")
    position: int = Field(default=0, description="Its place in the file.")
    source: str = Field(default="", description="Hash of the file.")


class Node(_Part):
    """A step: protocol, parameters and what it takes from other steps."""

    id: NodeId
    protocol: Annotated[str, StringConstraints(pattern=r"^[\w.:-]+$", max_length=200)]
    version: int | None = Field(default=None, description="Of the protocol; results of another version differ.")
    label: str = ""
    note: str = ""
    tags: list[str] = []
    seed: int = 0
    parameters: dict[str, Value] = {}
    inputs: dict[str, Source | list[Source]] = {}
    needs: dict[str, str] = Field(
        default={}, description="What somebody has to decide before it can run: name of parameter or input, and why."
    )
    origin: Origin | None = None

    def sources(self) -> Iterator[tuple[str, str, str]]:
        """Yield input, node and output (empty for a whole run) of everything the node takes."""
        for name, given in self.inputs.items():
            for each in given if isinstance(given, list) else [given]:
                node, _, output = each.partition(".")
                yield name, node, output


class Workflow(_Part):
    """A chain of steps that can be carried out on other data."""

    schema_: Literal["urn:cryoloom:schema:workflow-1"] = Field(default=SCHEMA, alias="$schema")
    version: Literal[1] = Field(default=1, description="Of this format.")
    name: str = ""
    program: str = Field(default="", description="What wrote the file.")
    notes: list[str] = []
    inputs: dict[str, Asked] = {}
    nodes: list[Node] = []


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document, as docs/schemas/workflow-1.json publishes it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA}
    return {**head, **Workflow.model_json_schema(by_alias=True)}


@dataclass(frozen=True)
class Reading:
    """What an importer makes of another program's file.

    Attributes
    ----------
    workflow
        Every node of the file, those without a protocol here included.
    counts
        What was found, label to number, in reading order.
    messages
        What whoever imports it should know.
    results
        Whether the nodes bring in what has been computed elsewhere, so that they are to be run at once.
    """

    workflow: Workflow
    counts: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    results: bool = False
