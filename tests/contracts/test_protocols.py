"""Every protocol keeps the house rules; a new file is greeted by name."""

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_origin

import pytest

import cryoloom
from cryoloom.app.catalogue import entries
from cryoloom.data import COLUMNS
from cryoloom.spec.param import extra_of
from cryoloom.tables import Dataset

ENTRIES = entries()
PROTOCOLS = [entry.protocol for entry in ENTRIES if entry.protocol]
SOURCE = Path(cryoloom.__file__).parent


@pytest.fixture(params=PROTOCOLS, ids=lambda protocol: protocol.id)
def protocol(request):
    return request.param


def test_no_protocol_is_broken():
    assert [(entry.id, entry.error) for entry in ENTRIES if entry.error] == []


def test_the_path_is_the_id(protocol):
    family, verb = protocol.id.split(".")
    folder = family + "_" if family == "import" else family
    assert Path(inspect.getfile(protocol)) == SOURCE / "protocols" / folder / f"{verb}.py"


def test_every_field_has_a_label_and_a_help_that_ends_in_a_sentence(protocol):
    assert protocol.__doc__
    for name, field in protocol.model_fields.items():
        assert extra_of(field).get("label"), f"{protocol.id}.{name} has no label"
        assert field.description and field.description.strip().endswith((".", "?")), f"{protocol.id}.{name}: help must be a sentence"


def test_inputs_and_outputs_are_kinds(protocol):
    for name, field in protocol.inputs().items():
        kinds = [part for part in _parts(field.annotation) if part not in (type(None), ...)]
        assert all(issubclass(kind, Dataset) for kind in kinds), f"{protocol.id}.{name}"
    assert fields(protocol.outputs), f"{protocol.id} gives nothing"


def test_aliases_do_not_collide(protocol):
    names = [name for field_name, field in protocol.model_fields.items() for name in (field_name, *extra_of(field).get("aliases", []))]
    assert len(names) == len(set(names)), f"{protocol.id}: {sorted(names)}"


def test_no_file_is_long():
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, f"{path} is too long: split it by reason to exist"


def test_no_name_says_nothing():
    for path in SOURCE.rglob("*.py"):
        assert path.stem not in {"utils", "util", "common", "helpers", "helper", "misc", "manager", "base"}, path


def test_columns_have_one_meaning():
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "listing", ["from cryoloom.app.catalogue import entries as every", "from cryoloom.formats.exchange import formats as every"]
)
def test_protocols_and_formats_are_listed_without_torch(listing):
    program = f"import sys; {listing}; assert every(); print('torch' in sys.modules, 'numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["False", "False"]


def _parts(annotation):
    return [part for inner in get_args(annotation) for part in _parts(inner)] if get_origin(annotation) else [annotation]
