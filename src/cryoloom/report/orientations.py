"""From where particles were seen, and what that did to the map: as panels."""

import numpy as np
import polars as pl

from cryoloom.data import FSC, Orientations
from cryoloom.report.panels import AngularDistribution, Histogram, LinePlot, Notice, Series, TableView
from cryoloom.spec import Panel

SHOWN = 50_000
"""Views that are drawn; of more, some evenly chosen."""


def orientation_panels(orientations: Orientations, fsc: FSC | None, views: pl.DataFrame) -> list[Panel]:
    """Return the verdict, the views (``rot``, ``tilt``), figures, preferred views, and the agreement of half maps by direction."""
    meta = orientations.meta
    some = views.gather_every(max(1, views.height // SHOWN))
    at = f" at {meta['resolution']:.3g} Å" if meta["resolution"] else ""
    panels: list[Panel] = [
        Notice(level=meta["verdict"], text=meta["message"]),
        AngularDistribution(
            title="Views", rot=some["rot"].to_list(), tilt=some["tilt"].to_list(), polar=True,
            caption=f"Of {meta['particles']} particles, as they were assigned; figures count them from all sides that {meta['symmetry']} makes equal.",
        ),
        TableView(
            title="Figures",
            columns={
                "figure": ["efficiency E_od", "directions seen", "directions that even views would see", "empty Fourier cones", "largest gap (°)"],
                "found": [meta["efficiency"], meta["coverage"], meta["expected"], meta["empty_cones"], meta["largest_gap"]],
                "meaning": [
                    "1: as even views; below 0.5 poor",
                    "part of cells of 15° with a view",
                    "",
                    f"part of directions{at} that no view measures",
                    "from a direction to the nearest view or its opposite",
                ],
            },
        ),
    ]  # fmt: skip
    if preferred := meta["preferred"]:
        panels.append(
            TableView(
                title="Preferred views",
                columns={
                    "rot (°)": [one["rot"] for one in preferred],
                    "tilt (°)": [one["tilt"] for one in preferred],
                    "share within 15°": [one["share"] for one in preferred],
                    "times as many as even": [one["excess"] for one in preferred],
                },
                caption="One of each that the symmetry makes equal.",
            )
        )
    panels.append(
        Histogram(
            title="Views a cell", values=orientations.items["views_excess"].to_list(), label="times as many as even", marks={"even": 1.0},
            caption=f"Cells of {meta['side']:g}°.",
        )
    )  # fmt: skip
    if fsc is not None:
        panels += _directional(fsc)
    return panels


def _directional(fsc: FSC) -> list[Panel]:
    frequency, each = fsc.items["frequency"].to_list(), np.array(fsc.meta["resolution_by_direction"])
    axes = np.array(fsc.meta["directions"])
    worst = axes[int(each.argmax())]
    tilt, rot = np.rad2deg(np.arccos(np.clip(worst[2], -1.0, 1.0))), np.rad2deg(np.arctan2(worst[1], worst[0]))
    names = {"fsc": "all directions", "fsc_worst_direction": "worst twentieth", "fsc_best_direction": "best twentieth"}
    return [
        LinePlot(
            title="Correlation by direction", series=[Series(name, frequency, fsc.items[column].to_list()) for column, name in names.items()],
            x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.143": 0.143, "0.5": 0.5}, y_range=(-0.1, 1.05),
            caption=f"Of half maps in cones of 20° on each side. Sphericity of the surface at 0.5: {fsc.meta['sphericity']:.3f}.",
        ),
        Histogram(
            title="Resolution by direction", values=each.tolist(), label="Å, FSC 0.5 in a cone", marks={"median": float(np.median(each))},
            caption=f"Worst near rot {rot:.0f}°, tilt {tilt:.0f}°.",
        ),
    ]  # fmt: skip
