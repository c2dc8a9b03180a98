"""2D classification by regularised maximum likelihood: the model, and one iteration after another.

Scheres et al., J. Mol. Biol. 348:139 (2005), doi:10.1016/j.jmb.2005.02.031; Scheres, J. Mol. Biol. 415:406 (2012),
doi:10.1016/j.jmb.2011.11.010; online expectation-maximisation after Punjani et al., Nat. Methods 14:290 (2017), doi:10.1038/nmeth.4169,
and Cappé & Moulines, J. R. Stat. Soc. B 71:593 (2009), doi:10.1111/j.1467-9868.2009.00698.x.

An iteration takes a batch of images, finds the posterior of their classes and poses under the current references, adds them to running
sums, and makes new references from these. Likelihoods are tempered at first, and the band grows with what the half sets support.
The state is a flat dictionary of arrays and numbers: the same state gives the same next state, whatever the number of threads.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_assign import Assignments, assign, polished
from cryoloom.numerics.align.class2d_averages import Averages, Frame, average, crossing, mass_centres, moved
from cryoloom.numerics.align.class2d_doubles import doubles, likeness
from cryoloom.numerics.align.class2d_estep import Posterior, References, Search, posterior
from cryoloom.numerics.align.class2d_mixed import mixed, of_particles
from cryoloom.numerics.align.class2d_mstep import Sums, accumulate
from cryoloom.numerics.align.class2d_observations import Observations
from cryoloom.numerics.align.class2d_poses import Children, PoseGrid
from cryoloom.numerics.align.class2d_scales import grey_of
from cryoloom.numerics.align.class2d_spared import hollow, spared
from cryoloom.numerics.align.class2d_witnesses import with_negatives, witnesses
from cryoloom.numerics.align.negatives import better_than_negatives
from cryoloom.numerics.align.scales import TELLING, group_scales
from cryoloom.numerics.parallel import blocks

State = dict[str, Any]

CHUNK = 8192  # images whose candidates are held at once
_COARSE = 16  # rings of the coarse search, at most
_MARGIN = 6  # rings beyond the last correlated one that are compared
_GROWTH = 1.25  # of the band in one iteration, at most
_LEAST = 0.01  # poses less probable are not averaged
SCALES_FROM = 4  # rings on which halves must agree well before grey scales are read from them
_ASIDE = 0.5  # px from the centre at which an average is moved there; where it lies nearer, the likelihood is left to rise
_DEAD = 0.2  # of the mean size: a smaller class is dying
_SETTLING = 3  # iterations with batches at the end in which no class is given up
_CALM = 12  # iterations with batches after the last in which a class was found to mix views
_LONGEST = 2.0  # times the iterations asked for, at most


@dataclass(frozen=True)
class Settings:
    """What the user decides.

    Attributes
    ----------
    classes
        K.
    iterations, final_iterations
        With `batch` images each, up to as many again where classes are found that mix views; then with all images, untempered.
    batch
        Images an iteration; all of them: full expectation-maximisation.
    uncertainty, annealing_start, annealing_length
        Log-weights are divided by ``a²``: a = `uncertainty` before iteration `annealing_start`, falling to 1 over `annealing_length`.
    hard
        Average each image in its best pose of every class instead of all poses.
    frc_regularised, tau_fudge
        See `average`.
    white_noise
        One σ² for all rings.
    recentre, recentre_threshold, recentre_binary
        Move the centre of mass above a fraction of the maximum to the box centre, whenever it lies half a pixel away.
    initial_scale
        Factor on the random first references.
    start_band
        Rings compared at first.
    reach
        Largest shift, px.
    """

    classes: int
    iterations: int
    final_iterations: int
    batch: int
    start_band: int
    reach: float
    uncertainty: float = 2.0
    annealing_start: int = 2
    annealing_length: int = 15
    hard: bool = True
    frc_regularised: bool = True
    tau_fudge: float = 1.0
    white_noise: bool = False
    recentre: bool = True
    recentre_threshold: float = 0.2
    recentre_binary: bool = False
    initial_scale: float = 1.0


@dataclass(frozen=True)
class Task:
    """What a classification works on.

    Attributes
    ----------
    group, half
        Optics group (from 0) and half set (0, 1) of every image, int64 ``(n,)``.
    alike
        Which images share a grey scale, ``(n,)`` from 0; None: all.
    """

    observations: Observations
    group: Tensor
    half: Tensor
    frame: Frame
    settings: Settings
    seed: int
    threads: int
    alike: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Return the number of images."""
        return len(self.group)

    @property
    def groups(self) -> int:
        """Return the number of optics groups."""
        return int(self.group.max()) + 1

    def iterations(self, state: State) -> int:
        """Return the number of all iterations, as far as it is known in a state."""
        return state["online"] + self.settings.final_iterations


@dataclass(frozen=True)
class _Pass:
    """What an expectation over a batch found; `grey` is what tells grey scales, ``(n, 2)``."""

    sums: Sums
    assigned: Assignments
    shift_sigma: float
    grey: Tensor


def begin(task: Task) -> State:
    """Return the state before the first iteration: references from random images in random poses."""
    settings, layout = task.settings, task.frame.sampler.layout
    rng = np.random.default_rng([task.seed, 1])
    rows = torch.from_numpy(batch_rows(task, 0))
    labels = torch.from_numpy(rng.permutation(np.arange(len(rows)) % settings.classes))
    angles = torch.from_numpy(rng.uniform(0, 2 * math.pi, len(rows)))
    nowhere = torch.zeros((len(rows), 2))
    noise = _image_power(task) / 2.0
    poses = Posterior(rows, rows, labels, angles, nowhere, torch.ones(len(rows)), torch.zeros(len(rows), dtype=torch.float64))
    sums = _no_sums(task)
    band = min(settings.start_band, layout.rings)
    accumulate(layout, task.observations, poses, 2 * task.group + task.half, sums, task.threads, band=band)
    weight = sums.transfer.sum(dim=1).t()
    samples = sums.images.sum(dim=3) / (weight + 1e-3 * weight[:band].mean())
    ring = torch.arange(1, layout.rings + 1)
    fall = 0.5 + 0.5 * torch.cos(math.pi * ((ring - band + 2) / 3.0).clamp(0, 1))
    images = task.frame.masked(task.frame.sampler.images(samples * (settings.initial_scale * fall[:, None])))
    return {
        "iteration": 0,
        "online": settings.iterations,
        "band": band,
        "images": images.numpy(),
        "noise": noise.numpy(),
        "counts": np.full(settings.classes, task.count / settings.classes, dtype=np.float32),
        "shift_sigma": settings.reach / 2.0,
        "poor": np.zeros(settings.classes, dtype=np.int64),
        "labels": np.full(task.count, -1, dtype=np.int64),
        "shown": True,
        "telling": 0,
        "grey": np.zeros((task.count, 2)),
        "scales": np.ones(1 if task.alike is None else int(task.alike.max()) + 1),
        "history": [],
        **_stored(_no_sums(task)),
    }


def iterate(task: Task, state: State) -> State:
    """Return the state after one more iteration."""
    task, settings, number = scaled(task, state), task.settings, state["iteration"]
    final = number >= state["online"]
    last = number + 1 == task.iterations(state)
    rows = torch.arange(task.count) if final else torch.from_numpy(batch_rows(task, number))
    temperature = 1.0 if final else annealing(settings, number) ** 2
    fine = final or 2 * number >= settings.iterations
    model = references(task, state)
    search = _search(task, model, state["band"], fine=fine, temperature=temperature)
    found = _expect(task, search, rows, report=last, telling=state["telling"] if fine else 0)
    labels = state["labels"].copy()
    labels[rows.numpy()] = found.assigned.label.numpy()
    shown = _shown(task, search) if number == state["online"] else state["shown"]
    full = settings.batch >= task.count
    rate = 1.0 if final or full else learning_rate(number)
    sums = _mixed(stored_sums(state), found.sums, rate, task.count / len(rows))
    noise = (1.0 - rate) * torch.from_numpy(state["noise"]) + rate * _residual_noise(task, search, found.sums, rows)
    averages = average(sums, noise, task.frame, frc_regularised=settings.frc_regularised, tau_fudge=settings.tau_fudge)
    raw = averages.raw
    images = task.frame.masked(task.frame.sampler.images(raw))
    away, recentred = _away(task, images), 0
    if settings.recentre and not final:
        aside = away.norm(dim=1, keepdim=True) >= _ASIDE
        step, recentred = torch.where(aside, away, 0.0), int(aside.sum())
        sums = replace(sums, images=moved(sums.images, step, task.frame))
        images = task.frame.masked(task.frame.sampler.images(moved(raw, step, task.frame)))
    poor, reseeded, online = state["poor"], 0, state["online"]
    if 2 <= number < online - _SETTLING:
        images, poor, reseeded, several = _reseed(task, sums, images, averages, away, poor, found.assigned, spare=fine)
        if several:
            online = max(online, min(number + 1 + _CALM, int(_LONGEST * settings.iterations)))
    counts = sums.counts.sum(dim=1)
    ring = supported_ring(averages.frc, counts)
    grey = state["grey"].copy()
    grey[rows.numpy()] = found.grey.numpy()
    record = {
        "images": len(rows),
        "temperature": temperature,
        "band": search.band,
        "ring": ring,
        "log_likelihood": float(found.assigned.evidence.mean()) * temperature + _of_noise(task, model.noise, rows),
        "certainty": float(found.assigned.certainty.mean(dtype=torch.float64)),
        "changed": float(np.mean(labels[rows.numpy()] != state["labels"][rows.numpy()])),
        "shift_sigma": found.shift_sigma,
        "smallest": float(counts.min()),
        "largest": float(counts.max()),
        "recentred": recentred,
        "reseeded": reseeded,
    }
    return {
        "iteration": number + 1,
        "online": online,
        "band": next_band(state["band"], ring, settings.start_band, task.frame.sampler.layout.rings),
        "images": images.numpy(),
        "noise": noise.numpy(),
        "counts": counts.numpy(),
        "shift_sigma": found.shift_sigma,
        "poor": poor,
        "labels": labels,
        "shown": shown,
        "telling": telling_ring(averages.frc, counts),
        "grey": grey,
        "scales": state["scales"] if task.alike is None or not grey.any() else group_scales(grey, task.alike),
        "history": [*state["history"], record],
        **_stored(sums),
        **(_reported(found.assigned) if last else {}),
    }


# -- the schedule -----------------------------------------------------------------------------------------------------


def batch_rows(task: Task, number: int) -> np.ndarray:
    """Return the images of iteration `number`, rising: batches without replacement, an epoch after the other; no witnesses."""
    among = np.setdiff1d(np.arange(task.count), witnesses(task.count, task.seed), assume_unique=True)
    size = min(task.settings.batch, len(among))
    epoch, place = divmod(number, max(1, len(among) // size))
    order = np.random.default_rng([task.seed, 2, epoch]).permutation(among)
    return np.sort(order[place * size : (place + 1) * size])


def annealing(settings: Settings, number: int) -> float:
    """Return the factor a by which standard deviations are thought larger in iteration `number`."""
    left = 1.0 - max(0, number - settings.annealing_start + 1) / max(1, settings.annealing_length)
    return settings.uncertainty ** max(0.0, left)


def learning_rate(number: int) -> float:
    """Return the weight of a new batch in the running sums."""
    return 1.0 if number < 3 else max(0.1, (number - 1) ** -0.6)


def supported_ring(frc: Tensor, counts: Tensor) -> int:
    """Return the last ring with FRC above 0.143 in the classes that hold the better-resolved seventh of the images."""
    rings = crossing(frc, 0.143)
    order = torch.argsort(rings, descending=True, stable=True)
    held = torch.cumsum(counts[order], dim=0) >= counts.sum() / 7.0
    return int(rings[order][int(held.to(torch.int64).argmax())])


def telling_ring(frc: Tensor, counts: Tensor) -> int:
    """Return the last ring that tells grey scales: where the halves of most images' classes agree well; 0 for none."""
    mean = (frc * counts[:, None]).sum(dim=0, keepdim=True) / counts.sum().clamp(min=1e-12)
    ring = int(crossing(mean, TELLING)[0])
    return ring if ring >= SCALES_FROM else 0


def next_band(band: int, ring: int, start: int, rings: int) -> int:
    """Return the band after one of `band` rings that is supported up to `ring`: slow to grow, slower to fall."""
    wanted = max(ring + _MARGIN, start, math.ceil(0.9 * band))
    return min(rings, wanted, math.ceil(_GROWTH * band))


# -- the steps --------------------------------------------------------------------------------------------------------


def scaled(task: Task, state: State) -> Task:
    """Return the task with the grey scales of a state."""
    if task.alike is None:
        return task
    scale = torch.from_numpy(state["scales"][task.alike].astype(np.float32))
    return replace(task, observations=replace(task.observations, scale=scale))


def references(task: Task, state: State) -> References:
    """Return the model of a state."""
    counts = torch.from_numpy(state["counts"])
    share = (counts + 1.0) / (counts.sum() + len(counts))
    samples = task.frame.sampler.samples(torch.from_numpy(state["images"]))
    return References(samples, torch.log(share), torch.from_numpy(state["noise"]), max(1.0, float(state["shift_sigma"])))


def _search(task: Task, model: References, band: int, *, fine: bool, temperature: float) -> Search:
    layout = task.frame.sampler.layout
    coarse = min(band, _COARSE)
    grid = PoseGrid.of(layout, task.frame.radius, coarse, task.settings.reach)
    children = grid.children(1) if fine else Children.none()
    return Search(layout, task.observations, task.group, model, grid, coarse, band if fine else coarse, children, temperature)


def _expect(task: Task, search: Search, rows: Tensor, *, report: bool, telling: int = 0) -> _Pass:
    """Find the posterior of `rows`, chunk by chunk, and sum it up; `report` asks for the poses that the user will see, `telling` rings for grey scales."""
    settings, layout = task.settings, task.frame.sampler.layout
    sums, assigned, grey, squares, weights = _no_sums(task), [], [], 0.0, 0.0
    band = layout.rings if report else min(layout.rings, search.band + _MARGIN + 2)
    for chunk in blocks(len(rows), CHUNK):
        part = rows[chunk]
        cells = search.search(part, task.threads)
        found = posterior(search, cells, part, hard=settings.hard, least=_LEAST)
        accumulate(layout, task.observations, found, 2 * task.group + task.half, sums, task.threads, band=band)
        squares += float((found.weight * found.shift.square().sum(dim=1)).sum(dtype=torch.float64))
        weights += float(found.weight.sum(dtype=torch.float64))
        if report:
            told = assign(posterior(search, cells, part, hard=False, least=_LEAST / 10), settings.classes)
            assigned.append(polished(search, part, told, task.threads, level=2))
        else:
            assigned.append(assign(found, settings.classes))
        known = task.alike is not None and telling > 0
        grey.append(grey_of(search, part, assigned[-1], telling, task.threads) if known else torch.zeros((len(part), 2)))
    return _Pass(sums, Assignments.join(assigned), math.sqrt(squares / max(weights, 1e-12) / 2.0), torch.cat(grey))


def _shown(task: Task, search: Search) -> bool:
    """Return whether images that no average held fit the averages better than their negatives do; true where these are too few to tell."""
    rows = torch.from_numpy(witnesses(task.count, task.seed))
    if not len(rows):
        return True
    observations, twice = with_negatives(task.observations, rows), torch.cat([rows, rows])
    trial = replace(task, observations=observations, group=task.group[twice], half=task.half[twice])
    found = _expect(trial, replace(search, observations=observations, group=trial.group), torch.arange(len(twice)), report=False)
    return better_than_negatives(*found.assigned.evidence.to(torch.float64).numpy().reshape(2, -1))


def _of_noise(task: Task, noise: Tensor, rows: Tensor) -> float:
    """Return the mean log-likelihood of the images `rows` as noise of σ² `noise`, but for a constant."""
    variance = noise.clamp(min=1e-12)[task.group[rows]]
    density = -task.observations.power[rows] / (2.0 * variance) - torch.log(variance)
    return float((density * task.frame.sampler.layout.areas).sum(dim=1, dtype=torch.float64).mean())


def _residual_noise(task: Task, search: Search, sums: Sums, rows: Tensor) -> Tensor:
    """Return σ² from what the references leave of the images `rows`, by optics group and ring."""
    model, observations = search.references, task.observations
    cross = (sums.images * model.samples[..., None].conj()).real.mean(dim=0).sum(dim=1)  # (R, Q)
    explained = (sums.transfer * model.power[:, None]).sum(dim=0)  # (Q, R)
    left = (2.0 * cross.t() - explained).unflatten(0, (-1, 2)).sum(dim=1)  # (G, R)
    left[:, search.band :] = 0.0
    one = torch.nn.functional.one_hot(task.group[rows], task.groups).to(torch.float32)
    power, number = one.t() @ observations.power[rows], one.sum(dim=0)[:, None]
    before = search.references.noise
    residual = torch.maximum(power - left, 0.2 * power) / (2.0 * number.clamp(min=1.0))
    residual = torch.where(number >= 1.0, residual, before)
    if task.settings.white_noise:
        areas = task.frame.sampler.layout.areas
        residual = ((residual * areas).sum(dim=1, keepdim=True) / areas.sum()).expand_as(residual).contiguous()
    return residual


def _away(task: Task, images: Tensor) -> Tensor:
    """Return the shifts, px, that bring the centres of mass of averages to the box centre, within reach."""
    settings = task.settings
    away = -mass_centres(images, settings.recentre_threshold, binary=settings.recentre_binary)
    return away * (settings.reach / away.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1.0)


def _reseed(
    task: Task, sums: Sums, images: Tensor, averages: Averages, away: Tensor, poor: np.ndarray, found: Assignments, *, spare: bool
) -> tuple[Tensor, np.ndarray, int, bool]:
    """Give classes that died twice running half of the class with most signal: each gets the average of one half set.

    With `spare` those go too that others make up for, and those that mix views; whether there were any of the latter is returned last.
    """
    counts = sums.counts.sum(dim=1)
    poor = np.where(counts.numpy() < _DEAD * task.count / task.settings.classes, poor + 1, 0)
    signal = images.square().mean(dim=(1, 2))
    worth = torch.minimum(signal, 2.0 * signal.median())
    several, given = [], []
    if spare:
        compared = of_particles(hollow(counts.numpy(), signal.numpy()), found.label.numpy(), found.evidence.to(torch.float64).numpy())
        several = mixed(averages.frc, counts, compared)
        given = [*several, *spared(counts.numpy(), signal.numpy()), *_doubled(task, averages, away, counts, worth)]
    images, dead = images.clone(), sorted({*np.flatnonzero(poor >= 2).tolist(), *given})
    for label in dead:
        most = int(torch.argmax(sums.counts.sum(dim=1) * worth))
        for field in (sums.transfer, sums.counts):
            field[most] *= 0.5
            field[label] = field[most]
        sums.images[:, :, most] *= 0.5
        sums.images[:, :, label] = sums.images[:, :, most]
        centre = images[most].clone()
        apart = 0.5 * (averages.halves[most, 0] - averages.halves[most, 1])
        apart *= 0.5 * centre.norm() / apart.norm().clamp(min=1e-12)
        images[most], images[label] = centre + apart, centre - apart
        poor[label] = 0
    return images, poor, len(dead), bool(several)


def _doubled(task: Task, averages: Averages, away: Tensor, counts: Tensor, worth: Tensor) -> list[int]:
    """Return classes that show, once moved by `away`, what another shows too, see `doubles`."""
    ring = supported_ring(averages.frc, counts)
    if ring == 0:
        return []
    spectra = moved(averages.spectra, away, task.frame)[:, :ring]
    weight = task.frame.sampler.layout.areas[:ring] * averages.weight[:ring].mean(dim=1)
    most = float(counts[torch.argmax(counts * worth)])
    return doubles(likeness(spectra, weight).numpy(), counts.numpy(), most)


def _image_power(task: Task) -> Tensor:
    """Return the mean power of the images, by optics group and ring."""
    one = torch.nn.functional.one_hot(task.group, task.groups).to(torch.float32)
    return (one.t() @ task.observations.power) / one.sum(dim=0)[:, None].clamp(min=1.0)


def _no_sums(task: Task) -> Sums:
    layout = task.frame.sampler.layout
    return Sums.zeros(layout.half_angles, layout.rings, task.settings.classes, 2 * task.groups)


def stored_sums(state: State) -> Sums:
    """Return the running sums that a state keeps."""
    return Sums(*(torch.from_numpy(state[f"sum_{field}"]) for field in ("images", "transfer", "counts")))


def _stored(sums: Sums) -> State:
    return {f"sum_{field}": getattr(sums, field).numpy() for field in ("images", "transfer", "counts")}


def _reported(assigned: Assignments) -> State:
    """Return what `conclude` needs beside the model."""
    return {
        "angle": assigned.angle.numpy(),
        "shift": assigned.shift.numpy(),
        "certainty": assigned.certainty.numpy(),
        "share": assigned.share.numpy(),
        "choices": assigned.choices.numpy(),
        "evidence": assigned.evidence.numpy(),
    }


def _mixed(old: Sums, new: Sums, rate: float, scale: float) -> Sums:
    """Return running sums, in which `new` stands for all images with weight `rate`."""
    return Sums(
        (1.0 - rate) * old.images + (rate * scale) * new.images,
        (1.0 - rate) * old.transfer + (rate * scale) * new.transfer,
        (1.0 - rate) * old.counts + (rate * scale) * new.counts,
    )
