"""The panels of fitted transfer functions: spectra, one fit in full, the session, what stands out."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from cryoloom.data import CTFs
from cryoloom.report.panels import Histogram, ImageGrid, LinePlot, Series, TableView
from cryoloom.spec import Panel

SHOWN = 12
"""Spectra in the report."""

APART = 4.5
"""Robust standard deviations from the median beyond which a value stands out."""

WATCHED = {
    "defocus_error": "defocus error (Å)",
    "astigmatism": "astigmatism (Å)",
    "ctf_resolution": "fit resolution (Å)",
    "ctf_iceness": "iceness",
    "ctf_drift": "drift (Å)",
}
"""Columns in which a large value speaks against a micrograph."""

BEYOND = 1.6
"""Frequency up to which rings are drawn, in ends of the fit: farther out they are noise."""

_CURVES = {"ctf_rotational": "circular mean", "ctf_equiphase": "equal-phase mean", "ctf_fit": "fit", "ctf_quality": "quality"}
_COLUMNS = (
    "micrograph_name", "defocus_u", "defocus_v", "defocus_angle", "phase_shift", "astigmatism", "defocus_error", "ctf_score", "ctf_resolution",
    "ctf_rings", "ctf_iceness", "ctf_drift", "enabled", "fail_reason",
)  # fmt: skip


def ctf_panels(ctfs: CTFs, image: Callable[[str], Any], band: tuple[float, float], criteria: Sequence[str] = ()) -> list[Panel]:
    """Return the panels of a set of CTFs whose pictures (MRC) `image` reads by path, fitted in a `band` (Å); columns of `criteria` are shown as well."""
    rows = ctfs.to_polars().filter(pl.col("defocus_u").is_not_null()).with_columns(mean=(pl.col("defocus_u") + pl.col("defocus_v")) / 2)
    shown = [row for row in rows.head(SHOWN).to_dicts() if row.get("psd_path")]
    reach = BEYOND / min((row["ctf_resolution"] for row in shown), default=1.0)
    panels: list[Panel] = [
        ImageGrid(
            title="Power spectra",
            images=[_middle(image(row["psd_path"]), reach) for row in shown],
            captions=[f"{row['micrograph_name']}: {row['mean']:.0f} Å, to {row['ctf_resolution']:.1f} Å" for row in shown],
            good=[bool(row["enabled"]) for row in shown],
            size=150,
            caption="The lower left quarter is the model: its rings must run on into the measured ones. Captions: mean defocus, end of the fit. All to "
            f"{1 / reach:.1f} Å.",
        )
    ]  # fmt: skip
    if shown and shown[0].get("ctf_frequency"):
        panels.append(_fit(shown[0], band))
    return [
        *panels,
        *_session(rows),
        Histogram(title="Defocus", values=rows["mean"].to_list(), label="mean defocus (Å)"),
        Histogram(title="Fit resolution", values=rows["ctf_resolution"].to_list(), label="Å"),
        *_outliers(ctfs),
        TableView(
            title="CTFs", columns={name: ctfs.items[name].to_list() for name in (*_COLUMNS, *criteria) if name in ctfs.items.columns}
        ),
    ]


def _middle(picture: Any, reach: float) -> Any:
    """Return a picture of a spectrum up to the frequency `reach` (1/Å), where it goes so far."""
    middle = len(picture.data) // 2
    half = min(middle, math.ceil(reach * picture.pixel_size * len(picture.data)))
    return picture.data[middle - half : middle + half, middle - half : middle + half]


def _fit(row: Mapping[str, Any], band: tuple[float, float]) -> LinePlot:
    """Return the curves of one fit, with the band, the end of the fit and the first zeros of the CTF."""
    shown = sum(frequency <= BEYOND / row["ctf_resolution"] for frequency in row["ctf_frequency"])
    fit, frequency = row["ctf_fit"][:shown], row["ctf_frequency"][:shown]
    zeros = [frequency[at] for at in range(1, len(fit) - 1) if fit[at - 1] > fit[at] <= fit[at + 1] and fit[at] < 0.3]
    ends = {"band": 1 / band[0], "band's end": 1 / band[1]}
    marks = {label: end for label, end in ends.items() if end < 0.95 * frequency[-1]}
    marks |= {str(number): zero for number, zero in enumerate(zeros[:3], 1)}
    return LinePlot(
        title=f"Fit of {row['micrograph_name']}",
        series=[Series(label, frequency, row[name][:shown]) for name, label in _CURVES.items()],
        x_label="resolution (Å)",
        y_label="",
        resolution_axis=True,
        marks={**marks, f"fit to {row['ctf_resolution']:.1f} Å": 1 / row["ctf_resolution"]},
        y_range=(-0.3, 1.3),
        legend_row=True,
        caption="Means along lines of equal phase are free of astigmatism; every ring is drawn at full height. Marks: the band of the fit, the "
        "first zeros of the CTF (1, 2, 3), and how far the fit holds.",
    )


def _session(rows: pl.DataFrame) -> list[Panel]:
    """Return the defocus and the end of the fit from the first micrograph to the last."""
    if rows.height < 2:
        return []
    number = list(range(1, rows.height + 1))
    defocus = [Series(name, number, (rows[column] / 1e4).to_list()) for name, column in (("U", "defocus_u"), ("V", "defocus_v"))]
    return [
        LinePlot(
            title="Defocus over the session", series=defocus, x_label="micrograph", y_label="µm",
            caption="A jump is a change of the setting, a slow slope drift of the stage; U and V apart are astigmatism to be corrected.",
        ),
        LinePlot(
            title="Fit resolution over the session", series=[Series("fit", number, rows["ctf_resolution"].to_list())], x_label="micrograph",
            y_label="Å", caption="Steps that last are changes of the microscope or the grid, single peaks bad micrographs.",
        ),
    ]  # fmt: skip


def _outliers(ctfs: CTFs) -> list[Panel]:
    """Return what stands out of the set, and why; nothing where nothing does."""
    told = {row["micrograph_name"]: [row["fail_reason"]] for row in ctfs.items.filter(~pl.col("enabled")).iter_rows(named=True)}
    good = ctfs.enabled()
    for column, label in WATCHED.items():
        if column not in good.columns or good[column].drop_nulls().len() < 8:
            continue
        middle = float(good.select(pl.col(column).median()).item())
        spread = 1.4826 * float(good.select((pl.col(column) - middle).abs().median()).item())
        far = good.filter(pl.col(column) > middle + APART * max(spread, 0.02 * abs(middle), 1e-9))
        for name, value in far.select("micrograph_name", column).iter_rows():
            if math.isfinite(value):
                told.setdefault(name, []).append(f"{label} {value:.3g}, median {middle:.3g}")
    if not told:
        return []
    columns = {"micrograph": list(told), "why": ["; ".join(reasons) for reasons in told.values()]}
    return [TableView(title="Outliers", columns=columns, caption="Disabled micrographs, and those far from the median of the others.")]
