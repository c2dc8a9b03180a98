import bz2
import gzip
import shutil
import warnings

import mrcfile
import numpy as np
import pytest

from cryoloom.formats.mrc import MrcWriter, open_mrc, read_mrc, read_mrc_header, unpack_nibbles, write_mrc
from cryoloom.spec import Failure


def images(dtype, shape=(3, 5, 7), seed=1):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, size=shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize(("mode", "dtype"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
@pytest.mark.parametrize("kind", ["stack", "volume"])
def test_written_modes_are_what_mrcfile_reads_and_validates(tmp_path, mode, dtype, kind):
    data = images(dtype)
    path = tmp_path / ("a.mrcs" if kind == "stack" else "a.mrc")
    write_mrc(path, data, 1.34, mode=mode)
    with mrcfile.open(path) as other:
        assert np.array_equal(other.data, data)
        assert other.is_image_stack() == (kind == "stack")
        assert other.is_volume() == (kind == "volume")
        assert float(other.voxel_size.x) == pytest.approx(1.34)
        assert float(other.header.dmin) == pytest.approx(float(data.min()))
        assert float(other.header.rms) == pytest.approx(data.astype(np.float64).std(), rel=1e-5)
    assert mrcfile.validate(path, print_file=open(tmp_path / "log", "w"))  # noqa: SIM115
    back = read_mrc(path)
    assert np.array_equal(back.data, data)
    assert back.data.dtype == np.dtype(dtype)
    assert back.pixel_size == 1.34
    assert back.is_volume == (kind == "volume")
    assert np.array_equal(open_mrc(path).data, data)


def test_bytes_do_not_depend_on_time_or_on_the_pieces(tmp_path):
    data = images("f4", (6, 9, 4))
    write_mrc(tmp_path / "a.mrcs", data, 2.0)
    with MrcWriter(tmp_path / "b.mrcs", (9, 4), 2.0) as writer:
        writer.append(data[0])
        writer.append(data[1:4])
        writer.append(data[4:])
    content = (tmp_path / "a.mrcs").read_bytes()
    assert content == (tmp_path / "b.mrcs").read_bytes()
    assert content[224:304] == b"cryoloom".ljust(80)
    assert content[304:1024] == bytes(720)


def test_an_error_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="images must be"), MrcWriter(tmp_path / "a.mrcs", (4, 4), 1.0) as writer:
        writer.append(np.ones((5, 4, 5)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "value"), [(0, 200), (1, 40000), (6, -1), (12, 1e5), (1, np.nan)])
def test_values_that_do_not_fit_are_refused(tmp_path, mode, value):
    with pytest.raises(Failure, match="do not fit MRC mode") as caught:
        write_mrc(tmp_path / "a.mrc", np.full((2, 2), value), 1.0, mode=mode)
    assert caught.value.code == "mrc-range"


@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", "u2", "c8"])
def test_big_endian_files_of_another_writer(tmp_path, dtype):
    data = (images("f4") + 1j * images("f4", seed=2)).astype("c8") if dtype == "c8" else images(dtype)
    with mrcfile.new(tmp_path / "a.mrc", data) as other:
        header, body = other.header.copy(), other.data.copy()
    header["machst"] = [0x11, 0x11, 0, 0]
    big = body.dtype.newbyteorder(">")
    (tmp_path / "big.mrc").write_bytes(header.byteswap().tobytes() + body.astype(big).tobytes())
    raw = bytearray((tmp_path / "big.mrc").read_bytes())
    raw[208:216] = b"MAP \x11\x11\0\0"
    (tmp_path / "big.mrc").write_bytes(raw)
    back = read_mrc(tmp_path / "big.mrc")
    assert np.array_equal(back.data, data)
    assert back.data.dtype.isnative
    assert np.array_equal(open_mrc(tmp_path / "big.mrc").data, data)


@pytest.mark.parametrize(("suffix", "opener"), [(".gz", gzip.open), (".bz2", bz2.open)])
def test_compressed_files(tmp_path, suffix, opener):
    data = images("i2")
    write_mrc(tmp_path / "a.mrcs", data, 1.5, mode=1)
    with opener(tmp_path / f"a.mrcs{suffix}", "wb") as stream:
        stream.write((tmp_path / "a.mrcs").read_bytes())
    back = open_mrc(tmp_path / f"a.mrcs{suffix}")
    assert np.array_equal(back.data, data)
    assert not back.is_volume
    whole = (tmp_path / f"a.mrcs{suffix}").read_bytes()
    (tmp_path / f"b.mrcs{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Failure, match="bytes|end early|cannot be read"):
        read_mrc(tmp_path / f"b.mrcs{suffix}")


def test_extended_header_and_trailing_bytes_are_skipped(tmp_path):
    data = images("f4")
    with mrcfile.new(tmp_path / "a.mrc", data) as other:
        other.set_extended_header(np.arange(96, dtype="u1"))
    with (tmp_path / "a.mrc").open("ab") as stream:
        stream.write(b"tail")
    assert read_mrc_header(tmp_path / "a.mrc").offset == 1024 + 96
    assert np.array_equal(read_mrc(tmp_path / "a.mrc").data, data)


def test_a_missing_map_stamp_is_a_warning(tmp_path):
    write_mrc(tmp_path / "a.mrc", images("f4"), 1.0)
    raw = bytearray((tmp_path / "a.mrc").read_bytes())
    raw[208:216] = bytes(8)
    (tmp_path / "a.mrc").write_bytes(raw)
    with pytest.warns(UserWarning, match="no MAP stamp"):
        image = read_mrc(tmp_path / "a.mrc")
    assert np.array_equal(image.data, images("f4"))
    assert image.header.notes


def test_truncated_files_say_expected_and_found(tmp_path):
    write_mrc(tmp_path / "a.mrc", images("f4"), 1.0)
    whole = (tmp_path / "a.mrc").read_bytes()
    (tmp_path / "a.mrc").write_bytes(whole[:-5])
    with pytest.raises(Failure, match=r"expected 1444 bytes, found 1439\.") as caught:
        read_mrc_header(tmp_path / "a.mrc")
    assert caught.value.code == "mrc-truncated"
    (tmp_path / "a.mrc").write_bytes(whole[:100])
    with pytest.raises(Failure, match="expected a header of 1024 bytes, found 100"):
        read_mrc(tmp_path / "a.mrc")


def test_what_is_not_an_mrc_file_is_refused(tmp_path):
    (tmp_path / "a.mrc").write_bytes(b"hello, this is text" * 100)
    with pytest.raises(Failure, match="not an MRC file"):
        read_mrc(tmp_path / "a.mrc")
    with pytest.raises(Failure, match="no such file"):
        read_mrc(tmp_path / "none.mrc")
    write_mrc(tmp_path / "b.mrc", images("f4"), 1.0)
    raw = bytearray((tmp_path / "b.mrc").read_bytes())
    raw[8:12] = bytes(4)
    (tmp_path / "b.mrc").write_bytes(raw)
    with pytest.raises(Failure, match="0 sections"):
        read_mrc(tmp_path / "b.mrc")


def test_imod_unsigned_bytes(tmp_path):
    data = images("u1")
    write_mrc(tmp_path / "a.mrcs", data.view("i1"), 1.0, mode=0)
    raw = bytearray((tmp_path / "a.mrcs").read_bytes())
    raw[152:160] = np.array([1146047817, 0], dtype="<i4").tobytes()
    (tmp_path / "a.mrcs").write_bytes(raw)
    assert np.array_equal(read_mrc(tmp_path / "a.mrcs").data, data)
    raw[156:160] = np.array([1], dtype="<i4").tobytes()
    (tmp_path / "a.mrcs").write_bytes(raw)
    assert np.array_equal(read_mrc(tmp_path / "a.mrcs").data, data.view("i1"))


def test_four_bit_samples(tmp_path):
    frames = np.random.default_rng(3).integers(0, 16, size=(2, 3, 5)).astype("u1")
    padded = np.zeros((2, 3, 6), dtype="u1")
    padded[..., :5] = frames
    packed = padded[..., 0::2] | (padded[..., 1::2] << 4)
    assert np.array_equal(unpack_nibbles(packed, 5), frames)
    write_mrc(tmp_path / "a.mrc", np.zeros((2, 3, 5)), 1.0, stack=True)
    raw = bytearray((tmp_path / "a.mrc").read_bytes()[:1024])
    raw[12:16] = np.array([101], dtype="<i4").tobytes()
    (tmp_path / "a.mrc").write_bytes(bytes(raw) + packed.tobytes())
    assert np.array_equal(read_mrc(tmp_path / "a.mrc").data, frames)


@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 1, 2), (2, 1, 3), (3, 2, 1), (2, 3, 1), (1, 3, 2)])
def test_any_axis_order_becomes_zyx(tmp_path, axes):
    zyx = images("f4", (4, 5, 6))
    # Stored dimension d (section, row, column) runs along axis axes[::-1][d]; axis a of the map is dimension 3 - a of zyx.
    stored = zyx.transpose([3 - axis for axis in axes[::-1]])
    write_mrc(tmp_path / "a.map", stored, 1.0)
    raw = bytearray((tmp_path / "a.map").read_bytes())
    raw[64:76] = np.array(axes, dtype="<i4").tobytes()
    (tmp_path / "a.map").write_bytes(raw)
    assert np.array_equal(read_mrc(tmp_path / "a.map").data, zyx)
    assert np.array_equal(open_mrc(tmp_path / "a.map").data, zyx)


def test_kind_is_judged_by_extension_then_space_group(tmp_path):
    cube = images("f4", (4, 4, 4))
    write_mrc(tmp_path / "a.mrc", cube, 1.0, stack=True)
    assert read_mrc_header(tmp_path / "a.mrc").is_volume, "a cube with space group 0 is a map"
    write_mrc(tmp_path / "b.mrc", images("f4"), 1.0, volume=True)
    assert read_mrc_header(tmp_path / "b.mrc").is_volume
    shutil.copy(tmp_path / "b.mrc", tmp_path / "b.mrcs")
    assert not read_mrc_header(tmp_path / "b.mrcs").is_volume
    write_mrc(tmp_path / "c.mrc", images("f4")[0], 1.0)
    assert read_mrc(tmp_path / "c.mrc").data.ndim == 2


def test_published_maps(test_data):
    folder = test_data / "maps"
    plain = read_mrc(folder / "EMD-3001.map")
    assert plain.data.shape == (73, 25, 43)
    assert plain.header.axes == (3, 1, 2)
    assert plain.header.voxel_size == pytest.approx((0.44825, 0.3925, 0.45875))
    for other in ("EMD-3001.map.bz2", "emd_3001.map.gz"):
        assert np.array_equal(read_mrc(folder / other).data, plain.data)
    with warnings.catch_warnings(), mrcfile.open(folder / "emd_3186.map") as known:
        assert np.array_equal(read_mrc(folder / "emd_3186.map").data, known.data)
