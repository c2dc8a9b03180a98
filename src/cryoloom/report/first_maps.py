"""Panels of ranked first maps: verdicts, slices, what they leave unexplained, and how alike they are."""

from cryoloom.data import Volume
from cryoloom.formats.mrc import read_mrc
from cryoloom.report.panels import AngularDistribution, ImageGrid, LinePlot, Notice, Series, TableView
from cryoloom.spec import Panel

MOST = 8
"""Maps that are shown in pictures."""
TRIPLES = 4
"""Averages of each map but the best, worst explained first, that are shown."""
COLUMNS = {
    "rank": "rank", "name": "candidate", "verdict": "verdict", "correlation": "correlation with averages", "ball_correlation": "of a ball",
    "line_agreement": "agreement along common lines", "outline": "outline", "coverage": "coverage of directions", "best_correlation": "correlation with the best",
    "best_resolution": "FSC 0.5 with the best (Å)", "mirrored": "hand changed", "other_hand": "of its other hand",
}  # fmt: skip


def ranking_panels(volumes: Volume, resolution: float) -> list[Panel]:
    """Return the panels of candidates, the best first, judged at `resolution` Å."""
    table, meta = volumes.items, volumes.meta
    names = table["name"].to_list()
    columns = dict(COLUMNS)
    if table["particle_gain"].null_count() == 0:
        columns["particle_gain"] = "gain of particles"
    if meta["symmetry"].upper() != "C1":
        columns["symmetry_correlation"] = f"with its {meta['symmetry']} copy"
    panels: list[Panel] = [
        Notice(level={"good": "good", "bad": "warning"}.get(row["verdict"], "advice"), text=f"{row['name']}: {row['verdict']}. {_sentence(row['reason'])}",
               title="Verdicts" if row["rank"] == 1 else "")
        for row in table.iter_rows(named=True)
    ]  # fmt: skip
    panels += [
        TableView(
            title="Candidates", columns={label: table[name].to_list() for name, label in columns.items()},
            caption="Correlations weigh every shell alike, so a filtered map has lower ones. Agreement: 0 is chance, 1 what averages of this noise can reach.",
        ),
        _slices(volumes),
        *_leftovers(volumes),
        LinePlot(
            title="How well each explains the averages", x_label="part of the averages", y_label="correlation",
            series=[Series(name, [(k + 1) / len(values) for k in range(len(values))], values) for name, values in meta["correlations"].items()],
            caption=f"Each curve is a candidate, its averages in order of their correlation with its projections, to {resolution:g} Å.",
        ),
    ]  # fmt: skip
    if len(names) > 1:
        frequency = [
            [shell / (row["box_size"] * meta["pixel_size"]) for shell in range(len(row["best_fsc"]))] for row in table.iter_rows(named=True)
        ]
        panels += [
            LinePlot(
                title="Shell correlation with the best", x_label="resolution (Å)", y_label="FSC", resolution_axis=True, levels={"0.5": 0.5}, y_range=(-0.2, 1.05),
                series=[Series(name, x, y) for name, x, y in zip(names[1:], frequency[1:], table["best_fsc"].to_list()[1:], strict=True)],
            ),
            TableView(
                title="Correlation of the maps", columns={"": names} | dict(zip(names, (list(column) for column in zip(*meta["pairwise"], strict=True)), strict=True)),
                caption=f"Laid on the best, in its hand, to {resolution:g} Å. Maps of different origin that are alike speak for each other.",
            ),
        ]  # fmt: skip
    for row in table.head(MOST).iter_rows(named=True):
        rot, tilt = meta["directions"][row["name"]]
        panels.append(
            AngularDistribution(
                title=f"Directions of the averages: {row['name']}",
                rot=rot,
                tilt=tilt,
                caption=f"They cover {row['coverage']:.0%} of the map's transform.",
            )
        )
    return panels


def _slices(volumes: Volume) -> Panel:
    """Show central slices of the maps as they were laid on the best."""
    images, captions, good = [], [], []
    for row in volumes.items.head(MOST).iter_rows(named=True):
        data = read_mrc(volumes.file(row["volume_path"])).data
        middle = len(data) // 2
        images += [data[middle], data[:, middle], data[:, :, middle]]
        captions += [f"{row['name']}, across {axis}" for axis in "zyx"]
        good += [row["verdict"] != "bad"] * 3
    return ImageGrid(
        title="Maps, laid on the best", images=images, captions=captions, good=good, size=130, caption="Central slices; bad maps are faded."
    )


def _leftovers(volumes: Volume) -> list[Panel]:
    """Show projection, average and difference of the averages that a map explains worst."""
    panels: list[Panel] = []
    for row in volumes.items.head(MOST).iter_rows(named=True):
        pictures = read_mrc(volumes.file(row["worst_path"])).data
        triples = pictures.reshape(-1, 3, *pictures.shape[1:])[: None if row["rank"] == 1 else TRIPLES]
        panels.append(
            ImageGrid(
                title=f"Worst explained: {row['name']}", images=[image for triple in triples for image in triple], size=96,
                captions=[f"class {number}: {what}" for number in row["worst_classes"][: len(triples)] for what in ("projection", "average", "difference")],
                caption="Projection of the map, the average laid on it, and what is left, worst first; each with its own greys. Differences of a right map "
                "show no particle.",
            )
        )  # fmt: skip
    return panels


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
