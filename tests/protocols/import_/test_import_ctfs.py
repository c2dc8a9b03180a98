import polars as pl
import pytest

from cryoloom.data import Micrographs
from cryoloom.formats.star import write_star
from cryoloom.protocols.import_.ctfs import ImportCTFs
from cryoloom.spec import Failure

CTFFIND = """# Output from CTFFind version 4.1.8, run on 2019-02-25 11:33:34
# Input file: {name}.mrc ; Number of micrographs: 1
# Pixel size: 1.327 Angstroms ; acceleration voltage: {voltage} keV ; spherical aberration: 2.70 mm ; amplitude contrast: 0.10
# Box size: 512 pixels ; min. res.: 30.0 Angstroms ; max. res.: 5.0 Angstroms ; min. def.: 10000.0 um; max. def. 75000.0 um
# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism; ...
1.000000 14477.870117 13500.001953 75.000012 1.570796 0.101071 4.144508
"""


def micrographs(root, *names):
    count = len(names)
    items = {"id": range(1, count + 1), "micrograph_name": names, "micrograph_path": [f"{name}.mrc" for name in names], "width": [80] * count,
             "height": [80] * count, "optics_group": [1] * count, "enabled": [True] * count, "fail_reason": [""] * count}  # fmt: skip
    return Micrographs(
        pl.DataFrame(items), root, optics=[{"optics_group": 1, "pixel_size": 1.327, "voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}]
    )


def run(job, path, *names):
    return ImportCTFs(micrographs=micrographs(job.root, *names), path=str(path)).run(job).ctfs.items


def test_ctffinds_texts(job, raw):
    for name in ("a", "b"):
        (raw / f"{name}_ctf.txt").write_text(CTFFIND.format(name=name, voltage="300.0"))
        (raw / f"{name}_ctf_avrot.txt").write_text("# curves\n1 2 3\n")
    row = run(job, raw / "*.txt", "a", "b").row(1, named=True)
    assert (row["id"], row["micrograph_id"], row["micrograph_name"]) == (2, 2, "b")
    assert (row["defocus_u"], row["defocus_angle"]) == (14477.870117, pytest.approx(75.000012))
    assert row["phase_shift"] == pytest.approx(90.0, abs=1e-4), "radians there"
    assert (row["ctf_score"], row["ctf_resolution"]) == (0.101071, 4.144508)
    (raw / "a_ctf.txt").write_text(CTFFIND.format(name="a", voltage="200.0"))
    with pytest.raises(Failure, match="a.mrc was fitted with voltage 200, its micrograph has 300 kV"):
        run(job, raw / "*.txt", "a", "b")


def test_a_table_of_all_in_the_order_of_the_micrographs(job, raw):
    optics = {
        "rlnOpticsGroup": [1],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnMicrographPixelSize": [1.327],
    }
    rows = {"rlnMicrographName": ["MotionCorr/job2/c.mrc", "MotionCorr/job2/b.mrc", "MotionCorr/job2/x.mrc"], "rlnOpticsGroup": [1, 1, 1],
            "rlnDefocusU": [9e3, 2e4, 1e4], "rlnDefocusV": [1e4, 1e4, 1e4], "rlnDefocusAngle": [30.0, 100.0, 0.0]}  # fmt: skip
    write_star(raw / "micrographs_ctf.star", {"optics": pl.DataFrame(optics), "micrographs": pl.DataFrame(rows)})
    items = run(job, raw / "micrographs_ctf.star", "a", "b", "c")
    assert items["micrograph_name"].to_list() == ["b", "c"]
    assert items.select("defocus_u", "defocus_v", "defocus_angle").rows() == [(2e4, 1e4, -80.0), (1e4, 9e3, -60.0)], "u is the larger"
    assert items["phase_shift"].to_list() == [0.0, 0.0]
    assert len(job.warnings) == 2 and "1 of 3 fits" in job.warnings[0] and "1 of 3 micrographs" in job.warnings[1]
    write_star(
        raw / "twice.star",
        {"optics": pl.DataFrame(optics), "micrographs": pl.DataFrame({**rows, "rlnMicrographName": ["b.mrc", "b_DW.mrc", "a"]})},
    )
    with pytest.raises(Failure, match="b has more than one fit"):
        run(job, raw / "twice.star", "a", "b")
    write_star(raw / "bare.star", {"micrographs": pl.DataFrame({"rlnMicrographName": ["b.mrc"]})})
    with pytest.raises(Failure, match="no defocus"):
        run(job, raw / "bare.star", "b")
    with pytest.raises(Failure, match="No fit belongs"):
        run(job, raw / "micrographs_ctf.star", "q")


def test_real_files(job, raw, test_data):
    from cryoloom.formats.exchange import read_as

    table = read_as("micrographs", test_data / "ctf-outputs" / "017_gctf.star")
    assert table.items.height == 60 and table.optics[0]["pixel_size"] == pytest.approx(1.971, abs=1e-3)
    with pytest.raises(Failure, match="60 rows; one micrograph has one"):
        read_as("micrographs", test_data / "ctf-outputs" / "017_ctffind4.txt")
