"""Columnar sets of items: immutable Parquet, columns added beside it, selections as id lists. Knows no electron microscopy."""

from cryoloom.tables.dataset import Dataset, dataset_kind
from cryoloom.tables.storage import FileRef, Hashed, TableRef
from cryoloom.tables.union import union

__all__ = ["Dataset", "FileRef", "Hashed", "TableRef", "dataset_kind", "union"]
