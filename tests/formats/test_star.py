import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import starfile

from cryoloom.formats.star import read_star, write_star
from cryoloom.spec import Failure

REAL = [
    "relion-star/one_loop.star",
    "relion-star/relion5.star",
    "relion-star/postprocess.star",
    "relion-star/default_pipeline.star",
    "relion-star/helical_actin_data_test.star",
    "relion-star/FinalRefinement-OriginalParticles-PfCRT.star",
    "relion-star/run_it025_optimiser_3D.star",
    "relion-star/run_it025_sampling_3D.star",
    "relion-star/tutorial10204_24rows_pyem.star",
    "particles-relion31-5/relion31.star",
    "particles-relion31-5/relion31.v2.star",
    "particles-relion31-5/relion31.6opticsgroups.star",
    "motioncor-star/T20S_14sep05c_00024sq_00003hl_00002es_motion.star",
    "ctf-outputs/017_gctf.star",
    "detector-mtf/mtf_k2_300_ec.star",
]


def star(tmp_path: Path, text: str | bytes) -> dict[str, pl.DataFrame]:
    path = tmp_path / "a.star"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_star(path)


@pytest.mark.parametrize("name", REAL)
def test_real_files_agree_with_starfile(test_data, name):
    path = test_data / name
    ours = read_star(path)
    theirs = starfile.read(path, always_dict=True)
    assert [key for key in ours if ours[key].width] == [str(key) for key in theirs]
    for key, other in theirs.items():
        frame = ours[str(key)]
        columns = {label: [value] for label, value in other.items()} if isinstance(other, dict) else other
        assert frame.columns == list(columns)
        for label in columns:
            for mine, his in zip(frame[label].to_list(), list(columns[label]), strict=True):
                if isinstance(mine, str):
                    assert mine == str(his)
                else:
                    assert mine == pytest.approx(float(his), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", REAL)
def test_real_files_survive_a_round_trip(test_data, tmp_path, name):
    first = read_star(test_data / name)
    write_star(tmp_path / "a.star", first)
    again = read_star(tmp_path / "a.star")
    assert list(again) == list(first)
    for key, frame in first.items():
        assert again[key].equals(frame)
        assert again[key].schema == frame.schema
    write_star(tmp_path / "b.star", again)
    assert (tmp_path / "a.star").read_bytes() == (tmp_path / "b.star").read_bytes()
    theirs = starfile.read(tmp_path / "a.star", always_dict=True)
    assert [str(key) for key in theirs] == [key for key in first if first[key].width]


def test_awkward_text(tmp_path):
    text = (
        "# a comment\r\n\r\ndata_optics # another\r\n\r\n_rlnVoltage\t300.0\r\n_rlnOpticsGroupName 'my \"group\"'\r\n\r\n"
        "data_\r\n\r\nloop_ # here\r\n_rlnImageName #1 \r\n_Other #2\r\n_rlnCoordinateX\r\n"
        "000001@a.mrcs  \t \"two words\"  1.5\r\n\r\n# between\r\n  000002@b's.mrcs   don't   -2e3   # tail\r\n"
    )
    blocks = star(tmp_path, text)
    assert list(blocks) == ["optics", ""]
    assert blocks["optics"].to_dicts() == [{"rlnVoltage": 300.0, "rlnOpticsGroupName": 'my "group"'}]
    assert blocks[""].to_dicts() == [
        {"rlnImageName": "000001@a.mrcs", "Other": "two words", "rlnCoordinateX": 1.5},
        {"rlnImageName": "000002@b's.mrcs", "Other": "don't", "rlnCoordinateX": -2000.0},
    ]


@pytest.mark.parametrize("blank", [" ", "\t", "   ", " \t "])
@pytest.mark.parametrize("indent", ["", "  "])
def test_any_blanks_separate_values(tmp_path, blank, indent):
    row = indent + blank.join(["1", "a", "2.5", '"x  y"']) + blank
    lines = "\n".join([row] * 3)
    frame = star(tmp_path, f"data_t\nloop_\n_a\n_b\n_c\n_d\n{lines}")["t"]
    assert frame.to_dict(as_series=False) == {"a": [1] * 3, "b": ["a"] * 3, "c": [2.5] * 3, "d": ["x  y"] * 3}


def test_types_never_change_text(tmp_path):
    columns = {
        "zeros": ["007", "8"],
        "long": ["12345678901234567890", "1"],
        "plain": ["12", "-3"],
        "float": ["1", "2.5"],
        "odd": ["1.", ".5"],
        "nan": ["nan", "-nan"],
        "mixed": ["1.0", "None"],
        "rlnMicrographName": ["12", "13"],
        "date": ["2020-01-01", "2020-01-02"],
        "truth": ["true", "false"],
        "plus": ["+1.5", "+2"],
        "empty": ['""', "x"],
        "exponent": ["1e-7", "1E+5"],
    }
    rows = "\n".join(" ".join(values) for values in zip(*columns.values(), strict=True))
    frame = star(tmp_path, "data_\nloop_\n" + "".join(f"_{name}\n" for name in columns) + rows + "\n")[""]
    kinds = {name: frame.schema[name] for name in columns}
    assert [name for name, kind in kinds.items() if kind == pl.Int64] == ["plain"]
    assert [name for name, kind in kinds.items() if kind == pl.Float64] == ["float", "odd", "nan", "plus", "exponent"]
    assert frame["zeros"].to_list() == ["007", "8"]
    assert frame["odd"].to_list() == [1.0, 0.5]
    assert all(math.isnan(value) for value in frame["nan"])
    assert frame["empty"].to_list() == ["", "x"]
    assert frame["exponent"].to_list() == [1e-7, 1e5]


def test_a_late_change_of_type_is_noticed(tmp_path):
    rows = "\n".join(["1.5 1"] * 3000 + ["None 2.5"])
    frame = star(tmp_path, f"data_\nloop_\n_a\n_b\n{rows}\n")[""]
    assert frame["a"].dtype == pl.String
    assert frame["a"][-1] == "None"
    assert frame["a"][0] == "1.5"
    assert frame["b"].dtype == pl.Float64


def test_blocks_with_one_name_and_several_loops(tmp_path):
    blocks = star(tmp_path, "data_\n_a 1\n\ndata_\nloop_\n_b\n1\n2\nloop_\n_c\n3\n\ndata_empty\n\ndata_none\nloop_\n_d\n")
    assert list(blocks) == ["", ".2", ".3", "empty", "none"]
    assert blocks[".2"]["b"].to_list() == [1, 2]
    assert blocks[".3"]["c"].to_list() == [3]
    assert blocks["none"].columns == ["d"]
    assert blocks["none"].height == 0


def test_a_value_that_begins_like_a_block_is_a_value(tmp_path):
    frame = star(tmp_path, "data_mics\nloop_\n_rlnMicrographName\n_x\ndata_001.mrc 1\ndata_002.mrc 2\n")
    assert frame["mics"]["rlnMicrographName"].to_list() == ["data_001.mrc", "data_002.mrc"]


def test_latin1_and_byte_order_mark(tmp_path):
    assert star(tmp_path, b"\xef\xbb\xbfdata_\n_a M\xfcller\n")[""]["a"].to_list() == ["Müller"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("hello", "star-invalid", "no data_ block"),
        ("data_\nloop_\n_a\n_b\n1 2\n3\n", "star-ragged", "row 2 of data_ has 1 values for 2 labels"),
        ("data_t\nloop_\n_a\n1 2\n", "star-ragged", "row 1 of data_t has 2 values for 1 labels"),
        ("data_\n_a 1 2\n", "star-ragged", "'_a 1 2'"),
        ("data_\nloop_\n1 2\n", "star-invalid", "no labels"),
    ],
)
def test_mistakes_are_named(tmp_path, text, code, message):
    with pytest.raises(Failure, match=message) as caught:
        star(tmp_path, text)
    assert caught.value.code == code


def test_written_values_come_back_exactly(tmp_path):
    rng = np.random.default_rng(5)
    frame = pl.DataFrame(
        {
            "double": [*rng.normal(size=50) * 10.0 ** rng.integers(-30, 30, 50), math.inf, -math.inf, math.nan],
            "count": list(range(-26, 27)),
            "text": ["", "a b", 'say "x"', "_label", "#hash", "data_x", "loop_", "'tis", *["t"] * 45],
            "rlnImageName": [f"{n:06d}@x.mrcs" for n in range(53)],
        }
    )
    write_star(tmp_path / "a.star", {"one": {"a": 1, "b": "x y", "c": 0.1, "d": True, "e": ""}, "many": frame})
    back = read_star(tmp_path / "a.star")
    assert back["one"].to_dicts() == [{"a": 1, "b": "x y", "c": 0.1, "d": 1, "e": ""}]
    assert back["many"].equals(frame, null_equal=True)
    text = (tmp_path / "a.star").read_text()
    assert text.splitlines()[1] == "# version 30001"
    widths = {line.rstrip().rfind("@") for line in text.splitlines() if "@" in line}
    assert len(widths) == 1, "columns are aligned"


def test_nulls_and_single_floats(tmp_path):
    frame = pl.DataFrame({"f": [0.1, None], "i": [1, None], "s": ["a", None]}, schema={"f": pl.Float32, "i": pl.Int32, "s": pl.String})
    write_star(tmp_path / "a.star", {"": frame})
    back = read_star(tmp_path / "a.star")[""]
    assert back["f"][0] == 0.1
    assert math.isnan(back["f"][1])
    assert math.isnan(back["i"][1])
    assert back["s"].to_list() == ["a", ""]
    with pytest.raises(ValueError, match="line break"):
        write_star(tmp_path / "b.star", {"": pl.DataFrame({"s": ["a\nb"]})})
    assert not (tmp_path / "b.star").exists()


def test_sixty_thousand_rows_come_back(tmp_path):
    rng = np.random.default_rng(0)
    count = 60_000
    frame = pl.DataFrame({f"c{n}": rng.normal(size=count) for n in range(8)}).with_columns(
        rlnImageName=pl.format("{}@Extract/mic.mrcs", pl.int_range(count).cast(pl.String).str.zfill(6)), cls=pl.int_range(count)
    )
    write_star(tmp_path / "a.star", {"particles": frame})
    assert read_star(tmp_path / "a.star")["particles"].equals(frame)
