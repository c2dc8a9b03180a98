"""The best poses of images in several class averages: all of them ranked by one matrix product an angular order, the best few refined."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_layout import Group
from cryoloom.numerics.align.class2d_match import kept_noise
from cryoloom.numerics.align.class2d_poses import aligned, shift_ramp, turned
from cryoloom.numerics.align.hierarchical_correntropy import Kernel, correntropies
from cryoloom.numerics.align.hierarchical_task import Poses, Task, mirrored
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

    def columns(self, column: Tensor) -> "Candidates":
        """Return some candidates ``(n, m)`` of each image."""
        rows = torch.arange(len(column))[:, None]
        return Candidates(*(getattr(self, name)[rows, column] for name in ("label", "angle", "flip", "place", "similarity")))

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

    def at(self, products: list[tuple[Tensor, Tensor]], angle: Tensor) -> Tensor:
        """Return the correlation at `angle` ``(n,)`` from products ``(orders, n)``."""
        total = torch.zeros_like(angle)
        for group, (real, imaginary) in zip(self.groups, products, strict=True):
            orders = torch.tensor(list(group.orders), dtype=torch.float32)[:, None]
            weight = torch.where(orders == 0, 1.0, 2.0)
            total += (weight * (torch.cos(orders * angle) * real - torch.sin(orders * angle) * imaginary)).sum(dim=0)
        return total

    def peaks(self, products: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the largest correlation and its angle, interpolated, of each."""
        values = self.correlations(products)
        best = values.argmax(dim=0, keepdim=True)
        count = len(values)
        left, centre, right = (values.gather(0, (best + step) % count)[0] for step in (-1, 0, 1))
        away, top = parabola(left, centre, right)
        return top, (best[0] + away) * (2 * math.pi / count)


def _overlap(image: Tensor, average: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ X conj(A) over rings of pairs, real and imaginary, ``(orders, pairs)``, of harmonics ``(orders, 2 · rings, pairs)``."""
    (a, b), (c, d) = image.chunk(2, dim=1), (average * weight).chunk(2, dim=1)
    return (a * c + b * d).sum(dim=1), (b * c - a * d).sum(dim=1)


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
    held
        What the averages hold of a member, ``(R, K)``, see `Update.held`: an image's pose in its class is judged by the average as it would be without
        the image, whose noise agrees with itself in the pose that it has, right or wrong. None: by the average as it is.
    kernel
        Judge the refined poses by correntropy, of which a member's own noise is no such part; None: by correlation.
    """

    def __init__(
        self, task: Task, images: Tensor, band: int, *, everywhere: bool, held: Tensor | None = None, kernel: Kernel | None = None
    ) -> None:
        self.task, self.images, self.band, self.kernel = task, images, band, kernel
        self.held = None if held is None else held[:band] * kept_noise(task.frame)
        self.samples = task.frame.sampler.samples(images)[:, :band].contiguous()  # (H, band, K)
        self.power = self.samples.abs().square().mean(dim=0)  # (band, K)
        self.grid = PlaceGrid.within(task.settings.reach, task.layout.box / (2.5 * min(band, _COARSE))) if everywhere else None

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
        _ = self._weighted, self._turns, self._shifts, self._coarse if self.grid is not None else None

    def _chunk(self, rows: Tensor, poses: Poses) -> Candidates:
        layout, observed = self.task.layout, self.task.observations
        harmonics = observed.signals(rows)
        arrays = [group.view(harmonics, self.band).flatten(2).permute(1, 2, 0) for group in layout.groups_within(self.band)]
        whole = layout.synthesise(arrays, self.band)  # (H, band, n)
        norm = self._norms(rows)
        places = [poses.place] if self.grid is None else self._coarse.best(whole)
        score, angle, here = self._ranked(whole, places[0], norm)
        place = places[0]
        for other in places[1:]:
            second, turn, there = self._ranked(whole, other, norm)
            better = second.amax(dim=(1, 2)) > score.amax(dim=(1, 2))
            score, angle = (torch.where(better[:, None, None], new, old) for new, old in ((second, score), (turn, angle)))
            here, place = torch.where(better, there, here), torch.where(better[:, None], other, place)
        best, way = score.max(dim=2)
        # The class that an image is in comes first.
        own = poses.label.clamp(min=0)[:, None]
        ranked = best.scatter(1, own, torch.where(poses.label[:, None] >= 0, math.inf, best.gather(1, own)))
        label = torch.topk(ranked, min(self.task.settings.candidates, ranked.shape[1]), dim=1).indices  # (n, t)
        flip = way.gather(1, label).bool()
        if self.task.settings.mirrors:
            # A place found for one of an image's mirrors speaks for that one: of the first class the other is refined too.
            label, flip = torch.cat([label, label[:, :1]], dim=1), torch.cat([flip, ~flip[:, :1]], dim=1)
        turn = angle[torch.arange(len(rows))[:, None], label, flip.long()]
        found, judged = self._refined(rows, poses, here, place, label, flip, turn, norm)
        if not self.task.settings.mirrors:
            return found
        column = torch.arange(label.shape[1] - 1).repeat(len(rows), 1)
        column[:, 0] = torch.where(judged[:, -1] > judged[:, 0], label.shape[1] - 1, 0)
        return found.columns(column)

    def _ranked(self, whole: Tensor, place: Tensor, norm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return similarities and angles ``(n, K, mirrored or not)`` of images at their places, and what they are there ``(H, band, n)``."""
        here = whole * shift_ramp(self.task.layout, -place, self.band)
        value, angle = self._turns.peaks(products(self.task.layout.analyse(here, self.band), self._weighted, self.task.settings.mirrors))
        return value / norm[..., None], angle, here

    def _refined(
        self, rows: Tensor, poses: Poses, here: Tensor, place: Tensor, label: Tensor, flip: Tensor, angle: Tensor, norm: Tensor
    ) -> tuple[Candidates, Tensor]:
        """Shift and turn again: the average, turned, is laid over the image within a window of places, and turned once more at the best.

        Returns
        -------
        What was found, and how similar the averages are without the images' own parts, ``(n, t)``: by that poses are judged. Classes are chosen by
        similarities to averages as they are, or small ones would lose their members to large ones.
        """
        layout, (count, number) = self.task.layout, label.shape
        image = torch.arange(count).repeat_interleave(number)
        classes, mirror, turn = label.flatten(), flip.flatten(), angle.flatten()
        averages = [array[:, :, classes] for array in self._arrays]
        mine = torch.nonzero(classes == poses.label[image])[:, 0] if self.held is not None else image[:0]
        own = [part[:, :, image[mine]] for part in self._own(rows, poses)] if len(mine) else []
        for array, part in zip(averages, own, strict=False):
            array[:, :, mine] -= part
        reference = layout.synthesise([_conjugate(array, mirror) for array in turned(layout, averages, turn, self.band)], self.band)
        norms = norm.gather(1, label).flatten()
        whole = norms.clone()
        norms[mine] = self._norm(rows[image[mine]], reference[:, :, mine].abs().square().mean(dim=0))
        area = layout.areas[: self.band, None] / layout.half_angles
        samples = here[:, :, image]
        product = (samples * reference.conj() * area).flatten(0, 1)  # (H · band, pairs)
        cosines, sines, steps = self._shifts
        overlap = cosines @ product.real - sines @ product.imag  # (places, pairs)
        start = place[image]
        outside = (start[None] + steps[:, None]).square().sum(dim=2) > self.task.settings.reach**2
        outside &= (steps.square().sum(dim=1) > 0)[:, None]
        window = overlap.masked_fill(outside, -math.inf)
        side = 2 * _WINDOW + 1
        away = peak_place(window.unflatten(0, (side, side)), window.argmax(dim=0)) - _WINDOW
        samples = samples * shift_ramp(layout, -away, self.band)
        seen = [_conjugate(array, mirror) for array in layout.analyse(samples, self.band)]
        value, turn = self._turns.peaks([_overlap(*each) for each in zip(seen, averages, self._weights, strict=True)])
        judged = (value / norms).unflatten(0, (count, number))
        if own:
            parts = zip((array[:, :, mine] for array in seen), own, self._weights, strict=True)
            value[mine] += self._turns.at([_overlap(*each) for each in parts], turn[mine])
        similarity = (value / whole).unflatten(0, (count, number))
        where = (start + away).unflatten(0, (count, number))
        found = Candidates(label, turn.unflatten(0, (count, number)), flip, where, similarity)
        if self.kernel is None:
            return found, judged
        assert self.task.pixels is not None
        agreement = correntropies(self.task.pixels[rows], self.images, found.label, found.angle, found.flip, found.place, self.kernel)
        agreement = torch.where(similarity > 0, agreement, 0.0)
        return Candidates(found.label, found.angle, found.flip, found.place, agreement), agreement

    def _own(self, rows: Tensor, poses: Poses) -> list[Tensor]:
        """Return what the averages hold of images in their last poses, harmonics ``(orders, 2 · rings, n)`` in the averages' frame."""
        assert self.held is not None
        layout, label = self.task.layout, poses.label.clamp(min=0)
        harmonics = mirrored(layout, self.task.observations.signals(rows), poses.flip)
        samples = aligned(layout, harmonics, poses.angle, poses.shift(), self.band)
        return layout.analyse(samples * (self.held[:, label] / self.task.noise[self.task.group[rows], : self.band].t()), self.band)

    # -- what all chunks share --------------------------------------------------------------------------------------------

    @cached_property
    def _weights(self) -> list[Tensor]:
        area = self.task.layout.areas
        return [area[group.ring - 1 : self.band].repeat(2)[None, :, None] for group in self.task.layout.groups_within(self.band)]

    @cached_property
    def _weighted(self) -> list[Tensor]:
        return [array * weight for array, weight in zip(self._arrays, self._weights, strict=True)]

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
        assert self.grid is not None
        return _Coarse(self, self.grid, min(self.band, _COARSE))

    def _norms(self, rows: Tensor) -> Tensor:
        """Return ``|X| |C A|`` of images and averages, ``(n, K)``."""
        area = self.task.layout.areas[: self.band]
        image = (self.task.observations.power[rows, : self.band] @ area).clamp(min=1e-12)
        average = (self.task.observations.squares(rows)[:, : self.band] * area) @ self.power
        return torch.sqrt(image[:, None] * average.clamp(min=1e-12))

    def _norm(self, rows: Tensor, power: Tensor) -> Tensor:
        """Return ``|X| |C A|`` of images and an average of each, of ring means `power` ``(band, n)``, ``(n,)``."""
        area, observed = self.task.layout.areas[: self.band], self.task.observations
        image = (observed.power[rows, : self.band] @ area).clamp(min=1e-12)
        return torch.sqrt(image * (observed.squares(rows)[:, : self.band] * power.t() @ area).clamp(min=1e-12))


class _Coarse:
    """Looks for the places of images: every node of a grid, every class, on few rings."""

    def __init__(self, search: Search, grid: "PlaceGrid", band: int) -> None:
        layout = search.task.layout
        self.layout, self.grid, self.band, self.mirrors = layout, grid, band, search.task.settings.mirrors
        area = layout.areas
        self.references = [
            array * area[group.ring - 1 : band].repeat(2)[None, :, None]
            for array, group in zip(layout.analyse(search.samples, band), layout.groups_within(band), strict=True)
        ]
        self.turns = Turns(layout.groups_within(band), _turn_count(search.task, band))
        self.ramps = shift_ramp(layout, -grid.nodes, band)
        self.norm = torch.sqrt((area[:band] @ search.power[:band]).clamp(min=1e-12))

    def best(self, whole: Tensor) -> list[Tensor]:
        """Return the two best places, ``(n, 2)`` each, of images ``(H, R, n)``: where some class fits best, and where else one does."""
        tops = []
        for number in range(len(self.grid.nodes)):
            here = whole[:, : self.band] * self.ramps[:, :, number, None]
            found = self.turns.correlations(products(self.layout.analyse(here, self.band), self.references, self.mirrors))
            tops.append((found.amax(dim=(0, 3)) / self.norm).amax(dim=1))
        return self.grid.peaks(torch.stack(tops))


@dataclass(frozen=True)
class PlaceGrid:
    """Places within the reach: `nodes` ``(s, 2)`` in px, those of a square grid of ``(2 · count + 1)²`` `step` px apart that lie in a circle.

    Attributes
    ----------
    cells
        Which of the square's cells, row by row, are nodes, ``(s,)``.
    """

    nodes: Tensor
    step: float
    count: int
    cells: Tensor

    @staticmethod
    def within(reach: float, step: float) -> "PlaceGrid":
        """Return the grid within a reach of px."""
        count = math.floor(reach / step)
        line = torch.arange(-count, count + 1, dtype=torch.float32) * step
        y, x = torch.meshgrid(line, line, indexing="ij")
        square = torch.stack([x, y], dim=-1).reshape(-1, 2)
        cells = torch.nonzero(square.square().sum(dim=1) <= reach**2 + 1e-3)[:, 0]
        return PlaceGrid(square[cells], step, count, cells)

    def peaks(self, values: Tensor) -> list[Tensor]:
        """Return the highest place, between nodes, of values ``(s, n)``, and the highest that is not beside it."""
        side = 2 * self.count + 1
        square = torch.full((side * side, values.shape[1]), -math.inf)
        square[self.cells] = values
        first = square.argmax(dim=0)
        row, column = torch.arange(side * side) // side, torch.arange(side * side) % side
        beside = ((row[:, None] - row[first]).abs() <= 1) & ((column[:, None] - column[first]).abs() <= 1)
        others = square.masked_fill(beside, -math.inf)
        second = torch.where(torch.isfinite(others.amax(dim=0)), others.argmax(dim=0), first)
        return [self.step * (peak_place(square.unflatten(0, (side, side)), cell) - self.count) for cell in (first, second)]


def products(images: list[Tensor], references: list[Tensor], mirrors: bool) -> list[tuple[Tensor, Tensor]]:
    """Return Σ X conj(R) over rings, and with X conjugated where `mirrors`, real and imaginary: ``(orders, n, K, 1 or 2)``."""
    out = []
    for image, reference in zip(images, references, strict=True):
        (a, b), (c, d) = (part.transpose(1, 2) for part in image.chunk(2, dim=1)), reference.chunk(2, dim=1)
        ac, bd, bc, ad = a @ c, b @ d, b @ c, a @ d
        ways = [(ac + bd, bc - ad), (ac - bd, -bc - ad)][: 1 + mirrors]
        out.append(tuple(torch.stack([way[part] for way in ways], dim=-1) for part in (0, 1)))
    return out


def _conjugate(array: Tensor, where: Tensor) -> Tensor:
    """Return harmonics ``(orders, 2 · rings, n)`` with those of `where` ``(n,)`` conjugated."""
    real, imaginary = array.chunk(2, dim=1)
    return torch.cat([real, torch.where(where, -imaginary, imaginary)], dim=1)


def peak_place(values: Tensor, cell: Tensor) -> Tensor:
    """Return (x, y) of peaks at `cell` ``(n,)`` of grids ``(rows, columns, n)``, in cells from the first, interpolated where the neighbours are known."""
    rows, columns, count = values.shape
    padded = torch.full((rows + 2, columns + 2, count), -math.inf)
    padded[1:-1, 1:-1] = values
    row, column, one = cell // columns + 1, cell % columns + 1, torch.arange(count)
    centre = padded[row, column, one]
    parts = []
    for down, right in ((0, 1), (1, 0)):
        before, after = padded[row - down, column - right, one], padded[row + down, column + right, one]
        known = torch.isfinite(before) & torch.isfinite(after)
        away, _ = parabola(torch.where(known, before, centre), centre, torch.where(known, after, centre))
        parts.append(torch.where(known, away, 0.0))
    return torch.stack([column - 1 + parts[0], row - 1 + parts[1]], dim=1)


def _turn_count(task: Task, band: int) -> int:
    """Return how many angles tell `band` rings of the particle apart; even."""
    return 2 * math.ceil(max(12.0, 3.2 * math.pi * band * task.frame.radius / task.layout.box) / 2)
