"""Fitting a network: small steps to do better, and the running mean of its weights."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cryoloom.numerics.learn.blocks import Fittable

Loss = Callable[[Tensor, Any], Tensor]


class Fit:
    """A network under training: AdamW, a rate that rises quickly and falls as a cosine, and the running mean of the weights.

    Parameters
    ----------
    loss
        How wrong answers are, given what was wanted.
    rate
        The highest learning rate.
    memory
        Share of the running mean that a step leaves.
    settled
        The network knows its trade: averages of the normalisation stay, and for the first third of the steps the encoder does, too.
    coarse
        Convolutions in bfloat16: twice as fast on processors that have it.
    """

    def __init__(
        self, network: Fittable, loss: Loss, *, steps: int, rate: float, memory: float = 0.998, settled: bool = False, coarse: bool = False
    ) -> None:
        self.network, self.loss, self.steps, self.rate, self.memory, self.settled = network, loss, steps, rate, memory, settled
        self.mean = copy.deepcopy(network).requires_grad_(False).eval()
        kernels = [values for values in network.parameters() if values.ndim == 4]
        others = [values for values in network.parameters() if values.ndim != 4]
        self.optimiser = torch.optim.AdamW([{"params": kernels, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}], lr=rate)
        self.taken, self.coarse = 0, coarse

    def step(self, images: Tensor, wanted: Any) -> float:
        """Take one step on levelled `images` ``(n, h, w)``; return the loss before it."""
        self.network.train(not self.settled)
        for values in self.network.encoder():
            values.requires_grad_(not (self.settled and self.taken < self.steps / 3))
        rise = min(1.0, (self.taken + 1) / max(1.0, 0.05 * self.steps))
        rate = self.rate * rise * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.taken / self.steps))))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.coarse):
            answers = self.network(images[:, None].contiguous(memory_format=torch.channels_last))
        wrong = self.loss(answers, wanted)
        wrong.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self._remember()
        return float(wrong.detach())

    @torch.no_grad()
    def _remember(self) -> None:
        self.taken += 1
        memory = min(self.memory, (1.0 + self.taken) / (10.0 + self.taken))
        now = self.network.state_dict()
        for name, mean in self.mean.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1.0 - memory)
            else:
                mean.copy_(now[name])

    def state(self) -> dict[str, np.ndarray]:
        """Return all that the steps to come depend on, as arrays by name."""
        held = {f"{part}/{name}": values for part, network in self._parts() for name, values in network.state_dict().items()}
        for name, values in zip((name for name, _ in self.network.named_parameters()), self._moments(), strict=True):
            held |= {f"optimiser/{name}/{moment}": value for moment, value in values.items()}
        return {name: values.detach().numpy().copy() for name, values in held.items()} | {"taken": np.array(self.taken)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave; both networks are of the same kind."""
        for part, network in self._parts():
            network.load_state_dict({name: torch.from_numpy(np.array(state[f"{part}/{name}"])) for name in network.state_dict()})
        for name, values in self.network.named_parameters():
            moments = {
                key.rsplit("/", 1)[1]: torch.from_numpy(np.array(held))
                for key, held in state.items()
                if key.startswith(f"optimiser/{name}/")
            }
            if moments:
                self.optimiser.state[values] = moments
        self.taken = int(state["taken"])

    def _parts(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("network", self.network), ("mean", self.mean)

    def _moments(self) -> list[dict[str, Tensor]]:
        return [self.optimiser.state.get(values, {}) for values in self.network.parameters()]
