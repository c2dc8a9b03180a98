"""What a run of refine.deep_align shows: how its networks learned, how sure they are, and where they put the particles."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from cryoloom.data import Particles
from cryoloom.report.panels import AngularDistribution, Histogram, ImageGrid, LinePlot, Notice, Series, TableView
from cryoloom.spec import Panel

SHOWN = 40
"""Poses listed."""


def deep_align_panels(particles: Particles, networks: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Return the panels: of each network, then of the poses."""
    poses = particles.enabled().filter(pl.col("score").is_not_null())
    every = particles.items.filter(pl.col("score").is_not_null())
    labels = {
        "id": "particle", "rot": "rot (°)", "tilt": "tilt (°)", "psi": "psi (°)", "origin_x": "shift x (Å)", "origin_y": "shift y (Å)",
        "score": "correlation", "region": "region", "region_probability": "its probability", "pose_spread": "spread (°)",
    }  # fmt: skip
    listed = poses.sort("score", descending=True)
    lost = every.height - poses.height
    dropped = f"{lost} of {every.height} particles were dropped: no pose within the largest shift fits." if lost else ""
    return [
        Notice(
            level="advice",
            text="These poses are not independent of the map: the networks learned its projections, and the search compares with it. Where they agree with "
            "a refinement's, both may share what is wrong with the map; where they do not, the particle is unsure.",
        ),
        *_training(networks),
        *(panel for each in networks for panel in _network(each)),
        AngularDistribution(title="Viewing directions", rot=poses["rot"].to_list(), tilt=poses["tilt"].to_list(), caption="Of particles with a pose."),
        Histogram(
            title="Correlation with the map", values=every["score"].to_list(), label="best correlation",
            caption=f"Noise of all shells made alike; images of noise lie at the lower end. {dropped}",
        ),
        Histogram(
            title="Spread of poses", values=poses["pose_spread"].to_list(), label="error not exceeded by 68 % (°)",
            caption="Calibrated on aligned particles that the network was not shown.",
        ),
        Histogram(title="Probability of the pose's region", values=poses["region_probability"].to_list(), label="by the network alone"),
        TableView(title="Best poses", columns={label: listed[name].to_list() for name, label in labels.items()}, limit=SHOWN),
    ]  # fmt: skip


def _named(network: Mapping[str, Any], words: str) -> str:
    return f"half {network['half']}, {words}" if network["half"] else words


def _training(networks: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Return the curves of the trainings."""
    epochs = range(1, len(networks[0]["history"]) + 1)

    def curves(words: Mapping[str, str]) -> list[Series]:
        return [
            Series(_named(each, word), list(epochs), [row[name] for row in each["history"]])
            for each in networks
            for name, word in words.items()
        ]

    return [
        LinePlot(
            title="Training", x_label="epoch", y_label="cross-entropy",
            series=curves({"loss": "learned from", "validation": "kept back"}),
            caption="What is learned from holds projections and images of noise, what is kept back aligned particles only: compare slopes, not heights.",
        ),
        LinePlot(
            title="Regions found", x_label="epoch", y_label="part of the particles kept back", y_range=(0, 1),
            series=curves({"near": "a region, or one beside it, among the first two", "first": "first choice"}),
        ),
    ]  # fmt: skip


def _network(network: Mapping[str, Any]) -> list[Panel]:
    """Return confusion and reliability of one network."""
    confusion = np.array(network["confusion"], dtype=float)
    quantiles = network["quantiles"]
    ideal = Series("calibrated", [0.0, 1.0], [0.0, 1.0])
    return [
        ImageGrid(
            title=_named(network, "confusion of regions").capitalize(), images=[confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)], size=300,
            captions=["true region downwards, first choice to the right"],
            caption=f"Of {network['held_out']} aligned particles kept back. {network['first']:.0%} are on the diagonal, {network['chance']:.0%} would be by "
            "the commonest region alone.",
        ),
        LinePlot(
            title=_named(network, "reliability of regions").capitalize(), x_label="probability of the first choice", y_label="part that is right",
            series=[ideal, Series("found", network["probability"], network["hits"])], y_range=(0, 1),
        ),
        LinePlot(
            title=_named(network, "reliability of the spread").capitalize(), x_label="spread (°)", y_label="part with a smaller error", y_range=(0, 1),
            series=[Series("found", quantiles["spread"], quantiles["within"])], levels={"68 %": 0.68},
            caption="Measured on half of the particles kept back, by what the other half taught.",
        ),
    ]  # fmt: skip
