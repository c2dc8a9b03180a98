"""The network of refine.deep_align: from a particle's image on rings to the region of the sphere that it was seen from.

One convolution, over the in-plane turn and the shift, whose kernels are as large as the particle: kernel by kernel it says how well the image fits
at every turn and in every look. What turn and shift were is nothing to the answer: their evidence is summed. The kernels begin as views of the map,
from even directions; training makes of them what tells regions best in images such as those of the particles. A hidden layer may correct the sum.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cryoloom.numerics.learn.blocks import Fittable
from cryoloom.numerics.learn.rings import Rings

BATCH = 256
"""Images answered at once: always as many, so that an image's answer hangs on nothing else."""
HIDDEN = 128
GAIN, SHOWN = 60.0, 0.25
"""Of the evidence in an untrained network: of correlations, and, beside them, of the power of a view, which images of one power show in part."""


class RegionNet(Fittable):
    """Maps looks at images ``(n, 1, T · rings, places)`` to logits of regions ``(n, regions)``.

    Parameters
    ----------
    rings
        How images are seen.
    regions, kernels
        How many.
    """

    def __init__(self, rings: Rings, regions: int, kernels: int) -> None:
        super().__init__()
        self.looks, self.rings, self.places = len(rings.shifts), rings.rings, rings.places
        self.kernels = nn.Parameter(torch.randn(self.places // 2 + 1, self.rings, kernels, 2))
        self.gain = nn.Parameter(torch.full((1,), math.log(GAIN)))
        self.strength = nn.Parameter(torch.zeros(kernels))
        self.nearness = nn.Parameter(torch.zeros(self.looks))
        self.belonging = nn.Parameter(torch.zeros(regions, kernels))
        self.hidden = nn.Linear(kernels, HIDDEN)
        self.correction = nn.Linear(HIDDEN, regions)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.register_buffer("temperature", torch.ones(1))

    @classmethod
    def of_views(cls, rings: Rings, views: Tensor, belonging: NDArray[np.float32], spread: float, seed: int) -> "RegionNet":
        """Return a network that has learned nothing but what a map looks like.

        Parameters
        ----------
        views
            Of the map from as many directions as there are kernels, ``(kernels, rings, places)``.
        belonging
            How much each of these directions belongs to each region, ``(kernels, regions)``.
        spread
            Standard deviation of shifts, px.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = cls(rings, belonging.shape[1], len(views))
        centred = views - (views * rings.weights[:, None]).sum(dim=1, keepdim=True).mean(dim=2, keepdim=True)
        power = (centred.square() * rings.weights[:, None]).sum(dim=1).mean(dim=1)
        harmonics = torch.view_as_real(torch.fft.rfft(centred, norm="forward")).permute(2, 1, 0, 3)
        with torch.no_grad():
            network.kernels.copy_(harmonics * rings.weights[:, None, None])
            size = network.kernels.square().mean().sqrt()
            network.kernels /= size
            network.gain.copy_(torch.log(GAIN * size / power.mean().sqrt())[None])
            network.strength.copy_(-SHOWN * GAIN * (power / power.mean()))
            network.nearness.copy_(torch.from_numpy(-0.5 * (rings.shifts**2).sum(axis=1) / spread**2))
            network.belonging.copy_(torch.from_numpy(belonging.T).clamp(min=1e-6).log())
        return network

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, by the temperature at which their probabilities are right."""
        looks = torch.fft.rfft(images.reshape(len(images), self.looks, self.rings, self.places), norm="forward")
        columns = looks.permute(3, 0, 1, 2).flatten(1, 2)
        products = torch.bmm(columns, torch.view_as_complex(self.kernels).conj())
        fits = torch.fft.irfft(products, n=self.places, dim=0, norm="forward").reshape(self.places, len(images), self.looks, -1)
        evidence = torch.logsumexp(self.gain.exp() * fits, dim=0) + self.nearness[:, None]
        directions = torch.logsumexp(evidence, dim=1) + self.strength
        directions = functional.log_softmax(directions, dim=1)
        answer = torch.logsumexp(directions[:, None] + self.belonging, dim=2)
        return (answer + self.correction(functional.relu(self.hidden(directions)))) / self.temperature

    def encoder(self) -> Iterator[nn.Parameter]:
        """Yield the kernels."""
        yield self.kernels

    @torch.no_grad()
    def logits(self, images: Tensor) -> NDArray[np.float32]:
        """Return the logits of looks at images ``(n, T · rings, places)``, ``(n, regions)``."""
        self.eval()
        answers = []
        for batch in images.split(BATCH):
            whole = torch.cat([batch, batch.new_zeros(BATCH - len(batch), *batch.shape[1:])])
            answers.append(self(whole[:, None])[: len(batch)])
        return torch.cat(answers).numpy()
