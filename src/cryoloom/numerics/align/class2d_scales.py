"""What images tell of their grey scale at the poses found for them; see `scales` for what is made of it."""

import torch
from torch import Tensor

from cryoloom.numerics.align.class2d_assign import Assignments
from cryoloom.numerics.align.class2d_estep import Search
from cryoloom.numerics.align.class2d_mstep import runs_of
from cryoloom.numerics.align.class2d_poses import aligned
from cryoloom.numerics.parallel import ordered

_POSES = 128  # compared at once


def grey_of(search: Search, rows: Tensor, given: Assignments, ring: int, threads: int) -> Tensor:
    """Return of the images `rows` ``Re Σ X* M / E|N|²`` and ``Σ |M|² / E|N|²`` up to `ring`, M being their references at grey scale one, ``(n, 2)``."""
    observations, references = search.observations, search.references
    order = torch.argsort(given.label, stable=True)
    # A coefficient's E|N|² is twice σ².
    precision = 0.5 * search.layout.areas[:ring] / references.noise[:, :ring]

    def work(cut: slice) -> Tensor:
        own = order[cut]
        image, label = rows[own], int(given.label[own[0]])
        reference = references.samples[:, :ring, label]
        images = aligned(search.layout, observations.harmonics[image], given.angle[own], given.shift[own], ring)
        cross = (images * reference[:, :, None].conj()).real.mean(dim=0).t()
        norm = observations.transfer[image, :ring] * reference.abs().square().mean(dim=0)
        return (torch.stack([cross, norm], dim=2) * precision[search.group[image], :, None]).sum(dim=1)

    out = torch.zeros((len(rows), 2))
    parts = list(ordered(work, runs_of(given.label[order], _POSES), threads))
    if parts:
        out[order] = torch.cat(parts)
    return out
