"""The phantoms of a preset, and their files."""

from pathlib import Path

import numpy as np

from cryoloom.app.simulation.presets import Sample
from cryoloom.numerics.simulate.phantom import Phantom, p80, random_phantom, swung, symmetrised, without_lobe
from cryoloom.spec.errors import WrongUse


def phantoms_of(sample: Sample) -> list[Phantom]:
    """Return one phantom for each conformation of `sample`."""
    if not 1 <= sample.conformations <= 3:
        raise WrongUse(
            "simulate-conformations", f"simulate: conformations must be 1 to 3; got {sample.conformations}.", "Choose 1, 2 or 3."
        )
    if sample.phantom_atoms is not None and sample.phantom_atoms < 50:
        raise WrongUse("simulate-phantom", f"simulate: {sample.phantom_atoms} atoms make no particle.", "Ask for 50 or more phantom_atoms.")
    try:
        if sample.phantom_diameter is None:
            whole = p80(sample.phantom_seed, sample.phantom_atoms or 1500)
        else:
            whole = random_phantom(sample.phantom_seed, sample.phantom_diameter, sample.phantom_atoms, sample.phantom_shape)
        if sample.b_factor is not None:
            whole = whole.with_b_factor(sample.b_factor)
        states = [whole, without_lobe(whole, int(whole.lobes.max())), swung(whole, 1)][: sample.conformations]
        return states if sample.symmetry.upper() == "C1" else [symmetrised(state, sample.symmetry) for state in states]
    except ValueError as error:
        raise WrongUse("simulate-phantom", f"simulate: {error}.", "Choose one of these.") from error


def write_phantoms(directory: Path, phantoms: list[Phantom]) -> None:
    """Write the atoms as ``atoms.npy``, ``atoms_class002.npy`` ...: columns x, y, z (Å), mass (Da), B (Å²), domain."""
    for index, phantom in enumerate(phantoms, start=1):
        table = np.column_stack([phantom.positions, phantom.weights, phantom.b_factors, phantom.lobes])
        np.save(directory / f"atoms{class_suffix(index)}.npy", table)


def class_suffix(index: int) -> str:
    """Return what the files of conformation `index` (from 1) have after their name: nothing for the first."""
    return "" if index == 1 else f"_class{index:03d}"
