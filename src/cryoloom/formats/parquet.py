"""Any set as one Parquet table, with the columns of its optics groups: for pandas, Polars, R and whatever comes."""

from collections.abc import Mapping
from pathlib import Path

from cryoloom.files import make_folder
from cryoloom.formats.exchange import Format
from cryoloom.tables import Dataset
from cryoloom.tables.storage import write_frame


def export_parquet(dataset: Dataset, name: str, directory: Path, *, related: Mapping[str, Dataset]) -> list[Path]:
    """Write ``NAME.parquet``, disabled rows and all; paths in it are relative to the project."""
    path = make_folder(Path(directory)) / f"{name}.parquet"
    write_frame(dataset.to_polars(), path)
    return [path]


FORMAT = Format("parquet", "Parquet table", writers={"*": export_parquet}, every=True)
