"""The best poses of images in several class averages: all of them ranked by one matrix product an angular order, the best few refined."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import Group
from cryoloom.numerics.align.class2d_poses import shift_ramp, turned
from cryoloom.numerics.align.hierarchical_correntropy import Kernel, correntropies
from cryoloom.numerics.align.hierarchical_task import Poses, Task
from cryoloom.numerics.parallel import blocks, ordered

_CHUNK = 64  # images compared at once
_COARSE = 10  # rings of the search over all places
_WINDOW = 3  # px around a place that are tried


@dataclass(frozen=True)
class Candidates:
    """The refined poses of n images in t classes each: all arrays ``(n, t)``, places ``(n, t, 2)``."""

    label: Tensor
    angle: Tensor
    flip: Tensor
    place: Tensor
    similarity: Tensor

    @staticmethod
    def join(parts: list["Candidates"]) -> "Candidates":
        """Return all of them, in order."""
        names = ("label", "angle", "flip", "place", "similarity")
        return Candidates(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def chosen(self, column: Tensor) -> Poses:
        """Return one candidate of each image."""
        rows = torch.arange(len(column))
        return Poses(*(getattr(self, name)[rows, column] for name in ("label", "angle", "flip", "place", "similarity")))


class Turns:
    """Correlations as functions of the angle, from products of harmonics; even and odd orders apart, for they tell half a turn from the other."""

    def __init__(self, groups: list[Group], count: int) -> None:
        self.groups, self.half = groups, count // 2
        angles = torch.arange(self.half, dtype=torch.float64) * (math.pi / self.half)
        self.tables = []
        for group in groups:
            orders = torch.tensor(list(group.orders), dtype=torch.float64)
            weight = torch.where(orders == 0, 1.0, 2.0)
            phase = angles[:, None] * orders
            self.tables.append(torch.cat([weight * torch.cos(phase), -weight * torch.sin(phase)], dim=1).to(torch.float32))

    def correlations(self, products: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Return ``(angles, ...)`` from real and imaginary parts ``(orders, ...)`` of each group."""
        shape = products[0][0].shape[1:]
        planes = [torch.zeros((self.half, math.prod(shape))) for _ in range(2)]
        for group, table, (real, imaginary) in zip(self.groups, self.tables, products, strict=True):
            planes[group.parity].addmm_(table, torch.cat([real, imaginary]).flatten(1))
        even, odd = planes
        return torch.cat([even + odd, even - odd]).unflatten(1, shape)

    def peaks(self, products: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the largest correlation and its angle, interpolated, of each."""
        values = self.correlations(products)
        best = values.argmax(dim=0, keepdim=True)
        count = len(values)
        left, centre, right = (values.gather(0, (best + step) % count)[0] for step in (-1, 0, 1))
        away, top = parabola(left, centre, right)
        return top, (best[0] + away) * (2 * math.pi / count)


def parabola(left: Tensor, centre: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return where between the neighbours, -0.5 ... 0.5, the peak of three values lies, and how high it is."""
    bend = (2.0 * centre - left - right).clamp(min=1e-12)
    away = (0.5 * (right - left) / bend).clamp(-0.5, 0.5)
    return away, centre + 0.25 * (right - left) * away


class Search:
    """Compares images with class averages.

    Parameters
    ----------
    images
        The averages, ``(K, box, box)``.
    band
        Rings compared.
    everywhere
        Look for the images' places anew, within the reach; otherwise they are where they were, give or take `_WINDOW` px.
    kernel
        Judge the refined poses by correntropy; None: by correlation.
    """

    def __init__(self, task: Task, images: Tensor, band: int, *, everywhere: bool, kernel: Kernel | None = None) -> None:
        self.task, self.images, self.band, self.kernel = task, images, band, kernel
        self.samples = task.frame.sampler.samples(images)[:, :band].contiguous()  # (H, band, K)
        self.power = self.samples.abs().square().mean(dim=0)  # (band, K)
        self.nodes = _nodes(task, min(band, _COARSE)) if everywhere else None

    @cached_property
    def _arrays(self) -> list[Tensor]:
        return self.task.layout.analyse(self.samples, self.band)

    def candidates(self, rows: Tensor, poses: Poses) -> Candidates:
        """Return the best few poses of images `rows`, whose last poses are `poses`; the class they are in is always among them."""
        # Made here, not by whichever thread comes first.
        self._ready()
        parts = blocks(len(rows), _CHUNK)
        every = torch.arange(len(rows))
        return Candidates.join(list(ordered(lambda cut: self._chunk(rows[cut], poses.at(every[cut])), parts, self.task.threads)))

    def _ready(self) -> None:
        _ = self._arrays, self._turns, self._shifts, self._coarse if self.nodes is not None else None

    def _chunk(self, rows: Tensor, poses: Poses) -> Candidates:
        layout, observed = self.task.layout, self.task.observations
        harmonics = observed.signals(rows)
        arrays = [group.view(harmonics, self.band).flatten(2).permute(1, 2, 0) for group in layout.groups_within(self.band)]
        whole = layout.synthesise(arrays, self.band)  # (H, band, n)
        norm = self._norms(rows)
        place = poses.place if self.nodes is None else self._coarse.best(whole, norm)
        here = whole * shift_ramp(layout, -place, self.band)
        value, angle = self._turns.peaks(self._products(layout.analyse(here, self.band), self._weighted, self.task.settings.mirrors))
        score = value / norm[..., None]  # (n, K, mirrored or not)
        score, way = score.max(dim=2)
        angle = angle.gather(2, way[..., None])[..., 0]
        # The class that an image is in comes first.
        own = poses.label.clamp(min=0)[:, None]
        ranked = score.scatter(1, own, torch.where(poses.label[:, None] >= 0, math.inf, score.gather(1, own)))
        label = torch.topk(ranked, min(self.task.settings.candidates, ranked.shape[1]), dim=1).indices  # (n, t)
        return self._refined(rows, here, place, label, way.gather(1, label).bool(), angle.gather(1, label), norm)

    def _refined(self, rows: Tensor, here: Tensor, place: Tensor, label: Tensor, flip: Tensor, angle: Tensor, norm: Tensor) -> Candidates:
        """Shift and turn again: the average, turned, is laid over the image within a window of places, and turned once more at the best."""
        layout, (count, number) = self.task.layout, label.shape
        image = torch.arange(count).repeat_interleave(number)
        classes, mirror, turn = label.flatten(), flip.flatten(), angle.flatten()
        arrays = turned(layout, [array[:, :, classes] for array in self._arrays], turn, self.band)
        reference = layout.synthesise([_conjugate(array, mirror) for array in arrays], self.band)
        area = layout.areas[: self.band, None] / layout.half_angles
        samples = here[:, :, image]
        product = (samples * reference.conj() * area).flatten(0, 1)  # (H · band, pairs)
        cosines, sines, steps = self._shifts
        overlap = cosines @ product.real - sines @ product.imag  # (places, pairs)
        start = place[image]
        outside = (start[None] + steps[:, None]).square().sum(dim=2) > self.task.settings.reach**2
        outside &= (steps.square().sum(dim=1) > 0)[:, None]
        away = _peak(overlap.masked_fill(outside, -math.inf))
        samples = samples * shift_ramp(layout, -away, self.band)
        pairs = []
        for group_array, references in zip(layout.analyse(samples, self.band), self._weighted, strict=True):
            (a, b), (c, d) = _conjugate(group_array, mirror).chunk(2, dim=1), references[:, :, classes].chunk(2, dim=1)
            pairs.append(((a * c + b * d).sum(dim=1), (b * c - a * d).sum(dim=1)))
        value, turn = self._turns.peaks(pairs)
        similarity = value.unflatten(0, (count, number)) / norm.gather(1, label)
        where = (start + away).unflatten(0, (count, number))
        found = Candidates(label, turn.unflatten(0, (count, number)), flip, where, similarity)
        if self.kernel is None:
            return found
        assert self.task.pixels is not None
        judged = correntropies(self.task.pixels[rows], self.images, found.label, found.angle, found.flip, found.place, self.kernel)
        return Candidates(found.label, found.angle, found.flip, found.place, torch.where(similarity > 0, judged, 0.0))

    # -- what all chunks share --------------------------------------------------------------------------------------------

    @cached_property
    def _weighted(self) -> list[Tensor]:
        area = self.task.layout.areas
        weights = [area[group.ring - 1 : self.band].repeat(2)[None, :, None] for group in self.task.layout.groups_within(self.band)]
        return [array * weight for array, weight in zip(self._arrays, weights, strict=True)]

    @cached_property
    def _turns(self) -> Turns:
        return Turns(self.task.layout.groups_within(self.band), _turn_count(self.task, self.band))

    @cached_property
    def _shifts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines and sines ``(places, H · band)`` of the waves that shifts ``(places, 2)`` undo."""
        line = torch.arange(-_WINDOW, _WINDOW + 1, dtype=torch.float32)
        y, x = torch.meshgrid(line, line, indexing="ij")
        steps = torch.stack([x, y], dim=-1).reshape(-1, 2)
        ramp = shift_ramp(self.task.layout, -steps, self.band).flatten(0, 1).t()
        return ramp.real.contiguous(), ramp.imag.contiguous(), steps

    @cached_property
    def _coarse(self) -> "_Coarse":
        assert self.nodes is not None
        return _Coarse(self, self.nodes, min(self.band, _COARSE))

    def _norms(self, rows: Tensor, band: int | None = None) -> Tensor:
        """Return ``|X| |C A|`` of images and averages, ``(n, K)``."""
        band = self.band if band is None else band
        area = self.task.layout.areas[:band]
        image = (self.task.observations.power[rows, :band] @ area).clamp(min=1e-12)
        average = (self.task.observations.squares(rows)[:, :band] * area) @ self.power[:band]
        return torch.sqrt(image[:, None] * average.clamp(min=1e-12))

    @staticmethod
    def _products(images: list[Tensor], references: list[Tensor], mirrors: bool) -> list[tuple[Tensor, Tensor]]:
        """Return Σ X conj(R) over rings, and with X conjugated where `mirrors`, real and imaginary: ``(orders, n, K, 1 or 2)``."""
        out = []
        for image, reference in zip(images, references, strict=True):
            (a, b), (c, d) = (part.transpose(1, 2) for part in image.chunk(2, dim=1)), reference.chunk(2, dim=1)
            ac, bd, bc, ad = a @ c, b @ d, b @ c, a @ d
            ways = [(ac + bd, bc - ad), (ac - bd, -bc - ad)][: 1 + mirrors]
            out.append(tuple(torch.stack([way[part] for way in ways], dim=-1) for part in (0, 1)))
        return out


class _Coarse:
    """Looks for the places of images: every node of a grid, every class, on few rings."""

    def __init__(self, search: Search, nodes: Tensor, band: int) -> None:
        layout = search.task.layout
        self.search, self.nodes, self.band = search, nodes, band
        area = layout.areas
        arrays = layout.analyse(search.samples, band)
        self.references = [
            array * area[group.ring - 1 : band].repeat(2)[None, :, None]
            for array, group in zip(arrays, layout.groups_within(band), strict=True)
        ]
        self.turns = Turns(layout.groups_within(band), _turn_count(search.task, band))
        self.ramps = shift_ramp(layout, -nodes, band)
        self.norm = torch.sqrt((area[:band] @ search.power[:band]).clamp(min=1e-12))

    def best(self, whole: Tensor, norm: Tensor) -> Tensor:
        """Return the node, ``(n, 2)``, at which some class fits each image, ``(H, R, n)``, best."""
        layout, mirrors = self.search.task.layout, self.search.task.settings.mirrors
        tops = []
        for number in range(len(self.nodes)):
            here = whole[:, : self.band] * self.ramps[:, :, number, None]
            found = self.turns.correlations(Search._products(layout.analyse(here, self.band), self.references, mirrors))
            tops.append((found.amax(dim=(0, 3)) / self.norm).amax(dim=1))
        return self.nodes[torch.stack(tops).argmax(dim=0)]


def _conjugate(array: Tensor, where: Tensor) -> Tensor:
    """Return harmonics ``(orders, 2 · rings, n)`` with those of `where` ``(n,)`` conjugated."""
    real, imaginary = array.chunk(2, dim=1)
    return torch.cat([real, torch.where(where, -imaginary, imaginary)], dim=1)


def _peak(overlap: Tensor) -> Tensor:
    """Return the place ``(n, 2)`` in px of the peaks of windows ``((2 w + 1)², n)``, interpolated where the neighbours are known."""
    side = 2 * _WINDOW + 1
    padded = torch.full((side + 2, side + 2, overlap.shape[1]), -math.inf)
    padded[1:-1, 1:-1] = overlap.unflatten(0, (side, side))
    best = overlap.argmax(dim=0)
    row, column, one = best // side + 1, best % side + 1, torch.arange(overlap.shape[1])
    centre = padded[row, column, one]
    parts = []
    for down, right in ((0, 1), (1, 0)):
        before, after = padded[row - down, column - right, one], padded[row + down, column + right, one]
        known = torch.isfinite(before) & torch.isfinite(after)
        away, _ = parabola(torch.where(known, before, centre), centre, torch.where(known, after, centre))
        parts.append(torch.where(known, away, 0.0))
    return torch.stack([column - 1 - _WINDOW + parts[0], row - 1 - _WINDOW + parts[1]], dim=1)


def _turn_count(task: Task, band: int) -> int:
    """Return how many angles tell `band` rings of the particle apart; even."""
    return 2 * math.ceil(max(12.0, 3.2 * math.pi * band * task.frame.radius / task.layout.box) / 2)


def _nodes(task: Task, band: int) -> Tensor:
    """Return places ``(s, 2)`` within the reach, as far apart as the window of the refinement and `band` rings allow."""
    step = min(task.layout.box / (2.0 * band), 1.5 * _WINDOW)
    count = math.floor(task.settings.reach / step)
    line = torch.arange(-count, count + 1, dtype=torch.float32) * step
    y, x = torch.meshgrid(line, line, indexing="ij")
    nodes = torch.stack([x, y], dim=-1).reshape(-1, 2)
    return nodes[nodes.square().sum(dim=1) <= task.settings.reach**2 + 1e-3]
