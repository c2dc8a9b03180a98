"""Everything the server declares, asked with what its schema allows and with what it does not: it never breaks, and answers as it says."""

import json
import os
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from benchmarks.server_load import NAME, make_project
from cryoloom.app.runs import Run
from cryoloom.server.app import make_app

schemathesis = pytest.importorskip("schemathesis", reason="the package schemathesis, which makes the requests, is absent")
from hypothesis import HealthCheck, given, settings  # noqa: E402 (comes with it)
from hypothesis.strategies import booleans  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance  # noqa: E402

EXAMPLES = int(os.environ.get("CRYOLOOM_FUZZ", "6"))
"""Requests of each kind to each address, the same at every run; more take longer and find more."""
KNOWN = {
    "project": NAME,
    "run": "r003",
    "output": "r001.micrographs",
    "protocol": "ctf.estimate",
    "other": "r004",
    "id": 1,
    "restored": "r004",
}
"""What half of the requests have in their addresses, for without it nothing would be found to work on."""
WITHOUT_END = ("/api/projects/{project}/events", "/api/projects/demo")
OPERATIONS = {
    operation.label: operation
    for operation in (each.ok() for each in schemathesis.openapi.from_dict(make_app(Path("/nowhere")).openapi()).get_all_operations())
    if operation.path not in WITHOUT_END
}


def modes(operation):
    """Return whether to ask with what the schema allows, and with what it does not, where there is such a thing."""
    definition = operation.definition.raw
    typed = [each for each in definition.get("parameters", ()) if each["in"] == "query" or each["schema"].get("type") != "string"]
    positive, negative = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    return (positive, negative) if typed or "requestBody" in definition else (positive,)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pattern")
    make_project(folder, 6, side=64)
    return folder


@pytest.fixture
def client(pattern, tmp_path, monkeypatch):
    """Return a client of a server of a project of its own, whose runs are never really started."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Run, "start", lambda run, **_: run)
    shutil.copytree(pattern, tmp_path / "projects")
    with TestClient(make_app(tmp_path / "projects"), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_request_has_the_answer_it_should(client, label):
    operation = OPERATIONS[label]
    for mode in modes(operation):

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode), known=booleans())
        def asked(case, known):
            if known:
                case.path_parameters = {name: KNOWN.get(name, value) for name, value in case.path_parameters.items()}
                if isinstance(case.body, dict) and "protocol" in case.body:
                    case.body["protocol"] = "ctf.estimate"
            wanted = case.as_transport_kwargs(base_url="http://testserver")
            wanted["content"] = wanted.pop("data", None)
            answer = client.request(**{name: value for name, value in wanted.items() if value is not None})
            case.validate_response(answer, checks=[not_a_server_error, content_type_conformance, response_schema_conformance])
            if answer.status_code >= 400:
                told = json.loads(answer.content)["error"]
                assert told["code"].startswith("CL-") and isinstance(told["message"], str) and isinstance(told["cure"], str)

        asked()
