"""Objects of a Scipion workflow as nodes of ours: class, parameters, inputs, each by the tables and the protocols' own aliases."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from cryoloom.importers.scipion.pointers import Pointer, pointers
from cryoloom.importers.scipion.tables import CLASSES, INPUTS, INSTEAD, LEFT, LIKE, MANAGEMENT, OFFERS, PARAMETERS, SKIP, is_on
from cryoloom.spec import Protocol
from cryoloom.spec.param import extra_of
from cryoloom.spec.workflow import Node, Origin, Value

Find = Callable[[str], type[Protocol] | None]

HEAD = ("object.className", "object.id", "object.label", "object.comment")


@dataclass
class Step:
    """One object while it is converted."""

    record: dict[str, Any]
    protocol: type[Protocol] | None
    pointers: dict[str, list[Pointer]]
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str | list[str]] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """Return its id."""
        return str(self.record["object.id"])

    @property
    def kind(self) -> str:
        """Return its class."""
        return self.record["object.className"]

    def has(self, name: str) -> bool:
        """Return whether our protocol has a parameter or input of that name."""
        return self.protocol is not None and name in self.protocol.model_fields

    def number(self, name: str) -> float | None:
        """Return a parameter as a number, None if it is none; mark it as used."""
        value = self.record.get(name)
        self.used.add(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = float(value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None


class Conversion:
    """All objects of a file."""

    def __init__(self, records: list[dict[str, Any]], find: Find, source: str) -> None:
        self.source = source
        self.ids = {str(record["object.id"]) for record in records}
        self.steps: dict[str, Step] = {}
        self.edges = self.outside = 0
        for record in records:
            protocol = _protocol(record, find)
            step = Step(
                record, protocol, {name: found for name, value in record.items() if (found := self._pointers(name, value, protocol))}
            )
            self.steps[step.id] = step
            for each in step.pointers.values():
                self.edges += len(each)
                self.outside += sum(pointer.run not in self.ids for pointer in each)

    def _pointers(self, name: str, value: Any, protocol: type[Protocol] | None) -> list[Pointer]:
        if name in HEAD or (name in MANAGEMENT and name != "_prerequisites"):
            return []
        declared = protocol is not None and _input(name, protocol) is not None
        return pointers(name, value, self.ids, declared=declared)

    def nodes(self, finish: "Callable[[Step, Conversion], None]") -> list[Node]:
        """Return the nodes in the order of the file; `finish` completes those whose form does not go over field by field."""
        for step in self.steps.values():
            if step.protocol:
                self._parameters(step)
        for step in self.steps.values():
            if step.protocol:
                self._inputs(step)
                finish(step, self)
        return [self._node(step, position) for position, step in enumerate(self.steps.values())]

    # -- parameters ---------------------------------------------------------------------------------------------

    def _parameters(self, step: Step) -> None:
        assert step.protocol
        names = _aliases(step.protocol)
        for name, value in step.record.items():
            if name in HEAD or name in MANAGEMENT or name in LEFT.get(step.kind, ()):
                continue
            ours, convert = PARAMETERS.get(name, ("", None))
            ours = ours if step.has(ours) else names.get(name, "")
            if not ours or ours not in step.protocol.parameters():
                continue
            step.used.add(name)
            if name in step.pointers:
                step.needs[ours] = f"is bound to {value} of the old project"
            elif value is not None:
                self._convert(step, name, ours, value, convert)

    @staticmethod
    def _convert(step: Step, name: str, ours: str, value: Any, convert: Any) -> None:
        try:
            converted = convert(value) if convert else value
        except (ValueError, TypeError):
            step.needs[ours] = f"was {value!r} ({name}), which means nothing here"
            return
        if converted is not SKIP:
            step.parameters[ours] = converted

    # -- inputs -------------------------------------------------------------------------------------------------

    def _inputs(self, step: Step) -> None:
        assert step.protocol
        together: dict[str, list[Pointer]] = {}
        for name, found in step.pointers.items():
            ours = _input(name, step.protocol)
            if ours and (ours not in together or extra_of(step.protocol.model_fields[ours]).get("many")):
                together.setdefault(ours, []).extend(found)
        for ours, found in together.items():
            self.connect(step, ours, found)

    def connect(self, step: Step, ours: str, found: list[Pointer]) -> None:
        """Make pointers an input of a step."""
        assert step.protocol
        wanted = tuple(_kinds(step.protocol.model_fields[ours].annotation))
        sources = [self.source_of(pointer, wanted) for pointer in found]
        several = bool(extra_of(step.protocol.model_fields[ours]).get("many"))
        if len(sources) > 1 and not several:
            step.needs[ours] = f"takes one set; the old run took {', '.join(sources)}"
            return
        step.inputs[ours] = sources if several else sources[0]
        item = found[0].item
        if item and step.has(f"{ours}_class") and item.isdecimal():
            step.parameters[f"{ours}_class"] = int(item)
        elif item:
            step.needs[ours] = f"is to be item {item} of {sources[0]}; select it first"

    def source_of(self, pointer: Pointer, wanted: tuple[type, ...]) -> str:
        """Return ``NODE.OUTPUT``, the output under our name if the node has a protocol here."""
        step = self.steps.get(pointer.run)
        if step is None or step.protocol is None:
            return f"{pointer.run}.{pointer.output}".rstrip(".")
        outputs = {name: tuple(_kinds(annotation)) for name, annotation in _gives(step).items()}
        fitting = [name for name, kinds in outputs.items() if not wanted or any(issubclass(kind, wanted) for kind in kinds)]
        if pointer.item and "classes" in fitting:
            return f"{pointer.run}.classes"  # one of several maps is one of the classes here
        number = _stem_and_number(pointer.output)[1]
        split = {name: _stem_and_number(name) for name in fitting or outputs}
        for told in self._said_of_kind(pointer, step):
            near = [name for name, (stem, own) in split.items() if stem.rstrip("s_") in told and own in (0, number)]
            if near:
                return f"{pointer.run}.{near[0]}"
        return f"{pointer.run}.{(fitting or list(outputs))[0]}"

    def _said_of_kind(self, pointer: Pointer, step: Step) -> Iterator[str]:
        """Yield the names that may tell the kind of an output: its own, and what a step that keeps the kind of its sets took."""
        seen: set[str] = set()
        while True:
            yield _said(pointer.output)
            yield _said(str(step.record.get("outputClassName") or ""))
            seen.add(step.id)
            taken = [found for name, found in step.pointers.items() if step.protocol and _input(name, step.protocol) == "items"]
            if not taken or taken[0][0].run not in self.steps.keys() - seen:
                return
            pointer = taken[0][0]
            step = self.steps[pointer.run]

    # -- what lies above a step ---------------------------------------------------------------------------------

    def above(self, step: Step) -> Iterator[Step]:
        """Yield a step and, one after the other, those that its first images come from."""
        seen: set[str] = set()
        here: Step | None = step
        while here is not None and here.id not in seen:
            seen.add(here.id)
            yield here
            names = ("inputMovies", "inputMicrographs", "inputMics", "inputCoordinates", "inputParticles", "inputClasses", "inputImages")
            names = (*names, *(name for name in here.pointers if name != "_prerequisites"))
            first = next((here.pointers[name][0] for name in names if name in here.pointers), None)
            here = self.steps.get(first.run) if first else None

    def pixel_size(self, step: Step) -> float | None:
        """Return Å per pixel of what a step takes or, of an import, gives: recorded size times every binning on the way."""
        factor = 1.0
        for each in self.above(step):
            if each.protocol and each.protocol.id.startswith("import.") and "pixel_size" in each.parameters:
                return float(each.parameters["pixel_size"]) * factor
            if each is not step and each.parameters.get("resize") == "sampling-rate" and "pixel_size" in each.parameters:
                return float(each.parameters["pixel_size"]) * factor
            if each is not step:
                factor *= _binning(each)
        return None

    def extent(self, step: Step) -> float | None:
        """Return the side in Å of the boxes that a step takes."""
        for each in self.above(step):
            if each.protocol and each.protocol.id == "particles.extract" and "box_size" in each.parameters:
                pixel_size = self.pixel_size(each)
                unit = each.parameters.get("box_unit", "output-px")
                factor = float(each.parameters.get("bin", 1)) if unit == "output-px" else 1.0
                return pixel_size and float(each.parameters["box_size"]) * factor * (1.0 if unit == "angstrom" else pixel_size)
        return None

    # -- result -------------------------------------------------------------------------------------------------

    def _node(self, step: Step, position: int) -> Node:
        record = step.record
        if step.protocol:
            name, parameters, inputs = step.protocol.id, step.parameters, step.inputs
        else:
            name = f"scipion:{step.kind}"
            taken = {*step.pointers, *HEAD}
            parameters = {each: value for each, value in record.items() if each not in taken}
            inputs = {each: self._kept(record[each], found) for each, found in step.pointers.items()}
            step.needs[""] = _offer(step.kind)
        return Node(
            id=step.id,
            protocol=name,
            label=str(record.get("object.label") or ""),
            note=str(record.get("object.comment") or "").strip(),
            parameters={each: Value(value=value) for each, value in parameters.items()},
            inputs=inputs,
            needs=step.needs,
            origin=Origin(program="scipion", name=step.kind, record=record, position=position, source=self.source),
        )

    def _kept(self, value: Any, found: list[Pointer]) -> str | list[str]:
        names = [self.source_of(each, ()) if each.output else each.run for each in found]
        return names if isinstance(value, list) or len(names) != 1 else names[0]

    def counts(self) -> dict[str, int]:
        """Return how much was found and what became of it."""
        known = [step for step in self.steps.values() if step.protocol]
        converted = kept = unknown = 0
        for step in self.steps.values():
            names = [name for name in step.record if name not in HEAD and name not in step.pointers]
            bound = [name for name in step.pointers if name in step.used]
            mine = sum(name in step.used for name in names) + len(bound)
            aside = sum(name not in step.used and (name in MANAGEMENT or not step.protocol) for name in names)
            converted, kept, unknown = converted + mine, kept + aside, unknown + len(names) + len(bound) - mine - aside
        return {
            "nodes": len(self.steps),
            "nodes with a protocol here": len(known),
            "placeholders": len(self.steps) - len(known),
            "nodes with a protocol that need you": sum(bool(step.needs) for step in known),
            "parameters converted": converted,
            "parameters kept without effect": kept,
            "parameters unknown here, kept": unknown,
            "edges": self.edges,
            "edges that lead out of the file": self.outside,
        }


def _protocol(record: dict[str, Any], find: Find) -> type[Protocol] | None:
    name = record["object.className"]
    switch, other = INSTEAD.get(name, ("", ""))
    if is_on(record.get(switch)):
        return find(other)
    if name in CLASSES:
        return find(CLASSES[name])
    protocol = find(name)
    return protocol if protocol and name in protocol.aliases else None


def _offer(name: str) -> str:
    wanted = CLASSES.get(name, "")
    instead = LIKE.get(wanted) or OFFERS.get(name)
    what = f"{wanted} stands for {name} and is not in this version" if wanted else f"nothing here does {name} yet"
    return f"{what}; it is kept as it is and never run" + (f"; {instead} may replace it" if instead else "")


def _aliases(protocol: type[Protocol]) -> dict[str, str]:
    """Return the names that a protocol's parameters and inputs have elsewhere, exactly as written there, and their own."""
    found = {name: name for name in protocol.model_fields}
    for name, told in protocol.model_fields.items():
        for alias in extra_of(told).get("aliases", ()):
            found.setdefault(alias, name)
    return found


def _input(name: str, protocol: type[Protocol]) -> str | None:
    """Return which input of ours a pointer parameter is."""
    inputs = protocol.inputs()
    told = next((each for each, field in inputs.items() if name in extra_of(field).get("aliases", ())), "")
    if told or INPUTS.get(name, "") in inputs:
        return told or INPUTS[name]
    bare = name.removeprefix("input")
    return next((each for each in inputs if each.replace("_", "") == bare.lower()), None) if bare else None


def _kinds(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        if annotation is not type(None):
            yield annotation
    else:
        for part in get_args(annotation):
            yield from _kinds(part)


def _gives(step: Step) -> dict[str, Any]:
    assert step.protocol
    try:
        return step.protocol.gives(step.parameters)
    except (TypeError, ValueError):  # a value that means nothing; it is told of when the run is made
        return step.protocol.gives()


def _stem_and_number(name: str) -> tuple[str, int]:
    """Return the name of an output without the number at its end, and that number, 0 where there is none."""
    stem = name.rstrip("0123456789")
    return stem.lower(), int(name[len(stem) :] or 0)


def _said(name: str) -> str:
    """Return what the name of an output says of its kind; averages and maps of classes are with the classes here."""
    stem = _stem_and_number(name)[0]
    return "classes" if stem.endswith(("averages", "representatives")) else stem


def _binning(step: Step) -> float:
    """Return the factor by which a step makes images smaller."""
    name = step.protocol.id if step.protocol else ""
    if name.startswith("motion."):
        value = step.parameters.get("bin_factor")
    elif name == "particles.extract":
        value = step.parameters.get("bin")
        if step.parameters.get("resize") == "dimension" and "box_size" in step.parameters:
            value = float(step.parameters["box_size"]) / float(step.parameters.get("scaled_size") or step.parameters["box_size"])
    else:
        value = step.number("downFactor") if step.record.get("doDownsample", True) is not False else None
    return max(1.0, float(value or 1.0))


def joined(folder: Any, pattern: Any) -> str:
    """Return the path of two fields of a form, either of which may be empty."""
    return os.path.join(str(folder or ""), str(pattern or "")).rstrip("/") if pattern else str(folder or "")
