"""Weights are arrays and nothing else; those that are shipped are the ones that the model card describes."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from blake3 import blake3

from cryoloom.numerics.learn.detector import Detector
from cryoloom.numerics.learn.weights import read_weights, shipped_weights, write_weights

CARD = Path(__file__).parents[3] / "docs/models/pick-deep.md"


def test_shipped_weights_are_small_plain_and_described():
    path = shipped_weights("pick-deep")
    assert path.stat().st_size < 3e6
    assert blake3(path.read_bytes()).hexdigest() in CARD.read_text()
    with np.load(path, allow_pickle=False) as stored:
        assert {str(stored[name].dtype) for name in stored.files} == {"float16", "float32"}
    network = Detector()
    read_weights(network, path)
    assert all(torch.isfinite(values).all() for values in network.state_dict().values())
    assert network.calibration.tolist() != [1.0, 0.0]


def test_what_is_written_is_read(tmp_path):
    torch.manual_seed(1)
    one, two = Detector(), Detector()
    write_weights(one, tmp_path / "w.npz")
    read_weights(two, tmp_path / "w.npz")
    assert all(
        torch.allclose(mine, theirs, rtol=1e-3, atol=1e-6)
        for mine, theirs in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("what", ["pickle", "text", "one array", "other names", "other shapes", "no number"])
def test_anything_else_is_refused(what, tmp_path):
    path = tmp_path / "w.npz"
    write_weights(Detector(), path)
    with np.load(path) as stored:
        arrays = dict(stored)
    first = next(iter(arrays))
    if what == "pickle":
        np.savez(path, **{**arrays, first: np.array([print], dtype=object)})
    elif what == "text":
        path.write_text("weights")
    elif what == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif what == "other names":
        np.savez(path, **{f"x{name}": values for name, values in arrays.items()})
    elif what == "other shapes":
        np.savez(path, **{**arrays, first: arrays[first][:1]})
    else:
        np.savez(path, **{**arrays, first: np.full_like(arrays[first], np.nan)})
    with pytest.raises(ValueError, match="weights"):
        read_weights(Detector(), io.BytesIO(path.read_bytes()))
