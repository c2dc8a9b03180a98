"""The best poses of images in several class averages: all of them ranked by one matrix product an angular order, the best few refined."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_match import kept_harmonics
from cryoloom.numerics.align.class2d_poses import aligned, shift_ramp
from cryoloom.numerics.align.hierarchical_correntropy import Kernel, correntropies
from cryoloom.numerics.align.hierarchical_overlay import Lines, Overlay, Pairs, lines_of
from cryoloom.numerics.align.hierarchical_task import Poses, Task, mirrored
from cryoloom.numerics.align.hierarchical_turns import Turns, parabola
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
        self.held = None if held is None else held[:band]
        self.samples = task.frame.sampler.samples(images)[:, :band].contiguous()  # (H, band, K)
        self.power = self.samples.abs().square().mean(dim=0)  # (band, K)
        self.grid = PlaceGrid.within(task.settings.reach, task.layout.box / (2.5 * min(band, _COARSE))) if everywhere else None

    def candidates(self, rows: Tensor, poses: Poses) -> Candidates:
        """Return the best few poses of images `rows`, whose last poses are `poses`; the class they are in is always among them."""
        # Made here, not by whichever thread comes first.
        _ = self._turns, self._overlay, self._averages, self._shares, self._coarse if self.grid is not None else None
        parts = blocks(len(rows), _CHUNK)
        every = torch.arange(len(rows))
        return Candidates.join(list(ordered(lambda cut: self._chunk(rows[cut], poses.at(every[cut])), parts, self.task.threads)))

    def _chunk(self, rows: Tensor, poses: Poses) -> Candidates:
        images, score, angle = self._placed(rows, poses)
        best, way = score.max(dim=1)
        # The class that an image is in comes first.
        own = poses.label.clamp(min=0)[:, None]
        ranked = best.scatter(1, own, torch.where(poses.label[:, None] >= 0, math.inf, best.gather(1, own)))
        label = torch.topk(ranked, min(self.task.settings.candidates, ranked.shape[1]), dim=1).indices  # (n, t)
        flip = way.gather(1, label).bool()
        if self.task.settings.mirrors:
            # A place found for one of an image's mirrors speaks for that one: of the first class the other is refined too.
            label, flip = torch.cat([label, label[:, :1]], dim=1), torch.cat([flip, ~flip[:, :1]], dim=1)
        found, judged = self._refined(images, label, flip, angle[torch.arange(len(rows))[:, None], flip.long(), label])
        if not self.task.settings.mirrors:
            return found
        column = torch.arange(label.shape[1] - 1).repeat(len(rows), 1)
        column[:, 0] = torch.where(judged[:, -1] > judged[:, 0], label.shape[1] - 1, 0)
        return found.columns(column)

    def _placed(self, rows: Tensor, poses: Poses) -> tuple["_Images", Tensor, Tensor]:
        """Return images where they are or, of the best two places, where a class fits better; similarities and angles ``(n, mirrored or not, K)``."""
        layout, harmonics = self.task.layout, self.task.observations.signals(rows)
        whole = layout.synthesise(
            [group.view(harmonics, self.band).flatten(2).permute(1, 2, 0) for group in layout.groups_within(self.band)], self.band
        )
        norm = self._norms(rows)

        def at(place: Tensor) -> tuple[_Images, Tensor, Tensor]:
            samples = whole * shift_ramp(layout, -place, self.band)
            images = _Images(rows, poses, place, samples, layout.analyse(samples, self.band), norm)
            value, angle = self._turns.peaks(images.harmonics)
            return images, value / norm[:, None], angle

        if self.grid is None:
            return at(poses.place)
        (images, score, angle), (others, second, turn) = (at(place) for place in self._coarse.best(whole))
        better = second.amax(dim=(1, 2)) > score.amax(dim=(1, 2))
        score, angle = (torch.where(better[:, None, None], new, old) for new, old in ((second, score), (turn, angle)))
        return images.replaced(better, others), score, angle

    def _refined(self, images: "_Images", label: Tensor, flip: Tensor, angle: Tensor) -> tuple[Candidates, Tensor]:
        """Shift and turn again: the average, turned, is laid over the image within a window of places, and turned once more at the best.

        Returns
        -------
        What was found, and how similar the averages are without the images' own parts, ``(n, t)``: by that poses are judged. Classes are chosen by
        similarities to averages as they are, or small ones would lose their members to large ones.
        """
        overlay, (count, number) = self._overlay, label.shape
        step = math.pi / self.task.layout.half_angles
        image, classes, mirror, angle = torch.arange(count).repeat_interleave(number), label.flatten(), flip.flatten(), angle.flatten()
        average, norms = classes.clone(), images.norm.gather(1, label).flatten()
        whole, rest = norms.clone(), self._without_each(images)
        mine = torch.nonzero(classes == images.poses.label[image])[:, 0] if rest.images else image[:0]
        if rest.images:
            row = rest.row[image[mine]]
            average[mine], norms[mine] = row + self.samples.shape[-1], rest.norm[row]
            angle[mine] = rest.angle[row, mirror[mine].to(torch.int64)]
        first = torch.round(angle / step).to(torch.int64)
        here, averages = lines_of(images.samples), (self._averages, rest.lines)
        pairs = Pairs(image.numpy(), average.numpy(), mirror.numpy(), first.numpy())
        start = images.place[image]
        outside = (start[None] + overlay.steps[:, None]).square().sum(dim=2) > self.task.settings.reach**2
        outside &= (overlay.steps.square().sum(dim=1) > 0)[:, None]
        window = overlay.shifted(here, averages, pairs).t().masked_fill(outside, -math.inf)
        side = 2 * _WINDOW + 1
        away = peak_place(window.unflatten(0, (side, side)), window.argmax(dim=0)) - _WINDOW
        lag, value = _highest(overlay.turned(here, averages, pairs, away))
        judged = (value / norms).unflatten(0, (count, number))
        if len(mine):
            as_it_is = replace(pairs, average=classes.numpy()).at(mine.numpy())
            value[mine] = _between(overlay.turned(here, averages, as_it_is, away[mine]), lag[mine])
        similarity = (value / whole).unflatten(0, (count, number))
        turn = torch.remainder((first + lag - overlay.lags) * step, 2 * math.pi).to(torch.float32)
        found = Candidates(label, turn.unflatten(0, (count, number)), flip, (start + away).unflatten(0, (count, number)), similarity)
        if self.kernel is None:
            return found, judged
        assert self.task.pixels is not None
        agreement = correntropies(
            self.task.pixels[images.rows], self.images, found.label, found.angle, found.flip, found.place, self.kernel
        )
        agreement = torch.where(similarity > 0, agreement, 0.0)
        return replace(found, similarity=agreement), agreement

    def _without_each(self, images: "_Images") -> "_Rest":
        """Return the classes of images as they would be without them."""
        known = torch.nonzero(images.poses.label >= 0)[:, 0] if self.held is not None else images.rows[:0]
        row = torch.zeros(len(images.rows), dtype=torch.int64).index_copy(0, known, torch.arange(len(known)))
        if self.held is None or not len(known):
            return _Rest(0, row, lines_of(self.samples[:, :, :0]), row, row)
        layout, rows, poses = self.task.layout, images.rows[known], images.poses.at(known)
        harmonics = mirrored(layout, self.task.observations.signals(rows), poses.flip)
        held = aligned(layout, harmonics, poses.angle, poses.shift(), self.band)
        held *= self.held[:, poses.label] / self.task.noise[self.task.group[rows], : self.band].t()
        own = [array * share for array, share in zip(layout.analyse(held, self.band), self._shares, strict=True)]
        rest = self.samples[:, :, poses.label] - layout.synthesise(own, self.band)
        norm = self._norm(rows, rest.abs().square().mean(dim=0))
        here = images.harmonics if len(known) == len(row) else [array[:, :, known].contiguous() for array in images.harmonics]
        angle = self._turns.angles_without(here, own, poses.label)
        return _Rest(len(known), row, lines_of(rest * self._overlay.weights[:, None]), norm, angle)

    # -- what all chunks share --------------------------------------------------------------------------------------------

    @cached_property
    def _turns(self) -> Turns:
        return Turns(self.task.layout, self.samples, self.band, self.task.frame.radius, mirrors=self.task.settings.mirrors)

    @cached_property
    def _overlay(self) -> Overlay:
        return Overlay(self.task.layout, self.band, self.task.frame.radius, _WINDOW)

    @cached_property
    def _shares(self) -> list[Tensor]:
        return kept_harmonics(self.task.frame, self.band)

    @cached_property
    def _averages(self) -> Lines:
        return lines_of(self.samples * self._overlay.weights[:, None])

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
        task = search.task
        self.layout, self.grid, self.band = task.layout, grid, band
        self.turns = Turns(task.layout, search.samples, band, task.frame.radius, mirrors=task.settings.mirrors)
        self.ramps = shift_ramp(task.layout, -grid.nodes, band)
        self.norm = torch.sqrt((task.layout.areas[:band] @ search.power[:band]).clamp(min=1e-12))

    def best(self, whole: Tensor) -> list[Tensor]:
        """Return the two best places, ``(n, 2)`` each, of images ``(H, R, n)``: where some class fits best, and where else one does."""
        tops = []
        for number in range(len(self.grid.nodes)):
            value, _ = self.turns.peaks(self.layout.analyse(whole[:, : self.band] * self.ramps[:, :, number, None], self.band))
            tops.append((value / self.norm).amax(dim=(1, 2)))
        return self.grid.peaks(torch.stack(tops))


@dataclass(frozen=True)
class _Images:
    """Images of a chunk at a place each: samples ``(H, band, n)`` and harmonics ``(orders, 2 · rings, n)``; norms with all averages ``(n, K)``."""

    rows: Tensor
    poses: Poses
    place: Tensor
    samples: Tensor
    harmonics: list[Tensor]
    norm: Tensor

    def replaced(self, where: Tensor, other: "_Images") -> "_Images":
        """Return the images, those of `where` ``(n,)`` at the places of the other."""
        harmonics = [torch.where(where, *each) for each in zip(other.harmonics, self.harmonics, strict=True)]
        samples, place = torch.where(where, other.samples, self.samples), torch.where(where[:, None], other.place, self.place)
        return replace(self, place=place, samples=samples, harmonics=harmonics)


@dataclass(frozen=True)
class _Rest:
    """The classes of `images` images without them: lines, norms ``(m,)`` and best angles ``(m, mirrored or not)``; which `row` is a chunk's image's."""

    images: int
    row: Tensor
    lines: Lines
    norm: Tensor
    angle: Tensor


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


def _highest(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the highest of values ``(n, m)`` lie, interpolated, and how high they are."""
    best = values.argmax(dim=1, keepdim=True)
    inner = best.clamp(1, values.shape[1] - 2)
    away, top = parabola(*(values.gather(1, inner + step)[:, 0] for step in (-1, 0, 1)))
    at_edge = (best != inner)[:, 0]
    return torch.where(at_edge, best[:, 0], inner[:, 0] + away), torch.where(at_edge, values.gather(1, best)[:, 0], top)


def _between(values: Tensor, where: Tensor) -> Tensor:
    """Return values ``(n, m)`` at places `where` ``(n,)`` between them, by a parabola through the three about each."""
    middle = torch.round(where).to(torch.int64).clamp(1, values.shape[1] - 2)
    away = where - middle
    left, centre, right = (values.gather(1, (middle + step)[:, None])[:, 0] for step in (-1, 0, 1))
    return centre + 0.5 * (right - left) * away - 0.5 * (2.0 * centre - left - right) * away.square()
