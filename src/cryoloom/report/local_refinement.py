"""Panels of a local refinement: curves of every iteration, what moved, what fits, and what was fitted beside the poses."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from cryoloom.data import FSC
from cryoloom.report.panels import AngularDistribution, Histogram, LinePlot, MapSlices, Series, TableView
from cryoloom.spec import Panel

FITTED = (
    ("grey_scale", "Grey scales", "grey scale", "Of every particle; 1 is as strong as most. Strays are worth a look."),
    ("magnification", "Magnifications", "size", "Of every particle; 1 is as large as the reference."),
    (
        "change_defocus",
        "Changes of defocus",
        "change of defocus (Å)",
        "Since the particles came into this run; wide beyond what ice is thick means that noise was followed.",
    ),
)
"""Column, title, label and caption of what is drawn where it differs from particle to particle."""
MAPS = {
    "Reference": "What images were compared with last, the mean of both halves': masked, each shell weighed by its signal.",
    "Reconstructed": "Of both halves, nothing done to it.",
    "Filtered": "The same, each shell weighed by what the halves have in common.",
}
"""Captions of maps."""


def local_panels(poses: pl.DataFrame, fsc: FSC, maps: Mapping[str, Any]) -> list[Panel]:
    """Return the panels.

    Parameters
    ----------
    poses
        The particles; ``change_defocus`` in Å where defoci were fitted.
    fsc
        With the columns ``fsc_1``, ``processed_1``, … of each iteration.
    maps
        Title to map ``(d, d, d)``.
    """
    table, meta = fsc.items, fsc.meta
    history = meta["iterations"]
    numbers = list(range(1, len(history) + 1))
    return [
        LinePlot(
            title="Gold-standard FSC", series=_curves(table, len(history)), x_label="resolution (Å)", y_label="FSC", resolution_axis=True,
            levels={"0.143": 0.143}, marks={f"{meta['resolution']:.2f} Å": 1 / meta["resolution"]}, y_range=(-0.1, 1.05),
            caption=f"Under a soft {meta['mask']}, before anything is done to the maps. That of the references, masked and cut, is no evidence.",
        ),
        TableView(title="Iterations", columns={
            "target (Å)": [step["target"] for step in history], "box (px)": [int(step["box"]) for step in history],
            "Å/px": [step["pixel_size"] for step in history], "compared to (Å)": [step["band"] for step in history],
            "FSC 0.143 (Å)": [step["resolution"] for step in history], "median turn (°)": [step["change_angle"] for step in history],
            "median shift (Å)": [step["change_shift"] for step in history], "correlation": [step["cost"] for step in history],
            "at a bound": [step["bounded"] for step in history],
        }, caption="Compared to: the finest detail looked at. At a bound: the part of the particles that moved as far as an iteration lets them."),
        LinePlot(title="Resolution and band", x_label="iteration", y_label="Å",
                 series=[Series("half maps", numbers, [step["resolution"] for step in history]),
                         Series("compared to", numbers, [step["band"] for step in history])],
                 caption="What the halves agreed on, and how far images were compared."),
        Histogram(title="Correlation with the reference (cost)", values=poses["cost"].to_list(), label="cost", bins=100,
                  caption="One hill is one kind of particle; a second one, or a tail to the left, is junk: select by cost."),
        Histogram(title="Weights", values=poses["weight"].to_list(), label="weight in the map", caption="Of every particle in the reconstruction."),
        Histogram(title="Change of orientations", values=poses["change_angle"].to_list(), label="turn in the last iteration (°)",
                  caption="Most should hardly move; those that still turn far are lost, or the map is not what they show."),
        Histogram(title="Change of shifts", values=poses["change_shift"].to_list(), label="change in the last iteration (Å)"),
        *(
            Histogram(title=title, values=poses[column].to_list(), label=label, caption=caption)
            for column, title, label, caption in FITTED if column in poses.columns and poses[column].n_unique() > 1
        ),
        AngularDistribution(
            title="Viewing directions", rot=poses["rot"].to_list(), tilt=poses["tilt"].to_list(),
            caption="Equal areas of the map are equal areas of the sphere. Empty regions are views that the ice did not offer.",
        ),
        *(MapSlices(title=title, volume=data, caption=MAPS.get(title, "")) for title, data in maps.items()),
    ]  # fmt: skip


def _curves(table: pl.DataFrame, count: int) -> list[Series]:
    """Return the halves' curve of every iteration, the last of them plainly, and of its references."""
    frequency = table["frequency"]
    names = {f"fsc_{number}": f"iteration {number}" for number in range(1, count)} | {"fsc": "half maps", f"processed_{count}": "processed"}
    kept = {column: table[column].is_not_null() for column in names}
    return [Series(name, frequency.filter(kept[column]).to_list(), table[column].drop_nulls().to_list()) for column, name in names.items()]
