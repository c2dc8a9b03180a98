"""What makes two runs the same work, and what makes them different."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from cryoloom.files import canonical


@dataclass(frozen=True)
class Work:
    """All that a result depends on.

    Attributes
    ----------
    protocol, version
        The kind of step.
    parameters
        All of them, defaults included, as JSON.
    inputs
        Input name to content hashes, one for each set.
    seed
        Of everything random.
    fingerprint
        Content outside the project, as `Protocol.fingerprint` names it.
    """

    protocol: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, list[str]] = field(default_factory=dict)
    seed: int = 0
    fingerprint: Any = None

    @property
    def identity(self) -> str:
        """Return the BLAKE3 of the canonical JSON text of this."""
        return blake3(canonical(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "protocol": self.protocol,
            "version": self.version,
            "parameters": dict(self.parameters),
            "inputs": {name: list(hashes) for name, hashes in self.inputs.items()},
            "seed": self.seed,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Work":
        """Read what `to_json` wrote."""
        return cls(**record)


def differences(new: Work, old: Work) -> list[str]:
    """Return in words what sets `new` apart from `old`, an earlier run of the same protocol."""
    found = []
    if new.version != old.version:
        found.append(f"the method's version is {new.version}, was {old.version}")
    for name in sorted({*new.parameters, *old.parameters}):
        value, before = new.parameters.get(name), old.parameters.get(name)
        if value != before:
            found.append(f"{name} is {_shown(value)}, was {_shown(before)}")
    for name in sorted({*new.inputs, *old.inputs}):
        if new.inputs.get(name) != old.inputs.get(name):
            found.append(f"input {name} has other content")
    if new.seed != old.seed:
        found.append(f"seed is {new.seed}, was {old.seed}")
    if new.fingerprint != old.fingerprint:
        found.append("the files read from outside the project have changed")
    return found


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)


def nearest(work: Work, others: Iterable[tuple[str, Work]]) -> tuple[str, list[str]] | None:
    """Return the run of the same protocol with the fewest differences, the latest among equals, and the differences."""
    rated = [(run, differences(work, other)) for run, other in others if other.protocol == work.protocol]
    return min(reversed(rated), key=lambda each: len(each[1]), default=None)


def explain(work: Work, others: Iterable[tuple[str, Work]]) -> str:
    """Return one sentence saying why `work` has to be computed, or that it has been."""
    found = nearest(work, others)
    if found is None:
        return f"first run of {work.protocol} in this project"
    run, changed = found
    return f"other than {run}: {'; '.join(changed)}" if changed else f"same as {run}"
