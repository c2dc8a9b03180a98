"""Training the network of refine.deep_align, epoch by epoch, and what it does with particles that it was not shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cryoloom.numerics.learn.fit import Fit
from cryoloom.numerics.learn.region_examples import CONCENTRATION, Examples
from cryoloom.numerics.learn.region_net import RegionNet

Array = NDArray[np.float64]
State = dict[str, Any]

RATE = 4e-3
BINS = 10
"""Of probabilities, in the reliability of a network."""


@dataclass(frozen=True)
class Training:
    """How long a network is trained on what.

    Attributes
    ----------
    held_out
        Particles that are not learned from, rows of the examples' images; they choose the best epoch and calibrate.
    projections
        Of the map, for each particle learned from.
    """

    examples: Examples
    held_out: NDArray[np.int64]
    epochs: int
    batch: int
    projections: float
    seed: int

    @property
    def steps(self) -> int:
        """Return how many steps an epoch has: each particle once, and the projections beside it."""
        return max(1, round(len(self.examples.rows) * (1 + self.projections) / self.batch))

    def network(self) -> RegionNet:
        """Return a network that has learned nothing."""
        views, directions = self.examples.views()
        belonging = self.examples.regions.soft(directions, CONCENTRATION)
        return RegionNet.of_views(self.examples.sight.rings, views, belonging, self.examples.spread, self.seed)


def loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the cross-entropy with labels ``(n, regions)``."""
    return -(wanted * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()


def start(training: Training) -> State:
    """Return the state before the first epoch; its arrays, together, are a `Fit` and the best network so far."""
    fit = _fit(training)
    return {"epoch": 0, "best": 0, "history": [], **_named("fit", fit.state()), **_named("best", arrays_of(fit.network))}


def epoch(training: Training, state: State, told: Callable[[int], None] = lambda step: None) -> State:
    """Return the state after another epoch; `told` is called after each step."""
    number = state["epoch"] + 1
    fit = _fit(training)
    fit.restore(_taken("fit", state))
    rng = np.random.default_rng([training.seed, number])
    real = round(training.batch / (1 + training.projections))
    losses = []
    for step in range(1, training.steps + 1):
        losses.append(fit.step(*training.examples.batch(real, training.batch - real, rng)))
        told(step)
    judged = judge(training, fit.mean)
    best = min((row["validation"] for row in state["history"]), default=np.inf)
    history = [*state["history"], {"loss": float(np.mean(losses)), **judged}]
    better = judged["validation"] < best
    kept = _named("best", arrays_of(fit.mean) if better else _taken("best", state))
    return {"epoch": number, "best": number if better else state["best"], "history": history, **_named("fit", fit.state()), **kept}


def judge(training: Training, network: RegionNet) -> dict[str, float]:
    """Return loss and hit rates of a network on the particles held out: its first choice, and a region that borders on one of its first two."""
    examples, rows = training.examples, training.held_out
    logits = answers(training, network, rows)
    directions = examples.directions[rows]
    wanted = torch.from_numpy(examples.regions.soft(directions, CONCENTRATION))
    region = examples.regions.nearest(directions)
    first = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    near = examples.regions.adjacent[region[:, None], first].any(axis=1)
    wrong = float(loss(torch.from_numpy(logits), wanted))
    return {"validation": wrong, "first": float(np.mean(first[:, 0] == region)), "near": float(np.mean(near))}


def answers(training: Training, network: RegionNet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the logits of some of the aligned particles, as they came: not centred, ``(n, regions)``."""
    seen = [training.examples.sight.images(training.examples.images, part) for part in np.array_split(rows, max(1, len(rows) // 512))]
    return network.logits(torch.cat(seen))


def best_network(training: Training, state: State) -> RegionNet:
    """Return the best network of all epochs, its temperature such that probabilities are right for the particles held out."""
    network = training.network()
    network.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in _taken("best", state).items()})
    logits = torch.from_numpy(answers(training, network, training.held_out)).double()
    region = torch.from_numpy(training.examples.regions.nearest(training.examples.directions[training.held_out]))
    factors = torch.exp(torch.linspace(-2.5, 2.5, 201, dtype=torch.float64))
    wrong = torch.stack([functional.cross_entropy(logits / factor, region) for factor in factors])
    network.temperature.fill_(float(factors[int(wrong.argmin())]))
    return network.eval()


def arrays_of(network: RegionNet) -> dict[str, np.ndarray]:
    """Return the weights of a network by name."""
    return {name: values.detach().numpy().copy() for name, values in network.state_dict().items()}


def _fit(training: Training) -> Fit:
    steps = training.epochs * training.steps
    return Fit(training.network(), loss, steps=steps, rate=RATE, memory=min(0.998, 1 - 10 / steps) if steps > 20 else 0.5)


def _named(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}:{name}": values for name, values in arrays.items()}


def _taken(prefix: str, state: State) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{prefix}:"): values for name, values in state.items() if name.startswith(f"{prefix}:")}
