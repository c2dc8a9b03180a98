"""deposit.emdb: everything is there and unchanged for other readers, curves are as EMDB takes them, and what is wrong is named."""

import hashlib
import json
import zlib
from pathlib import Path
from xml.etree import ElementTree

import mrcfile
import numpy as np
import polars as pl
import pytest
from gemmi import cif
from plain_job import PlainJob

from cryoloom.data import FSC, AtomicModel, Coordinates, Mask, Particles, Volume
from cryoloom.formats.atomic_model import traced_model
from cryoloom.formats.emdb import DEPOSITOR, X_AXIS, Y_AXIS, fsc_faults, write_fsc
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.pdbx import cif_block, cif_faults
from cryoloom.formats.processing import model_fit, motion_correction, reconstruction, software
from cryoloom.numerics.filters.maps import lowpass
from cryoloom.numerics.fsc.shells import fourier_shell_correlation, resolution_at, shell_frequencies
from cryoloom.numerics.geometry.symmetry import point_group
from cryoloom.numerics.masks.soft import spherical_mask
from cryoloom.numerics.simulate.phantom import random_phantom
from cryoloom.numerics.simulate.projection import density
from cryoloom.protocols.deposit.emdb import DepositEMDB
from cryoloom.protocols.postprocess.mask import CreateMask
from cryoloom.protocols.postprocess.sharpen import Sharpen
from cryoloom.spec import Failure, Step

BOX, PIXEL = 48, 4.0


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Return a project folder with a refined map, its mask, and the sharpened map and curves."""
    root = tmp_path_factory.mktemp("project")
    truth = density(random_phantom(3, 130.0), BOX, PIXEL)
    truth /= truth.std()
    rng = np.random.default_rng(1)
    halves = [(truth + 0.8 * rng.standard_normal(truth.shape)).astype(np.float32) for _ in range(2)]
    names = {"volume_path": "map.mrc", "half_map1_path": "map_half1_unfil.mrc", "half_map2_path": "map_half2_unfil.mrc"}
    for name, data in zip(names.values(), (lowpass((halves[0] + halves[1]) / 2, PIXEL, 12.0), *halves), strict=True):
        write_mrc(root / name, data, PIXEL, volume=True)
    volume = Volume(
        pl.DataFrame({"id": [1], "box_size": [BOX], **{key: [name] for key, name in names.items()}}), root, meta={"pixel_size": PIXEL}
    )
    job = PlainJob(root / "runs/r001", root)
    mask = CreateMask(volume=volume).run(job).mask
    sharpened = Sharpen(volume=volume, mask=mask).run(job)
    return root, volume, mask, sharpened, halves


@pytest.fixture
def particles(chain):
    count = 40
    items = {
        "id": np.arange(count), "micrograph_id": np.zeros(count, np.int64), "stack_path": ["p.mrcs"] * count, "stack_index": np.arange(count),
        "optics_group": [1] * count, "half_set": np.arange(count) % 2 + 1, "defocus_u": np.linspace(9000.0, 21000.0, count),
    }  # fmt: skip
    return Particles(pl.DataFrame(items), chain[0], optics=[{"optics_group": 1, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}])


HISTORY = tuple(
    Step(protocol, parameters, "0.9")
    for protocol, parameters in (
        ("import.movies", {}), ("motion.correlation", {"patches": 0}), ("ctf.estimate", {}), ("pick.blob", {}), ("particles.extract", {}),
        ("classify2d.em", {}), ("initial.sgd", {}), ("refine.auto", {"poses": "search"}), ("postprocess.mask", {}), ("postprocess.sharpen", {}),
    )
)  # fmt: skip


def deposited(chain, name, history=None, **given):
    root, _, mask, sharpened, _ = chain
    protocol = DepositEMDB(**({"volume": sharpened.volume, "mask": mask, "fsc": sharpened.fsc} | given))
    job = PlainJob(root / "runs" / name, root, history=history or {})
    return protocol, job, protocol.run(job)


def test_a_bundle_holds_everything_unchanged(chain, particles):
    root, volume, mask, sharpened, halves = chain
    picks = Coordinates(
        pl.DataFrame({"id": range(60), "micrograph_id": 0, "micrograph_name": "m", "x": 0.0, "y": 0.0, "score": 0.0, "optics_group": 1}),
        root,
    )
    protocol, job, out = deposited(
        chain, "r002", {"volume": HISTORY, "particles": HISTORY[:-2]}, particles=particles, coordinates=picks, additional=(volume,),
        symmetry="D2", mass=400.0, dose=40.0, hand_decided=True, title="A particle",
    )  # fmt: skip
    folder = root / "runs/r002/deposit"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"map.mrc", "half_map_1.mrc", "half_map_2.mrc", "mask_01.mrc", "fsc_01.xml", "fsc_02_unmasked.xml", "fsc_03_masked.xml", "image.png",
            "symmetry.txt", "recommended_contour.txt", "metadata.json", "metadata.cif", "checksums.sha256", "additional/01_map.mrc"} <= files  # fmt: skip
    assert {path.removeprefix("runs/r002/deposit/") for path in out.deposition.items["file_path"]} == files and not job.warnings
    source = sharpened.volume.items.row(0, named=True)
    for name, original in (("map", source["volume_path"]), ("mask_01", mask.items["mask_path"][0]), ("additional/01_map", "map.mrc")):
        with mrcfile.open(folder / f"{name}.mrc") as reread, mrcfile.open(root / original) as stored:
            assert np.array_equal(reread.data, stored.data) and reread.data.dtype == np.float32
    for number, half in enumerate(halves, 1):
        with mrcfile.open(folder / f"half_map_{number}.mrc") as reread:
            assert (
                np.array_equal(reread.data, half)
                and np.isclose(reread.voxel_size.x, PIXEL)
                and mrcfile.validate(folder / f"half_map_{number}.mrc")
            )
    for line in (folder / "checksums.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    told = json.loads((folder / "metadata.json").read_text())
    assert told["particles_picked"] == 60 and told["particles_final"] == 40 and told["voltage_kV"] == 300.0 and told["symmetry"] == "D2"
    assert told["resolution_A"] == sharpened.fsc.meta["resolution"] and told["resolution_method"] == "FSC 0.143 CUT-OFF"
    text = (folder / "metadata.cif").read_text()
    assert "_em_3d_reconstruction.resolution_method 'FSC 0.143 CUT-OFF'" in text and "_em_single_particle_entity.point_symmetry D2" in text
    assert "_em_imaging.calibrated_defocus_max 2100" in text and "_em_imaging.nominal_defocus_max ?" in text  # measured, not aimed at
    assert cif_faults(folder / "metadata.cif") == [] and told["missing"] == {
        "number of micrographs": told["missing"]["number of micrographs"],
        **DEPOSITOR,
    }
    block = cif.read(str(folder / "metadata.cif")).sole_block()
    programs = list(zip(*(block.find_values(f"_em_software.{item}") for item in ("category", "version", "details")), strict=True))
    assert ("RECONSTRUCTION", "0.9", "refine.auto") in [tuple(map(cif.as_string, each)) for each in programs] and len(programs) == 8
    assert [cif.as_string(each) for each in block.find_values("_em_euler_angle_assignment.type")] == ["MAXIMUM LIKELIHOOD"] * 2
    assert told["ctf_correction"] == "PHASE FLIPPING AND AMPLITUDE CORRECTION" and told["algorithm"] == "FOURIER SPACE"
    assert told["motion_correction"] == "MICROGRAPH PATCHES" and told["refinement_type"] == "HALF-MAPS REFINED INDEPENDENTLY"
    kinds = [cif.as_string(each) for each in block.find_values("_em_map.type")]
    assert kinds[:4] == ["primary map", "half map", "half map", "mask"] and set(kinds[4:]) == {"additional map"}
    assert (folder / "symmetry.txt").read_text().count("BIOMT1") == point_group("D2").order
    assert float((folder / "recommended_contour.txt").read_text()) == pytest.approx(told["contour_level"], rel=1e-5)
    header = (folder / "image.png").read_bytes()
    assert min(int.from_bytes(header[place : place + 4], "big") for place in (16, 20)) >= 500
    assert all(panel.html() for panel in protocol.report(out)) and protocol.summary(out)["look at"] == "nothing"


def test_curves_are_those_of_the_run_and_valid(chain):
    root, _, _, sharpened, _ = chain
    deposited(chain, "r003")
    for name, column in (("fsc_01.xml", "fsc"), ("fsc_02_unmasked.xml", "fsc_unmasked"), ("fsc_03_masked.xml", "fsc_masked")):
        path = root / "runs/r003/deposit" / name
        assert fsc_faults(path, 0.5 / PIXEL) == []
        tree = ElementTree.parse(path).getroot()
        assert tree.attrib["xaxis"] == "Resolution (A-1)" and tree.attrib["yaxis"] == "Correlation Coefficient"
        values = sharpened.fsc.items.sort("shell")
        assert np.allclose([float(each.findtext("x")) for each in tree], values["frequency"], atol=1e-6)
        assert np.allclose([float(each.findtext("y")) for each in tree], values[column].clip(-1, 1), atol=1e-6)


def test_what_the_dictionary_does_not_know_is_named(tmp_path):
    path = tmp_path / "m.cif"
    for text, fault in (
        ("_em_imaging.id 1\n_em_imaging.accelerating_voltage 300.5", "accelerating_voltage is '300.5', not whole"),
        ("_em_imaging.id 1\n_em_imaging.voltage 300", "em_imaging.voltage is not known"),
        ("_em_imaging.nominal_cs 2.7", "em_imaging.id is needed"),
        ("_em_imaging.id 1\n_em_imaging.nominal_cs 2700", "is not from 0 to 20"),
        ("_em_3d_reconstruction.id 1\n_em_3d_reconstruction.algorithm gridding", "not one of ALGEBRAIC"),
        ("_em_single_particle_entity.id 1\n_em_single_particle_entity.point_symmetry I2", "does not look like"),
        ("loop_\n_em_software.id\n_em_software.category\n1 MASKING\n2 Masking", "em_software.category is 'Masking'"),
        ("_em_microscope.id 1", "em_microscope is not known"),
        ("_em_imaging.id", "no mmCIF"),
    ):
        path.write_text(f"data_x\n{text}\n")
        assert any(fault in each for each in cif_faults(path)), (text, cif_faults(path))


def test_nothing_is_made_up(chain):
    """A map that came from elsewhere has nobody's algorithm, and I2 is I to archives."""
    _, _, out = deposited(chain, "r009", {"volume": (Step("import.volume", {}, "0.9"),)}, symmetry="I2")
    told, missing = out.deposition.meta["metadata"], out.deposition.meta["missing"]
    assert told["software"] == [] and told["algorithm"] is told["final_angle_assignment"] is told["ctf_correction"] is None
    assert {"reconstruction algorithm", "voltage", "title", "particles picked", "microscope"} <= set(missing)
    text = (chain[0] / "runs/r009/deposit/metadata.cif").read_text()
    assert "point_symmetry I\n" in text and "_em_imaging.accelerating_voltage ?" in text and "_em_imaging.microscope_model ?" in text
    hints = {hint.parameter: hint for hint in DepositEMDB(volume=chain[3].volume).check()}
    assert not any(hint.error for hint in hints.values()) and {"title", "particles", "micrographs", "coordinates"} <= set(hints)
    assert "microscope" in hints["title"].message and "voltage" in hints["particles"].message


def test_what_steps_tell():
    given = reconstruction([*HISTORY, Step("refine.auto", {"poses": "given"}, "0.9")])
    assert given["made_by"] == "refine.auto" and given["final_angles"] == "MAXIMUM LIKELIHOOD"
    local = reconstruction([*HISTORY, Step("refine.local", {"method": "local"}, "0.9")])
    assert (local["made_by"], local["final_angles"]) == ("refine.local", "PROJECTION MATCHING")
    assert reconstruction([Step("classify3d.em", {"align": True}, "0.9")])["refinement_type"] is None
    fitted = Step("model.fit", {"refinement": "servalcat"}, "0.9")
    rows = {each["category"]: each["name"] for each in software([*HISTORY, fitted], given)}
    assert rows["MODEL REFINEMENT"] == "servalcat" and rows["MODEL FITTING"] == rows["RECONSTRUCTION"] == "cryoloom"
    assert model_fit([fitted])["ref_protocol"] == "FLEXIBLE FIT" and model_fit([])["ref_protocol"] is None
    assert motion_correction([Step("motion.correlation", {"patches": 1}, "0.9")]) == "WHOLE MICROGRAPH" and motion_correction([]) is None


def test_faults_of_curves_are_named(tmp_path):
    schema = (Path(__file__).parents[3] / "docs/schemas/emdb-fsc.xsd").read_text()
    assert f'fixed="{X_AXIS}"' in schema and f'fixed="{Y_AXIS}"' in schema
    path = tmp_path / "fsc.xml"
    head = f'<fsc title="t" xaxis="{X_AXIS}" yaxis="{Y_AXIS}">'
    pair = "<coordinate><x>{}</x><y>{}</y></coordinate>".format
    for text, fault in (
        ("<fsc", "no XML"),
        ("<curve/>", "the root is curve"),
        (f"{head}{pair(0, 1)}</fsc>", "two are the least"),
        (f"{head}{pair(0.1, 1)}{pair(0.1, 1)}</fsc>", "does not ascend"),
        (f"{head}{pair(0, 1)}{pair(0.1, 'nan')}</fsc>", "not finite"),
        (f"{head}{pair(0, 1)}{pair(0.1, 1.5)}</fsc>", "lies outside"),
        (f"{head}{pair(0, 1)}{pair(0.9, 1)}</fsc>", "lies outside"),
        (f"{head}{pair(0, 1)}<point/></fsc>", "not coordinate of x, y"),
        (f"{head}{pair(0, 1)}{pair(0.1, 'much')}</fsc>", "holds no numbers"),
        (f"<fsc xaxis='nm' yaxis='{Y_AXIS}' by='me'>{pair(0, 1)}{pair(0.1, 1)}</fsc>", "unknown attributes: by"),
    ):
        path.write_text(text)
        assert any(fault in each for each in fsc_faults(path, 0.5)), text
    write_fsc(path, np.array([0.0, 0.1, 0.2]), np.array([1.0, np.nan, -0.1]), "with a gap")
    assert fsc_faults(path) == [] and path.read_text().count("<coordinate>") == 2


def test_maps_without_halves_are_refused_and_why(chain):
    root, volume, *_ = chain
    bare = Volume(volume.items.select("id", "box_size", "volume_path"), root, meta=volume.meta)
    hints = {hint.parameter: hint for hint in DepositEMDB(volume=bare).check()}
    assert hints["volume"].error and "EMDB requires both unfiltered half maps" in hints["volume"].message
    assert not hints["hand_decided"].error and "hand_decided" not in {
        hint.parameter for hint in DepositEMDB(volume=bare, hand_decided=True).check()
    }


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("same halves", "half maps differ: no"),
        ("other resolution", "resolution of the files is the one stated: no"),
        ("wide mask", "mask within 0 and 1: no"),
        ("other box", "one box: no"),
        ("other pixel", "one pixel size: no"),
    ],
)
def test_what_archives_refuse_stops_the_run(chain, fault, words):
    root, _, mask, sharpened, _ = chain
    volume, fsc = sharpened.volume, sharpened.fsc
    if fault == "same halves":
        volume = volume.with_columns(volume.items.select("id", half_map2_path="half_map1_path"))
    elif fault == "other resolution":
        fsc = FSC(fsc.items, root, meta=fsc.meta | {"resolution": 2.0 * fsc.meta["resolution"]})
    else:
        data = np.full((BOX, BOX, BOX) if fault != "other box" else (40, 40, 40), 0.0, np.float32)
        data[10:30, 10:30, 10:30] = 2.0 if fault == "wide mask" else 1.0
        path = root / f"mask{zlib.crc32(fault.encode())}.mrc"
        size = PIXEL * (1.001 if fault == "other pixel" else 1.0)
        write_mrc(path, data, size, volume=True)
        mask = Mask(pl.DataFrame({"id": [1], "mask_path": [path.name], "box_size": [len(data)]}), root, meta={"pixel_size": size})
    with pytest.raises(Failure, match=words):
        deposited(chain, "r004", volume=volume, fsc=fsc, mask=mask)


def test_what_misleads_is_warned_of(chain, particles):
    traced_model(np.full((1, 3), 900.0), np.zeros(1, int), np.full(1, 20.0)).write(chain[0] / "model.cif")
    model = AtomicModel(pl.DataFrame({"id": [1], "model_path": ["model.cif"], "atoms": [1], "residues": [1], "chains": [1]}), chain[0])
    _, job, out = deposited(chain, "r005", particles=particles.select(range(5)), mass=5.0, contour=0.1, model=model)
    told = " ".join(job.warnings)
    for words in ("contour shows the particle: no", "model lies in the map: no. 1 atoms, 0 %", "hand is decided: no"):
        assert words in told
    assert "coordinates.cif" in {path.rpartition("/")[2] for path in out.deposition.items["file_path"]}


def test_without_curves_they_are_measured_and_maps_may_be_packed(chain):
    root, volume, mask, sharpened, _ = chain
    _, _, out = deposited(chain, "r006", volume=volume, fsc=None, compress=True)
    found = out.deposition.meta["metadata"]["resolution_A"]
    assert abs(BOX * PIXEL / found - BOX * PIXEL / sharpened.fsc.meta["resolution"]) <= 1.01
    with mrcfile.open(root / "runs/r006/deposit/half_map_1.mrc.gz") as packed, mrcfile.open(root / "map_half1_unfil.mrc") as stored:
        assert np.array_equal(packed.data, stored.data)
    _, _, bare = deposited(chain, "r007", volume=volume, fsc=None, mask=None)
    assert [row["role"] for row in bare.deposition.items.iter_rows(named=True) if row["role"].startswith("FSC")] == ["FSC curve, corrected"]


def test_a_curve_of_a_sphere_is_measured_in_it_again(chain):
    root, volume, _, _, halves = chain
    sphere = spherical_mask(BOX, 150.0 / 2 / PIXEL, 5.0)
    curve = fourier_shell_correlation(*(half * sphere for half in halves))
    shells = np.arange(len(curve))
    table = pl.DataFrame({"id": shells, "shell": shells, "frequency": shell_frequencies(BOX, PIXEL), "fsc": curve})
    fsc = FSC(table, root, meta={"resolution": resolution_at(curve, 0.143, BOX, PIXEL), "mask": "sphere of 150 Å"})
    refined = Volume(volume.items, root, meta=volume.meta | {"mask_diameter": 150.0, "resolution": 14.0})
    _, _, out = deposited(chain, "r008", volume=refined, fsc=fsc, mask=None)
    found = {each["name"]: each["passed"] for each in out.deposition.meta["checks"]}
    assert found["resolution of the files is the one stated"] and found["map and half maps are one structure"]


def test_words_of_mmcif_are_quoted_where_they_must():
    block = cif_block(
        "x", {"a": {"plain": 1.5, "none": None, "words": "two words", "quote": "it's", "key": "data_1"}, "b": [{"n": 1}, {"n": 2}]}
    )
    assert "_a.plain 1.5\n_a.none ?\n_a.words 'two words'\n_a.quote \"it's\"\n_a.key 'data_1'\n#\nloop_\n_b.n\n1\n2\n#" in block
