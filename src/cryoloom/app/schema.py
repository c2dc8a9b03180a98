"""A protocol as JSON Schema: what forms, the command line's help and other programs are drawn from."""

from typing import Any

from pydantic.fields import FieldInfo

from cryoloom.app.forms import kinds_of, unit_of
from cryoloom.spec import Protocol
from cryoloom.spec.param import extra_of


def schema_of(protocol: type[Protocol]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a protocol's parameters and inputs.

    Beside the standard words: ``x-label``, ``x-unit``, ``x-group``, ``x-advanced``, ``x-wizard``, ``x-when``, ``x-aliases`` of a parameter;
    ``x-input``, ``x-kinds``, ``x-many``, ``x-columns``, ``x-aliases`` of an input; ``x-protocol``, ``x-version``, ``x-cite``, ``x-outputs`` of the whole.
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, field in protocol.model_fields.items():
        properties[name] = _input(field) if extra_of(field).get("input") else _parameter(field)
        if field.is_required():
            required.append(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": protocol.id,
        "description": " ".join((protocol.__doc__ or "").split()),
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
        "x-protocol": protocol.id,
        "x-version": protocol.version,
        "x-cite": list(protocol.cite),
        "x-aliases": list(protocol.aliases),
        "x-outputs": dict(_outputs(protocol)),
    }


def _input(field: FieldInfo) -> dict[str, Any]:
    extra = extra_of(field)
    return {
        "type": "array" if extra.get("many") else "string",
        "description": field.description,
        "x-label": extra["label"],
        "x-input": True,
        "x-kinds": [kind.kind for kind in kinds_of(field)],
        "x-many": bool(extra.get("many")),
        "x-columns": list(extra.get("columns", ())),
        "x-aliases": list(extra.get("aliases", ())),
    }


def _parameter(field: FieldInfo) -> dict[str, Any]:
    from pydantic import TypeAdapter

    extra = extra_of(field)
    schema = TypeAdapter[Any](field.annotation).json_schema()  # pyright: ignore[reportArgumentType] (an annotation is a type form)
    for constraint in field.metadata:
        for key, word in (
            ("ge", "minimum"),
            ("gt", "exclusiveMinimum"),
            ("le", "maximum"),
            ("lt", "exclusiveMaximum"),
            ("multiple_of", "multipleOf"),
        ):
            value = getattr(constraint, key, None)
            if value is not None:
                schema[word] = value
    if not field.is_required():
        schema["default"] = field.get_default(call_default_factory=True)
    described = {"x-label": extra["label"], "x-unit": unit_of(field), "x-aliases": list(extra.get("aliases", ()))}
    described |= {f"x-{key}": extra[key] for key in ("group", "advanced", "wizard", "when") if extra.get(key)}
    return {**schema, "description": field.description, **described}


def _outputs(protocol: type[Protocol]) -> list[tuple[str, str]]:
    return [(name, " or ".join(kind.kind for kind in kinds_of(FieldInfo(annotation=hint)))) for name, hint in protocol.gives().items()]
