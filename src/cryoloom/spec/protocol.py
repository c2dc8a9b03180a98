"""A protocol: class = declaration, instance = frozen parameters, job = run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, get_type_hints

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from cryoloom.spec.job import Job
from cryoloom.spec.param import Hint, extra_of

SOURCE = "files"
"""`Protocol.streams` of a protocol that takes no set and watches for files."""


@dataclass(frozen=True)
class Outputs:
    """What a run returns; subclasses are frozen dataclasses whose fields are annotated with kinds (``ctfs: CTFs``)."""

    def named(self) -> dict[str, Any]:
        """Return the outputs by name; those that are None were not made."""
        return {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) is not None}

    @classmethod
    def of_named(cls, made: Mapping[str, Any]) -> Self:
        """Return what a finished run returned, from its outputs by name; those that were not made are None."""
        return cls(**{field.name: made.get(field.name) for field in fields(cls)})

    @classmethod
    def declared(cls, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the names that a run with these parameters may give outputs, with the annotation of each."""
        hints = get_type_hints(cls)
        return {field.name: hints[field.name] for field in fields(cls)}


class Panel(BaseModel):
    """One picture or table of a report, as data; ``report/panels`` holds the kinds."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def html(self) -> str:
        """Return the panel drawn as an HTML fragment that needs nothing from outside."""
        raise NotImplementedError(f"{type(self).__name__}.html")


class Protocol(BaseModel):
    """Base of all protocols. Subclass with ``class CTFEstimate(Protocol, id="ctf.estimate", outputs=Estimated)``.

    Attributes
    ----------
    id
        The protocol's name everywhere; its file is ``protocols/<id with slashes>.py``.
    version
        Raised when the same parameters would give other results; part of a run's identity.
    outputs
        The dataclass that `run` returns.
    cite
        DOIs of the method's papers.
    aliases
        Class names of the same step in Scipion.
    streams
        The input whose rows are worked off one by one, or `SOURCE` for a protocol that watches for files: such a run begins with what
        there is of its inputs and goes on as more comes. Empty: it takes whole sets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True)

    id: ClassVar[str]
    version: ClassVar[int]
    outputs: ClassVar[type[Outputs]]
    cite: ClassVar[tuple[str, ...]]
    aliases: ClassVar[tuple[str, ...]]
    streams: ClassVar[str]

    def __init_subclass__(
        cls,
        *,
        id: str,
        outputs: type[Outputs],
        version: int = 1,
        cite: tuple[str, ...] = (),
        aliases: tuple[str, ...] = (),
        streams: str = "",
        **kwargs: Any,
    ) -> None:
        """Take the declaration's class keywords."""
        super().__init_subclass__(**kwargs)
        cls.id, cls.version, cls.outputs, cls.cite, cls.aliases, cls.streams = id, version, outputs, cite, aliases, streams

    @classmethod
    def inputs(cls) -> dict[str, FieldInfo]:
        """Return the fields declared with `Input`."""
        return {name: field for name, field in cls.model_fields.items() if extra_of(field).get("input")}

    @classmethod
    def parameters(cls) -> dict[str, FieldInfo]:
        """Return the fields declared with `Param`."""
        return {name: field for name, field in cls.model_fields.items() if not extra_of(field).get("input")}

    @classmethod
    def gives(cls, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the outputs that a run may have, name to annotation; `parameters` are laid over the default ones."""
        defaults = {name: field.default for name, field in cls.parameters().items()}
        return cls.outputs.declared(defaults | dict(parameters or {}))

    def parameter_values(self) -> dict[str, Any]:
        """Return the parameters as plain JSON values, defaults included."""
        return self.model_dump(mode="json", include=set(self.parameters()))

    def check(self) -> Iterator[Hint]:
        """Yield what is wrong with parameters and inputs taken together, before anything is queued."""
        yield from ()

    def fingerprint(self) -> Any:
        """Return JSON naming the content outside the project that the result depends on (files to import); part of the identity."""
        return None

    def expects_more(self, quiet: float) -> bool:
        """Return whether more may come from outside the project, nothing new having come for `quiet` seconds (∞: no more is wanted)."""
        return False

    def alone(self) -> Self:
        """Return the protocol without its inputs, for maps whose rows carry all that an item needs.

        A function of parameters only: an item's result is kept when other rows of the inputs change.
        """
        return self.model_copy(update=dict.fromkeys(self.inputs()))

    def preview(self) -> Mapping[str, int | float | str]:
        """Return what the run would give or find, label to value, where it can be told in moments; nothing otherwise. Wizards show it."""
        return {}

    def automatic(self) -> Mapping[str, Any]:
        """Return what parameters that are left empty stand for with these inputs, by name, where it can be told in moments; forms show it."""
        return {}

    @classmethod
    def absent(cls) -> Mapping[str, Mapping[str, str]]:
        """Return the choices that this machine cannot offer, each with the reason, by parameter; forms do not let them be chosen."""
        return {}

    def run(self, job: Job) -> Outputs:
        """Do the work."""
        raise NotImplementedError(f"{type(self).__name__}.run")

    def summary(self, out: Any) -> Mapping[str, Any]:
        """Return the headline numbers of a finished run, label to value, in reading order."""
        return {}

    def methods(self, out: Any) -> str:
        """Return what a paper's methods section says of a finished run: a sentence or two with the values used and the figures found.

        The papers of `cite` are named at the end of the first sentence.
        """
        return ""

    def report(self, out: Any) -> list[Panel]:
        """Return the panels of "Analyze results"."""
        return []
