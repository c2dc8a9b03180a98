"""Whether a set of classes is that of the particles beside it."""

import polars as pl

from cryoloom.data.kinds import Classes2D, Classes3D
from cryoloom.tables import Dataset


def foreign_classes(particles: Dataset, classes: Classes2D | Classes3D) -> str:
    """Return in words why the particles are not those of the classes: one class has more of them than it counts; nothing where they may be."""
    if "enabled" not in particles.schema:
        return ""
    members = particles.scan(["class_id", "enabled"]).filter("enabled").group_by("class_id").len()
    counted = classes.scan(["class_id", "count"]).select("class_id", "count")
    more = members.join(counted, on="class_id").filter(pl.col("len") > pl.col("count")).sort("class_id").head(1).collect()
    if more.is_empty():
        return ""
    number, there, counts = more.select("class_id", "len", "count").row(0)
    return f"are not those of these particles: class {number} counts {counts} members, and {there} particles are in it"
