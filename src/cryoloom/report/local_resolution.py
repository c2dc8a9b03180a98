"""Resolutions of a map place by place, as panels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cryoloom.report.panels import Histogram, LinePlot, MapSlices, MapSurface, Notice, Series, TableView
from cryoloom.spec import Panel

UNIT = "Å, local resolution"


def resolution_panels(resolution: Any, filled: Any, shown: Any, meta: Mapping[str, Any]) -> list[Panel]:
    """Return the panels of local resolutions.

    Parameters
    ----------
    resolution, filled
        Maps in Å, outside of the specimen 0 and the median.
    shown
        The map that is coloured.
    meta
        ``median``, ``quartile1``, ``quartile3``, ``mode`` of the specimen, ``median_of_mask``, ``global_resolution`` (Å), ``voxels`` of the specimen,
        ``voxels_of_mask``, ``colour_limits``, of what the surface encloses ``surface_limits``, and as columns ``histogram``, ``profile``, ``steps``.
    """
    limits = _limits(meta["colour_limits"])
    marks = {
        f"{name} {meta[key]:.2f}": float(meta[key])
        for key, name in (("quartile1", "¼"), ("median", "median"), ("quartile3", "¾"), ("mode", "mode"))
    }
    if meta["global_resolution"]:
        marks[f"whole map {meta['global_resolution']:.2f}"] = float(meta["global_resolution"])
    counts, profile = meta["histogram"], meta["profile"]
    size = meta["pixel_size"]
    radius = [size * each for each in profile["radius"]]
    curves = (("quartile3", "three quarters are finer"), ("median", "half are finer"), ("quartile1", "a quarter are finer"))
    panels: list[Panel] = []
    if meta["noise"] == "solvent":
        panels.append(
            Notice(
                level="advice", text="Noise of the solvent alone: no half maps were compared, and these resolutions are no gold standard."
            )
        )
    panels += [
        Histogram(
            title="Resolutions", values=counts["resolution"], counts=counts["voxels"], label="local resolution (Å)", marks=marks,
            caption=f"The {meta['voxels']:,} voxels of the mask's {meta['voxels_of_mask']:,} that hold density, as in all figures here; "
            f"the median of the whole mask is {meta['median_of_mask']:.2f} Å. A specimen of one rigid body is narrow; flexible parts make a tail to the right.",
        ),
        MapSlices(title="Local resolution", volume=resolution, limits=limits, label=UNIT, caption="Slices through the centre; white lies outside."),
        MapSlices(title="Map", volume=shown, caption="The same slices of the map."),
        MapSurface(
            title="Map coloured by local resolution", volume=shown, level=float(np.quantile(shown, 0.99)), painter=filled,
            limits=_limits(meta.get("surface_limits", meta["colour_limits"])), label=UNIT,
            caption="Seen along z, x and y. Colours run over what the surface encloses; the files of the output open the same in ChimeraX.",
        ),
        LinePlot(
            title="From the centre outwards", x_label="radius (Å)", y_label="local resolution (Å)",
            series=[Series(label, radius, profile[name]) for name, label in curves],
            caption="Of voxels that hold density. Where rims move, or poses are off, resolution falls with the radius.",
        ),
    ]  # fmt: skip
    steps = meta["steps"]
    if "shell" in steps:
        columns = {
            "resolution (Å)": steps["resolution"], "amplitude": steps["signal"], "of noise": steps["noise"], "threshold": steps["threshold"],
            "voxels looked at": steps["active"], "that stand out": steps["passed"],
        }  # fmt: skip
        panels.append(
            TableView(
                title="Frequencies",
                columns=columns,
                limit=60,
                caption="Roots of mean monogenic powers. The search ends where hardly a voxel is left.",
            )
        )
    return panels


def _limits(told: Sequence[float]) -> tuple[float, float]:
    low, high = map(float, told)
    return low, max(high, low + 0.1)
