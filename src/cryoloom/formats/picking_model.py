"""Models of learned picking: arrays in NumPy's own archive, what they are for as JSON in it; nothing in it can run."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoloom.files import make_folder, replacing
from cryoloom.formats.exchange import Format
from cryoloom.spec import Failure
from cryoloom.tables import Dataset

if TYPE_CHECKING:
    from cryoloom.numerics.picking.learned import Examples, Model

NAME = "picking_model.npz"
VERSION = 1
_ABOUT = "about"


@dataclass(frozen=True)
class StoredModel:
    """A model, and what is said of it.

    Attributes
    ----------
    about
        ``diameter`` (Å), ``pixel_size`` and ``box_size`` of the micrographs it was learned on, ``bright``, ``autopick_percent`` and so on.
    """

    model: "Model"
    about: Mapping[str, Any]


def write_model(path: Path, stored: StoredModel) -> None:
    """Write a model."""
    import numpy as np

    model = stored.model
    bases, machine = model.bases, model.machine
    arrays: dict[str, Any] = {
        **{f"mean_{number}": mean for number, mean in enumerate(bases.means)},
        **{f"components_{number}": base for number, base in enumerate(bases.components)},
        "average": bases.average, "orders": bases.orders, "profiles": bases.profiles,
        "centre": machine.centre, "spread": machine.spread, "vectors": machine.vectors, "weights": machine.weights,
        "left_out": machine.left_out, "positive": model.positive, "share": model.share,
    }  # fmt: skip
    numbers = {name: getattr(machine, name) for name in ("bias", "gamma", "penalty", "slope", "offset")}
    about = {**stored.about, "version": VERSION, "grain": model.grain.size, "diameter": model.grain.diameter, "machine": numbers}
    arrays[_ABOUT] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    with replacing(path) as handle:
        np.savez(handle, **arrays)


def model_file(path: Path) -> Path:
    """Return the file of a model, or of the one in a folder."""
    return path / NAME if path.is_dir() else path


def read_model(path: Path) -> StoredModel:
    """Read a model, or the one in a folder.

    Raises
    ------
    Failure
        ``no-model``: there is none. ``bad-model``: the file is none, or of a later version.
    """
    file = model_file(path)
    if not file.is_file():
        raise Failure("no-model", f"{path}: there is no picking model.", f"Give a file {NAME}, or the folder that holds it.")
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _read(file: Path, changed: int) -> StoredModel:
    """Read a model, once for all micrographs that a process picks; `changed` tells files of one name apart."""
    import numpy as np

    from cryoloom.numerics.picking.descriptors import Grain
    from cryoloom.numerics.picking.features import PAIRS, Bases
    from cryoloom.numerics.picking.kernel_machine import KernelMachine
    from cryoloom.numerics.picking.learned import Model

    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        if about["version"] > VERSION:
            raise Failure("bad-model", f"{file} was written by a later version ({about['version']}).", "Update cryoloom.")
        bases = Bases(
            [arrays[f"mean_{number}"] for number in range(len(PAIRS))],
            [arrays[f"components_{number}"] for number in range(len(PAIRS))],
            *(arrays[name] for name in ("average", "orders", "profiles")),
        )
        learned = (arrays[name] for name in ("centre", "spread", "vectors", "weights"))
        machine = KernelMachine(*learned, **about.pop("machine"), left_out=arrays["left_out"])
        model = Model(Grain(about["grain"], about["diameter"]), bases, machine, arrays["positive"], arrays["share"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        raise Failure("bad-model", f"{file} is not a picking model: {problem}.", f"Give a file {NAME} that pick.manual wrote.") from problem
    return StoredModel(model, about)


def write_examples(path: Path, examples: "Examples") -> None:
    """Write the described places of a micrograph."""
    import numpy as np

    described = examples.described
    arrays = {name: getattr(examples, name) for name in ("places", "positive", "corrected", "share")}
    arrays |= {name: getattr(described, name) for name in ("harmonics", "greys", "detail")}
    with replacing(path) as handle:
        np.savez(handle, **arrays)


def read_examples(path: Path) -> "Examples":
    """Read what `write_examples` wrote."""
    import numpy as np

    from cryoloom.numerics.picking.descriptors import Descriptors
    from cryoloom.numerics.picking.learned import Examples

    with np.load(path, allow_pickle=False) as stored:
        described = Descriptors(*(stored[name] for name in ("harmonics", "greys", "detail")))
        return Examples(stored["places"], described, *(stored[name] for name in ("positive", "corrected", "share")))


def export_model(dataset: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write a model into a folder of its own, which `pick.learned` takes as it is."""
    path = make_folder(Path(directory)) / NAME
    source = dataset.file(dataset.items["model_path"][0])
    with replacing(path) as handle:
        handle.write(source.read_bytes())
    return [path]


FORMAT = Format("picking-model", "Model of learned picking", writers={"picking_model": export_model})
