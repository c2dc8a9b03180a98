"""How resolution grows with the number of particles, drawn, and what that says in words."""

from typing import Any, Literal

import numpy as np

from cryoloom.data import ResolutionCurve
from cryoloom.report.panels import LinePlot, Notice, Series, TableView
from cryoloom.spec import Panel

KINDS = {"": "particles", "noise_": "noise aligned to the reference", "shuffled_": "particles, poses shuffled"}
WORDS: dict[str, tuple[Literal["good", "advice", "warning"], str]] = {
    "above noise": ("good", "Maps of these particles agree better than maps of as much noise aligned to the reference: the map comes from the particles."),
    "not distinguishable": (
        "warning",
        "Maps of these particles agree no better than maps of as much noise aligned to the reference: alignment alone may have made this map. Refine from "
        "another first map with a coarser start, and look at the 2D classes.",
    ),
    "saturated": ("advice", "Both curves reach the finest detail that these maps can show: nothing is told. Use smaller pixels, or a larger box."),
    "no noise bound": ("advice", "Noise was not aligned to the reference: growth alone does not exclude overfitting. Give the map as reference."),
}  # fmt: skip


def growth_panels(curve: ResolutionCurve) -> list[Panel]:
    """Return verdict, ``1 / d²`` against log₁₀ N, d against N, and the table."""
    items, meta = curve.items, curve.meta
    level, text = WORDS[meta["verdict"]]
    kinds = {prefix: name for prefix, name in KINDS.items() if f"{prefix}inverse_square" in items.columns}
    logarithm = np.log10(items["subset_size"].to_numpy()).tolist()
    rising = [
        Series(name, logarithm, items[f"{prefix}inverse_square"].to_list(), items[f"{prefix}inverse_square_spread"].to_list())
        for prefix, name in kinds.items()
    ]
    falling = [
        Series(name, logarithm, np.log10(items[f"{prefix}resolution"].to_numpy()).tolist()) for prefix, name in kinds.items()
    ]  # fmt: skip
    if meta.get("line"):
        places = np.log10([float(items["subset_size"][-1]), *meta["more"]]).tolist()
        rising.append(Series("line, 95 %", places, meta["line"], meta["band"]))
    panels: list[Panel] = [
        Notice(level=level, text=text),
        LinePlot(
            title="Growth", series=rising, x_label="log₁₀ particles of each map", y_label="1 / d² (1/Å²)",
            levels={f"{meta['finest']:.3g} Å, the finest": 1.0 / meta["finest"] ** 2},
            caption="d is where two maps of so many particles fall to a correlation of 0.5; bars are standard deviations over "
            f"{meta['repeats']} repeats, as of independent particles. A straight line has the slope 2 ln 10 / B.",
        ),
        LinePlot(
            title="Resolution", series=falling, x_label="log₁₀ particles of each map", y_label="log₁₀ d (Å)",
            caption="Both axes logarithmic.",
        ),
        TableView(title="Numbers", columns=_columns(curve, kinds)),
    ]  # fmt: skip
    line = ""
    if meta.get("line"):
        line = f" The line through the last decade has B = {meta['b_factor']:.0f} Å²."
    if meta.get("needed"):
        line += f" By it, a tenth finer takes {meta['needed']:.3g} in each map."
    panels.append(
        TableView(
            title="More particles",
            columns={
                "of each map": meta["more"],
                "d (Å)": meta["foretold"],
                "95 % from (Å)": meta["foretold_best"],
                "to (Å)": meta["foretold_worst"],
            },
            caption=f"In poses as good, with signal over noise growing as their number; no finer than these maps can show.{line}",
        )
    )
    return panels


def _columns(curve: ResolutionCurve, kinds: dict[str, str]) -> dict[str, list[Any]]:
    items = curve.items
    columns: dict[str, list[Any]] = {
        "particles of each map": items["subset_size"].to_list(),
        "d at 0.143 (Å)": items["resolution_gold"].to_list(),
    }
    for prefix, name in kinds.items():
        columns[f"d, {name} (Å)"] = items[f"{prefix}resolution"].to_list()
    if "separation" in items.columns:
        columns["above noise (σ)"] = items["separation"].to_list()
    return columns
