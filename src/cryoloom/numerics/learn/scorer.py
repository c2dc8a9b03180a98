"""The networks of pick.consensus: each looks at one position of a micrograph and says whether a particle is centred there.

Several small networks, trained from different beginnings, answer together; how far they differ tells how sure they are. A position is seen with
what surrounds it, so that an edge, a heap or a neighbour nearer than a particle can be told.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from cryoloom.numerics.learn.blocks import Convolution, Fittable, Residual
from cryoloom.numerics.learn.levelling import level
from cryoloom.numerics.learn.weights import read_weights, shipped_weights

GRAIN = 24.0
"""Pixels across the particle in the micrographs that positions are cut from."""

SIDE = 64
"""Pixels a side of what is shown of a position."""

MEMBERS = 3
"""Networks that answer together."""

BATCH = 32
"""Positions looked at in one go; the last batch of a micrograph is filled up, so larger ones cost more and are not faster."""


class Scorer(Fittable):
    """One network: squares ``(n, 1, SIDE, SIDE)`` of a levelled micrograph to logits ``(n,)``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Convolution(1, 16, size=5, stride=2), Residual(16, 32, stride=2), Residual(32, 64, stride=2), Convolution(64, 64)
        )
        self.answer = nn.Sequential(nn.Linear(3 * 64, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))

    def forward(self, squares: Tensor) -> Tensor:
        """Return the logit of a particle at the centre of each square."""
        seen = self.features(squares)
        middle = seen.shape[-1] // 2
        centre = seen[:, :, middle - 1 : middle + 1, middle - 1 : middle + 1].mean(dim=(2, 3))
        return self.answer(torch.cat([centre, seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1))[:, 0]

    def encoder(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the convolutions."""
        return self.features.parameters()


class Ensemble(nn.Module):
    """`MEMBERS` scorers, and the calibration of their mean logit."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(Scorer() for _ in range(MEMBERS))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, squares: Tensor) -> Tensor:
        """Return the logits ``(members, n)``, calibrated."""
        logits = torch.stack([member(squares) for member in self.members])
        return self.calibration[0] * logits + self.calibration[1]

    @torch.no_grad()
    def scores(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the logits ``(members, n)`` of positions `x`, `y` (px) of a reduced micrograph ``(h, w)``, particles bright and `GRAIN` px wide.

        Squares that reach over the edge are filled by reflection. Batches have one size, so that a position's logit hangs on nothing else.
        """
        self.eval()
        squares = cut_squares(level(image[None], GRAIN)[0], x, y)
        batches = [self(_filled(batch)[:, None])[:, : len(batch)] for batch in squares.split(BATCH)]
        return torch.cat(batches, dim=1) if batches else torch.zeros(MEMBERS, 0)


@lru_cache(maxsize=2)
def read_scorer(path: Path | None) -> Ensemble:
    """Return the networks whose weights are at `path`; None: those that come with cryoloom. They are shared: copy them before training."""
    ensemble = Ensemble()
    read_weights(ensemble, path or shipped_weights("pick-consensus"))
    return ensemble.eval()


def cut_squares(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return ``(n, SIDE, SIDE)`` of a levelled `image` ``(h, w)``, its pixel nearest to each position at ``SIDE // 2``."""
    half = SIDE // 2
    height, width = image.shape
    axis = torch.arange(-half, half)
    rows = _reflected(y.round().long()[:, None] + axis, height)
    columns = _reflected(x.round().long()[:, None] + axis, width)
    return image[rows[:, :, None], columns[:, None, :]]


def _reflected(index: Tensor, length: int) -> Tensor:
    """Return indices within 0 … `length` - 1, reflected at the ends as often as it takes."""
    period = max(1, 2 * (length - 1))
    index = index.remainder(period)
    return torch.minimum(index, period - index).clamp(max=length - 1)


def _filled(batch: Tensor) -> Tensor:
    if len(batch) == BATCH:
        return batch
    return torch.cat([batch, batch.new_zeros(BATCH - len(batch), SIDE, SIDE)])
