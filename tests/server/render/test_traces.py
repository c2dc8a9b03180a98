"""Traces of atomic models in the frame of a map."""

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from planted import publish

from cryoloom.data import AtomicModel, Residues
from cryoloom.formats.atomic_model import traced_model
from cryoloom.server.app import make_app

CHAIN = np.array([[10.0, 0.0, 0.0], [13.8, 0.0, 0.0], [33.0, 0.0, 0.0], [36.8, 0.0, 0.0]])


@pytest.fixture
def model(project):
    """Return a model of two chains with a gap in the first, and what its residues are worth."""
    (project.root / "data").mkdir(exist_ok=True)
    places, chains = np.concatenate([CHAIN, CHAIN[:2] + 5.0]), np.array([0, 0, 0, 0, 1, 1])
    traced_model(places, chains, np.full(6, 30.0)).write(project.root / "data" / "model.cif")
    rows = {"id": [1], "model_path": ["data/model.cif"], "atoms": [6], "residues": [6], "chains": [2]}
    worth = [0.9, 0.8, float("nan"), 0.7, 0.6, -0.1]
    residues = {
        "id": range(1, 7), "chain": list("AAAABB"), "residue_number": list("123412"), "residue_name": ["ALA"] * 6, "residue_correlation": worth,
    }  # fmt: skip
    beside = {"residues": Residues(pl.DataFrame({name: list(values) for name, values in residues.items()}), project.root)}
    return publish(project, AtomicModel(pl.DataFrame(rows), project.root), "model.fit", name="model", beside=beside)


def test_a_trace_is_told_with_its_links_and_what_it_is_worth(get, volume, model):
    told = get(volume, "trace", model=str(model)).json()
    assert np.array(told["points"]).reshape(-1, 3)[:4] == pytest.approx(CHAIN)
    assert told["links"] == [0, 1, 2, 3, 4, 5]
    assert told["values"] == [0.9, 0.8, None, 0.7, 0.6, -0.1]


def test_models_are_listed_and_nothing_else_is_one(get, project, volume, model):
    assert TestClient(make_app(project.root)).get(f"/api/projects/{project.root.name}/atomic-models").json() == [
        {"output": str(model), "label": "model.fit"}
    ]
    refused = get(volume, "trace", model=str(volume))
    assert refused.status_code in (400, 422) and "not an atomic model" in refused.text
