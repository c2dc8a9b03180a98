"""Models of other programs are read as they are meant, and come back as they were written."""

import gzip

import gemmi
import numpy as np
import pytest

from cryoloom.formats.atomic_model import read_model, traced_model
from cryoloom.spec import Failure

PDB = """\
MODEL        1
ATOM      1  N   GLY A   1      11.104   6.134  -6.504  1.00 90.00           N
ATOM      2  CA AGLY A   1      11.639   6.071  -5.147  0.60 90.00           C
ATOM      3  CA BGLY A   1      12.639   6.071  -5.147  0.40 90.00           C
ATOM      4  H   GLY A   1      10.639   6.071  -5.147  1.00 90.00           H
ATOM      5  CA  ALA A   2A     14.639   7.071  -5.147  1.00 40.00           C
HETATM    6  C1  XQZ B   1      20.000   7.071  -5.147  1.00 80.00           C
HETATM    7  O   HOH B   2      25.000   7.071  -5.147  1.00 80.00           O
ENDMDL
MODEL        2
ATOM      1  N   GLY A   1      31.104   6.134  -6.504  1.00 90.00           N
ENDMDL
END
"""


@pytest.fixture
def pdb(tmp_path):
    path = tmp_path / "a.pdb"
    path.write_text(PDB)
    return path


def test_the_first_model_its_first_places_no_hydrogens(pdb):
    found = read_model(pdb)
    assert found.residues == [("A", "1", "GLY"), ("A", "2A", "ALA"), ("B", "1", "XQZ"), ("B", "2", "HOH")]
    assert found.positions[:2].tolist() == [[11.104, 6.134, -6.504], [11.639, 6.071, -5.147]]
    assert found.unknown == [("B", "1", "XQZ")]
    assert len(found.notes) == 2 and "2 models" in found.notes[0]
    assert [each.tolist() for each in found.trace] == [[1, 2], [3, 4]]
    assert len(read_model(pdb, waters=False).residues) == 3
    sure = read_model(pdb, least_confidence=50)
    assert ("A", "2A", "ALA") not in sure.residues and "1 residues" in sure.notes[-1]


def test_arrays_hold_electron_scattering(pdb):
    atoms = read_model(pdb).atoms(np.array([10.0, 0.0, 0.0]))
    assert atoms.positions[0].tolist() == pytest.approx([1.104, 6.134, -6.504])
    assert atoms.amplitudes[1] == pytest.approx(gemmi.Element("C").c4322.a)
    assert atoms.occupancies.tolist() == pytest.approx([1.0, 0.6, 1.0, 1.0, 1.0])
    assert atoms.residues.tolist() == [0, 0, 1, 2, 3] and atoms.chains.tolist() == [0, 0, 0, 1, 1]
    assert atoms.b_factors[0] == 90.0 and atoms.masses[0] == pytest.approx(14.007, abs=0.01)


def test_copies_are_written_and_read_again(pdb, tmp_path):
    found = read_model(pdb)
    places = np.stack([found.positions, found.positions + 50.0, found.positions - 30.0])
    found.copied(places).write(tmp_path / "many.cif")
    again = read_model(tmp_path / "many.cif")
    assert [chain.name for chain in again.structure[0]] == ["A", "B", "A2", "B2", "A3", "B3"]
    assert np.allclose(again.positions, places.reshape(-1, 3), atol=1e-3)
    assert again.residues[:4] == found.residues
    (tmp_path / "b.pdb.gz").write_bytes(gzip.compress(PDB.encode()))
    assert np.array_equal(read_model(tmp_path / "b.pdb.gz").positions, found.positions)


def test_many_chains_have_room_in_mmcif(tmp_path):
    chains = np.repeat(np.arange(80), 2)
    places = np.random.default_rng(0).uniform(-50, 50, (160, 3))
    traced_model(places, chains, np.full(160, 30.0)).write(tmp_path / "m.cif")
    again = read_model(tmp_path / "m.cif")
    assert len(again.trace) == 80 and np.allclose(again.positions, places, atol=1e-3)


@pytest.mark.parametrize(("text", "code"), [("hello\n", "model-unreadable"), ("END\n", "model-empty")])
def test_what_is_no_model_is_said(tmp_path, text, code):
    path = tmp_path / ("a.cif" if code == "model-unreadable" else "a.pdb")
    path.write_text(text)
    with pytest.raises(Failure) as problem:
        read_model(path)
    assert problem.value.code == code and str(path) in problem.value.message
