"""A state comes back from its checkpoint with the same bits and the same types."""

from pathlib import Path

import numpy as np
import pytest

from cryoloom.engine.checkpoint import Checkpoints, normal


def state() -> dict[str, object]:
    return {
        "map": np.asfortranarray(np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)),
        "spectrum": np.array([1 + 2j, np.nan], np.complex64),
        "resolution": np.float32(7.1),
        "half": (1, 2),
        "done": False,
        "history": [0.1, float("inf")],
        "name": "Å",
        "empty": np.zeros((0, 3)),
        "nothing": None,
    }


def test_round_trip_equals_the_normal_form_in_values_types_and_layout(tmp_path: Path) -> None:
    kept = normal(state())
    Checkpoints(tmp_path / "c").save(3, kept)
    found = Checkpoints(tmp_path / "c").last()
    assert found is not None
    number, back = found
    assert number == 3 and list(back) == list(kept)
    for name, value in kept.items():
        assert type(back[name]) is type(value), name
        if isinstance(value, np.ndarray):
            assert back[name].dtype == value.dtype and back[name].flags.c_contiguous and value.flags.c_contiguous
            np.testing.assert_array_equal(back[name], value)
        else:
            assert back[name] == value
    assert kept["resolution"] == np.float32(7.1) and kept["resolution"].shape == ()
    assert normal(back).keys() == back.keys()


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), b"bytes"])
def test_what_cannot_be_kept_is_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match="'odd'"):
        normal({"odd": value})


def test_the_last_two_are_kept_and_a_broken_last_one_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.last() is None
    for number in range(1, 6):
        checkpoints.save(number, {"k": number})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000004.npz", "000005.npz"]
    data = (tmp_path / "000005.npz").read_bytes()
    (tmp_path / "000005.npz").write_bytes(data[: len(data) // 2])
    assert checkpoints.last() == (4, {"k": 4})
    (tmp_path / "000004.npz").write_bytes(b"")
    assert checkpoints.last() is None
