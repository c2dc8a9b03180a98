"""Panels of a model in its map: where it lies, residue by residue, shell by shell."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cryoloom.data import FSC, AtomicModel, ModelFits, Residues
from cryoloom.report.panels import LinePlot, MapSlices, MapSurface, MarkedImage, Notice, Series, TableView
from cryoloom.spec import Panel

CHAINS = 8
"""Chains, the worst first, whose residues are drawn."""
WORST = 20
SLAB = 3.0
"""Å on either side of a section, of which map and model are drawn."""
MARGIN = 12.0
"""Å around the model that are drawn."""
ATOM = 1.5
"""Å, radius of a residue as it is drawn."""
DOUBTFUL = 0.5
"""Correlation about the model below which it hardly explains the map."""


@dataclass(frozen=True)
class Drawn:
    """What a picture of a model in a map is made of.

    Attributes
    ----------
    volume, difference
        ``(d, d, d)``.
    trace
        ``(residues, 3)``, x, y, z in voxels: an atom of each residue.
    """

    volume: NDArray[np.float32]
    difference: NDArray[np.float32]
    pixel_size: float
    trace: NDArray[np.float64]


def fit_panels(model: AtomicModel, residues: Residues, solutions: ModelFits, fsc: FSC, drawn: Drawn) -> list[Panel]:
    """Return the panels of a model that was laid in a map."""
    row, table = model.items.row(0, named=True), residues.items
    frequency = fsc.items["frequency"].to_list()
    names = {"fsc": "about the model", "fsc_unmasked": "whole box", "fsc_half1": "first half map", "fsc_half2": "second half map"}
    curves = [Series(label, frequency, fsc.items[name].to_list()) for name, label in names.items() if name in fsc.items.columns]
    return [
        _verdict(model, solutions),
        *_sections(table, drawn),
        MapSurface(
            title="Map at the contour", volume=drawn.volume, level=row["contour"],
            caption=f"{100 * row['inclusion']:.0f} % of the atoms lie where the map is above {row['contour']:.3g}.",
        ),
        LinePlot(
            title="Map and model", series=curves, x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.5": 0.5},
            marks={f"{row['model_resolution']:.2f} Å": 1 / row["model_resolution"]}, y_range=(-0.1, 1.05),
            caption="Shell correlation of the map, and of each half map, with the density of the model. A model that was refined against one half "
            f"follows its noise where that half's curve lies above the other's.{_unfallen(fsc)}",
        ),
        *_chains(table),
        TableView(
            title="Worst residues", columns=_columns(table.sort("residue_correlation", nulls_last=True, maintain_order=True).head(WORST), RESIDUES),
            caption="By their correlation with the map.",
        ),
        TableView(
            title="Places", columns=_columns(solutions.items, PLACES), limit=40,
            caption="Z: deviations by which the score of a place lies above the mean of all rotations. Where the second is as high as the best, the "
            "map does not tell them apart. What lies at x from the centre of the box goes to R x + shift.",
        ),
        MapSlices(
            title="Difference map", volume=drawn.difference,
            caption="The map less the model on its scale, each shell weighted by its signal: bright is what the model lacks, dark what the map lacks.",
        ),
    ]  # fmt: skip


RESIDUES = {
    "chain": "chain", "residue_number": "number", "residue_name": "residue", "residue_correlation": "correlation", "q_score": "Q", "inclusion": "inclusion",
}  # fmt: skip
PLACES = {
    "body": "moved", "copy": "copy", "rank": "rank", "score": "score", "search_z": "Z", "map_correlation": "correlation", "turned": "turned by (°)",
    "move_rot": "rot (°)", "move_tilt": "tilt (°)", "move_psi": "psi (°)", "move_x": "shift x (Å)", "move_y": "shift y (Å)", "move_z": "shift z (Å)",
}  # fmt: skip


def _columns(table: pl.DataFrame, names: dict[str, str]) -> dict[str, list[object]]:
    return {label: table[name].to_list() for name, label in names.items()}


def _unfallen(fsc: FSC) -> str:
    """Return that the pixels are too large to tell how far map and model agree, where they are."""
    return " The curve does not fall to 0.5: they agree to the finest detail that the pixels hold." if fsc.items["fsc"][-1] > 0.5 else ""


def _verdict(model: AtomicModel, solutions: ModelFits) -> Panel:
    row = model.items.row(0, named=True)
    told, hands = f"The model correlates with the map by {row['map_correlation']:.2f} about its atoms.", model.meta.get("other_hand")
    if row["mirrored"]:
        return Notice(
            level="warning", title="Hand",
            text=f"{told} It lies in the mirror image of the map, which fits better ({model.meta['score']:.2f} against {hands:.2f}): turn the map's hand "
            "with volumes.flip_hand and refine again, unless the model itself is of the wrong hand.",
        )  # fmt: skip
    if solutions.items.filter(pl.col("ambiguous") & (pl.col("rank") == 1)).height:
        return Notice(
            level="warning", title="Place",
            text=f"{told} Another place is about as good: look at the places below, and give the symmetry if there is one. A model of something else "
            "looks like this too.",
        )  # fmt: skip
    if row["map_correlation"] < DOUBTFUL:
        return Notice(
            level="warning", title="Place",
            text=f"{told} That is little: another conformation, another pixel size (compare the size of map and model), or another protein.",
        )  # fmt: skip
    hand = (
        ""
        if hands is None
        else f" The hand of the map is right: its mirror image fits worse ({hands:.2f} against {model.meta['score']:.2f})."
    )
    return Notice(level="good", title="Place", text=f"{told} Its place stands out.{hand}")


def _sections(table: pl.DataFrame, drawn: Drawn) -> list[Panel]:
    """Return the sections of the map across z, y and x that hold most of the model, with the residues that lie there."""
    box, half = len(drawn.volume), max(SLAB / drawn.pixel_size, 0.5)
    quality = table["residue_correlation"].fill_null(0.0).fill_nan(0.0).to_numpy()
    margin = MARGIN / drawn.pixel_size
    low = np.clip(np.floor(drawn.trace.min(axis=0) - margin), 0, box - 1).astype(int)
    high = np.clip(np.ceil(drawn.trace.max(axis=0) + margin) + 1, low + 1, box).astype(int)
    panels: list[Panel] = []
    for axis, (name, right, down) in enumerate((("x", 1, 2), ("y", 0, 2), ("z", 0, 1))):
        along = drawn.trace[:, axis]
        level = int(np.argmax([(np.abs(along - each) <= half).sum() for each in range(box)]))
        shown = np.abs(along - level) <= half
        slab = slice(max(0, round(level - half)), round(level + half) + 1)
        image = np.moveaxis(drawn.volume, 2 - axis, 0)[slab].mean(axis=0)[low[down] : high[down], low[right] : high[right]]
        panels.append(
            MarkedImage(
                title=f"Model in the map, across {name}", image=image, x=(drawn.trace[shown, right] - low[right] + 0.5).tolist(),
                y=(drawn.trace[shown, down] - low[down] + 0.5).tolist(), radius=max(ATOM / drawn.pixel_size, box / 250),
                scores=quality[shown].tolist(), largest=480, brightness=0.6,
                caption=f"Section {level}, {2 * half * drawn.pixel_size:.0f} Å thick, and the residues in it: orange where the map does not show them, "
                "green where it does.",
            )
        )  # fmt: skip
    return panels[::-1]


def _chains(table: pl.DataFrame) -> list[Panel]:
    """Return the scores along each chain, those of the worst chains first, in the order of the model."""
    means = table.group_by("chain", maintain_order=True).agg(pl.col("residue_correlation").fill_nan(None).mean(), pl.len())
    worst = set(means.sort("residue_correlation", nulls_last=True, maintain_order=True).head(CHAINS)["chain"])
    panels: list[Panel] = []
    for (chain,), rows in table.group_by("chain", maintain_order=True):
        if chain in worst:
            places = list(range(1, rows.height + 1))
            labels = {"residue_correlation": "correlation", "q_score": "Q-score"}
            series = [Series(label, places, rows[name].fill_null(float("nan")).to_list()) for name, label in labels.items()]
            panels.append(
                LinePlot(
                    title=f"Chain {chain}", series=series, x_label="residue", y_label="agreement with the map", y_range=(-0.3, 1.05),
                    caption=f"Residues {rows['residue_number'][0]} to {rows['residue_number'][-1]} in turn; mean correlation "
                    f"{rows['residue_correlation'].fill_nan(None).mean():.2f}." + (f" {means.height - CHAINS} better chains are not drawn." if
                    means.height > CHAINS and not panels else ""),
                )
            )  # fmt: skip
    return panels
