"""Weights of networks as plain arrays: ``.npz`` of float16 and float32, read without executing anything that is in it."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zipfile import BadZipFile

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

SHIPPED = "cryoloom.numerics.learn"
"""Where the weights that come with cryoloom lie."""


def shipped_weights(name: str) -> Path:
    """Return the path of the weights ``name``.npz that come with cryoloom."""
    return Path(str(files(SHIPPED).joinpath("models", f"{name}.npz")))


def read_weights(network: "nn.Module", source: Path | BinaryIO) -> None:
    """Put the arrays of `source` into `network`.

    Raises
    ------
    ValueError
        If they are not arrays, or not those of this network.
    """
    import torch  # here, for whoever wants to know no more than where weights lie

    try:
        stored = np.load(source, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise ValueError("one array")
        with stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile) as problem:
        raise ValueError(f"no file of weights: {problem}") from problem
    wanted = _state(network)
    if set(arrays) != set(wanted):
        odd = sorted(set(arrays) ^ set(wanted))
        raise ValueError(f"the weights are those of another network: {odd[0]} and {len(odd) - 1} more arrays do not match")
    for name, values in arrays.items():
        if values.shape != tuple(wanted[name].shape) or values.dtype.kind != "f":
            raise ValueError(f"the weights are those of another network: {name} is {values.dtype} {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"the weights are damaged: {name} holds what is no number")
    network.load_state_dict({name: torch.from_numpy(values.astype(np.float32)) for name, values in arrays.items()}, strict=False)


def write_weights(network: "nn.Module", path: Path) -> None:
    """Write the arrays of `network`: kernels as float16, all others as float32."""
    state = {name: values.detach().cpu().numpy() for name, values in _state(network).items()}
    np.savez_compressed(path, **{name: values.astype(np.float16 if values.ndim == 4 else np.float32) for name, values in state.items()})


def _state(network: "nn.Module") -> dict[str, "Tensor"]:
    """Everything that decides what `network` answers; how many batches it has seen does not."""
    return {name: values for name, values in network.state_dict().items() if not name.endswith("num_batches_tracked")}
