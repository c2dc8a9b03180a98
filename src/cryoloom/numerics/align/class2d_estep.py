"""Expectation: which class, angle and shift made each image, with which probability.

With the sufficient statistics C X of an image, its log-weight under a pose T of class k is

    log w(i, k, T) = log π_k + log p(T) + Re Σ conj(C X_i) T A_k / σ² - ½ Σ C² |A_k|² / σ²,

sums over the half-plane of Fourier coefficients. The search goes from coarse to fine. Coarse: all classes, shifts and angles in a low
band; in polar harmonics the scores of a block of images are real matrix products over rings, then over orders. Fine: an image is
brought to the centre of each cell that could matter and compared, in the whole band, with the reference in 27 poses around it.
Every cell always has the same children, so this is a search of one fixed fine grid.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import PolarLayout
from cryoloom.numerics.align.class2d_observations import Observations
from cryoloom.numerics.align.class2d_poses import Children, PoseGrid, posed, shift_ramp
from cryoloom.numerics.parallel import blocks, ordered

BLOCK = 64
"""Images compared at once; part of the result's bits."""

_COLUMNS = 84  # (class, shift) pairs scored at once


@dataclass(frozen=True)
class References:
    """The model that images are compared with.

    Attributes
    ----------
    samples
        Polar samples of the references, complex64 ``(H, R, K)``.
    log_share
        ``log π_k``, ``(K,)``.
    noise
        σ², half the variance of a noise coefficient, by optics group and ring, ``(G, R)``.
    shift_sigma
        Standard deviation of the shifts along an axis, px.
    """

    samples: Tensor
    log_share: Tensor
    noise: Tensor
    shift_sigma: float

    @cached_property
    def power(self) -> Tensor:
        """Return the ring means of ``|A|²``, ``(K, R)``."""
        return self.samples.abs().square().mean(dim=0).t().contiguous()


@dataclass(frozen=True)
class Cells:
    """Cells of the pose space, one row each.

    Attributes
    ----------
    image
        Row of the observations.
    label
        Class.
    turn, node
        Coarse angle and shift, as numbers of the grid.
    scores
        Log-weights of the cell's children (of its centre alone after a coarse search), ``(n, C)``, tempered.
    """

    image: Tensor
    label: Tensor
    turn: Tensor
    node: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def take(self, index: Tensor | slice) -> "Cells":
        """Return some of the rows."""
        return Cells(self.image[index], self.label[index], self.turn[index], self.node[index], self.scores[index])

    @staticmethod
    def join(parts: "list[Cells]") -> "Cells":
        """Concatenate."""
        rows = ((part.image, part.label, part.turn, part.node, part.scores) for part in parts)
        return Cells(*(torch.cat(column) for column in zip(*rows, strict=True)))

    def by_class(self) -> "Cells":
        """Return the rows sorted by class, otherwise in the same order."""
        return self.take(torch.argsort(self.label, stable=True))


@dataclass(frozen=True)
class Search:
    """One expectation step: what is compared with what, and how closely.

    Attributes
    ----------
    observations, group
        `group` is the optics group of every image, as a row of ``references.noise``.
    coarse_band, band
        Outermost ring of the coarse and of the fine comparison.
    children
        What the fine search looks at around a cell; the centre alone and ``band = coarse_band``: no fine search.
    temperature
        Log-weights are divided by it (1: the posterior).
    margin, leeway, most
        Cells more than `margin` and `leeway` of its score below an image's best, or beyond its `most` best, are dropped. A peak that lies between
        cells loses a share of its height: the better an image fits, the more may a worse cell gain.
    """

    layout: PolarLayout
    observations: Observations
    group: Tensor
    references: References
    grid: PoseGrid
    coarse_band: int
    band: int
    children: Children
    temperature: float = 1.0
    margin: float = 10.0
    leeway: float = 0.5
    most: int = 32

    def precision(self, band: int) -> Tensor:
        """Return ring area / (σ² · temperature) up to `band`, nothing beyond, ``(G, R)``."""
        precision = self.layout.areas.to(self.references.noise) / (self.references.noise * self.temperature)
        precision[:, band:] = 0.0
        return precision

    def base(self, rows: Tensor, precision: Tensor) -> Tensor:
        """Return ``log π_k - ½ Σ C² |A_k|² / σ²``, tempered, ``(rows, K)``."""
        weighted = self.observations.squares(rows) * precision[self.group[rows]]
        return self.references.log_share / self.temperature - 0.5 * (weighted @ self.references.power.t())

    def log_prior(self, shifts: Tensor) -> Tensor:
        """Return the tempered log prior of poses with `shifts` ``(..., 2)``: a Gaussian; all angles alike."""
        variance = self.references.shift_sigma**2
        cells = 2 * math.pi * variance / self.grid.step**2 * self.grid.turns
        return (-shifts.square().sum(-1) / (2.0 * variance) - math.log(cells)) / self.temperature

    @cached_property
    def _tiles(self) -> list[tuple[Tensor, list[Tensor]]]:
        """Return per tile its classes and their shifted references, arrays ``(orders, 2 · rings, classes · S)``."""
        band, device = self.coarse_band, self.references.samples.device
        nodes = Children(torch.zeros(len(self.grid.nodes)), self.grid.nodes)
        labels = torch.arange(len(self.references.power), device=device)
        return [
            (labels[part], self.layout.analyse(posed(self.layout, self.references.samples[:, :, part], nodes, band), band))
            for part in blocks(len(labels), max(1, _COLUMNS // len(nodes)))
        ]

    @cached_property
    def _turning(self) -> tuple[Tensor, Tensor]:
        """Return, for even and odd orders, the matrix ``(turns / 2, 2 · orders)`` from harmonic products to half a turn of scores."""
        angle = torch.arange(self.grid.turns // 2, dtype=torch.float64)[:, None] * self.grid.turn
        groups = self.layout.groups_within(self.coarse_band)
        even, odd = ([m for group in groups if group.parity == parity for m in group.orders] for parity in (0, 1))
        phases = (angle * torch.tensor(orders, dtype=torch.float64) for orders in (even, odd))
        device = self.references.samples.device
        first, second = (torch.cat([torch.cos(phase), torch.sin(phase)], dim=1).to(device, torch.float32) for phase in phases)
        return first, second

    def coarse(self, rows: Tensor) -> Cells:
        """Return the coarse cells of the images `rows` that could matter, sorted by image and falling score."""
        count, nodes = len(rows), len(self.grid.nodes)
        groups = self.layout.groups_within(self.coarse_band)
        precision = self.precision(self.coarse_band)
        weighted = self.observations.signals(rows) * self.layout.packed_weights(precision)[self.group[rows]]
        base = self.base(rows, precision)
        prior = self.log_prior(self.grid.nodes.to(weighted.device))
        left = [_both_sides(group.view(weighted, self.coarse_band)) for group in groups]
        orders = [matrix.shape[1] // 2 for matrix in self._turning]
        leaders = weighted.new_full((count, self.most), -torch.inf)
        kept = []
        for labels, arrays in self._tiles:
            columns = len(labels) * nodes
            products = [weighted.new_empty((2, number, count, columns)) for number in orders]
            at = [0, 0]
            for group, (plain, crossed), right in zip(groups, left, arrays, strict=True):
                own = slice(at[group.parity], at[group.parity] + group.count)
                at[group.parity] = own.stop
                torch.bmm(plain, right, out=products[group.parity][0, own])
                torch.bmm(crossed, right, out=products[group.parity][1, own])
            # What does not depend on the angle is the cosine part of order 0.
            products[0][0, 0] += (base[:, labels, None] + prior).flatten(1)
            even, odd = (matrix @ product.flatten(0, 1).flatten(1) for matrix, product in zip(self._turning, products, strict=True))
            # Half a turn further the odd orders change their sign.
            peak = (odd.abs() + even).amax(dim=0).view(count, columns)
            leaders = torch.cat([leaders, peak], dim=1).topk(self.most, dim=1).values
            image, column = torch.nonzero(peak >= self._floor(leaders)[:, None], as_tuple=True)
            cell = image * columns + column
            kept.append((image, labels[column // nodes], column % nodes, peak[image, column], even[:, cell], odd[:, cell]))
        return self._best_cells(rows, self._floor(leaders), kept)

    def _floor(self, leaders: Tensor) -> Tensor:
        """Return the score that a cell must reach; `leaders` are the best of different (class, shift), falling."""
        best = leaders[:, 0]
        return torch.maximum(best - self.margin - self.leeway * best.clamp(min=0.0), leaders[:, -1])

    def _best_cells(self, rows: Tensor, floor: Tensor, kept: list[tuple[Tensor, ...]]) -> Cells:
        image, label, node, peak = (torch.cat([part[field] for part in kept]) for field in range(4))
        live = torch.nonzero(peak >= floor[image])[:, 0]
        even, odd = (torch.cat([part[field] for part in kept], dim=1)[:, live] for field in (4, 5))
        scores = torch.cat([even + odd, even - odd])
        turn, column = torch.nonzero(scores >= floor[image[live]], as_tuple=True)
        score, column = scores[turn, column], live[column]
        order = torch.argsort(score, descending=True, stable=True)
        order = order[torch.argsort(image[column[order]], stable=True)]
        order = order[rank_within(image[column[order]]) < self.most]
        turn, column = turn[order], column[order]
        return Cells(rows[image[column]], label[column], turn, node[column], score[order, None])

    @cached_property
    def _poses(self) -> Tensor:
        """Return the references in the children's poses, ``(K, H · band · 2, C)``."""
        count = len(self.references.power)
        poses = posed(self.layout, self.references.samples, self.children, self.band).unflatten(2, (count, -1))
        return torch.view_as_real(poses).permute(2, 0, 1, 4, 3).reshape(count, -1, len(self.children))

    @cached_property
    def _unshift(self) -> Tensor:
        """Return the factors that bring an image at each node back to the centre, ``(S, H, band)``."""
        nodes = self.grid.nodes.to(self.references.samples.device)
        return shift_ramp(self.layout, -nodes, self.band).permute(2, 0, 1).contiguous()

    @cached_property
    def _child_prior(self) -> Tensor:
        """Return the log prior of every child of every node, ``(S, C)``."""
        nodes, count = self.grid.nodes, len(self.children)
        number = torch.arange(count).repeat(len(nodes))
        shifts = self.children.compose(torch.zeros(len(number)), nodes.repeat_interleave(count, 0), number)[1]
        prior = self.log_prior(shifts.view(len(nodes), count, 2)) - math.log(count) / self.temperature
        return prior.to(self.references.samples.device)

    def fine(self, cells: Cells) -> Cells:
        """Return `cells`, sorted by image, with the log-weights of their children in the whole band."""
        half, band = self.layout.half_angles, self.band
        images, member = torch.unique_consecutive(cells.image, return_inverse=True)
        packed = self.observations.signals(images)
        arrays = [group.view(packed, band).flatten(2).permute(1, 2, 0) for group in self.layout.groups_within(band)]
        precision = self.precision(band)
        samples = self.layout.synthesise(arrays, band).permute(2, 0, 1)
        samples = samples * (precision[self.group[images], None, :band] / half)
        # Three half turns, so that a turned image is a window of its samples.
        around = torch.cat([samples, samples.conj(), samples], dim=1).flatten(0, 1)
        base = self.base(cells.image, precision)[torch.arange(len(cells)), cells.label, None]
        scores = base + self._child_prior[cells.node]
        window = torch.arange(half, device=packed.device)
        for label in torch.unique(cells.label).tolist():
            own = torch.nonzero(cells.label == label)[:, 0]
            first = member[own] * (3 * half) + cells.turn[own] * self.grid.stride
            back = around[(first[:, None] + window).flatten()].view(len(own), half, band) * self._unshift[cells.node[own]]
            scores[own] += torch.view_as_real(back).flatten(1) @ self._poses[label]
        return Cells(cells.image, cells.label, cells.turn, cells.node, scores)

    def search(self, rows: Tensor, threads: int) -> Cells:
        """Return the cells of the images `rows` that could matter, sorted by image."""
        fine = self.band > self.coarse_band or len(self.children) > 1

        def work(part: slice) -> Cells:
            cells = self.coarse(rows[part])
            return self.fine(cells) if fine else cells

        for shared in (self._tiles, self._turning, *((self._poses, self._unshift, self._child_prior) if fine else ())):
            del shared  # computed once, before the threads ask for it
        return Cells.join(list(ordered(work, blocks(len(rows), BLOCK), threads)))


@dataclass(frozen=True)
class Posterior:
    """Probabilities of poses, one row each.

    Attributes
    ----------
    rows
        Images of the search, rising.
    image, label
        Row of the observations, and class.
    angle, shift
        The pose: radians ``(n,)``, px ``(n, 2)``.
    weight
        Those of an image sum to 1.
    evidence
        Per image of the search, the log of the sum of its weights before they were normalised, tempered, float64: how much better
        than an empty image the model explains it.
    """

    rows: Tensor
    image: Tensor
    label: Tensor
    angle: Tensor
    shift: Tensor
    weight: Tensor
    evidence: Tensor

    @property
    def slot(self) -> Tensor:
        """Return the place in `rows` of every pose's image."""
        return torch.searchsorted(self.rows, self.image)


def posterior(search: Search, cells: Cells, rows: Tensor, *, hard: bool, least: float) -> Posterior:
    """Turn the log-weights of cells into probabilities.

    Parameters
    ----------
    cells, rows
        What ``search.search(rows)`` returned; `rows` rising.
    hard
        Take of every image and class only the best pose.
    least
        Poses with less than this probability are dropped, except an image's best.
    """
    scores, count = cells.scores, len(rows)
    slot = torch.searchsorted(rows, cells.image)
    if hard:
        pair = slot * len(search.references.power) + cells.label
        best, child = scores.max(dim=1)
        order = torch.argsort(best, descending=True, stable=True)
        order = order[torch.argsort(pair[order], stable=True)]
        cell = torch.sort(order[rank_within(pair[order]) == 0]).values
        child = child[cell]
    else:
        top = scores.new_full((count,), -torch.inf).scatter_reduce_(0, slot, scores.amax(dim=1), "amax")
        cell, child = torch.nonzero(scores > top[slot, None] + math.log(least), as_tuple=True)
    score, image = scores[cell, child], slot[cell]
    top = scores.new_full((count,), -torch.inf).scatter_reduce_(0, image, score, "amax")
    weight = torch.exp((score - top[image]).to(torch.float64))
    sums = weight.new_zeros(count).index_add_(0, image, weight)
    live = torch.nonzero((weight >= least * sums[image]) | (score == top[image]))[:, 0]
    # What was dropped goes to the poses that stay.
    weight = weight[live] / weight.new_zeros(count).index_add_(0, image[live], weight[live])[image[live]]
    cell, child = cell[live], child[live]
    angle, shift = search.children.compose(cells.turn[cell] * search.grid.turn, search.grid.nodes.to(rows.device)[cells.node[cell]], child)
    evidence = top.to(torch.float64) + torch.log(sums)
    return Posterior(rows, cells.image[cell], cells.label[cell], angle, shift, weight.to(torch.float32), evidence)


def rank_within(sorted_keys: Tensor) -> Tensor:
    """Return 0, 1, 2 ... within each run of equal keys."""
    index = torch.arange(len(sorted_keys), device=sorted_keys.device)
    starts = torch.ones_like(sorted_keys, dtype=torch.bool)
    starts[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return index - torch.where(starts, index, 0).cummax(dim=0).values if len(index) else index


def _both_sides(view: Tensor) -> tuple[Tensor, Tensor]:
    """Return the left factors, ``(orders, n, 2 · rings)``, of the real and the imaginary part of ``Σ conj(Y) A``."""
    moved = view.permute(1, 0, 2, 3)
    return moved.flatten(2), torch.stack([-moved[:, :, 1], moved[:, :, 0]], dim=2).flatten(2)
