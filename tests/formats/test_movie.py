import pickle
import struct

import numpy as np
import pytest
import tifffile

from cryoloom.formats.movie import open_movie
from cryoloom.formats.mrc import write_mrc
from cryoloom.formats.tiff import write_tiff
from cryoloom.spec import Failure


@pytest.fixture
def frames():
    return np.random.default_rng(2).integers(0, 100, size=(5, 31, 40)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.mrc", "a.mrcs", "a.st"])
@pytest.mark.parametrize("volume", [False, True])
@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12])
def test_mrc_movies_whatever_the_space_group(tmp_path, frames, name, volume, mode):
    write_mrc(tmp_path / name, frames, 1.34, mode=mode, volume=volume, stack=not volume)
    movie = open_movie(tmp_path / name)
    assert (movie.frames, movie.height, movie.width, movie.pixel_size) == (5, 31, 40, 1.34)
    part = movie.read(1, 3)
    assert part.dtype == np.float32
    assert np.array_equal(part, frames[1:3])
    assert np.array_equal(movie.read(), frames)
    assert np.array_equal(pickle.loads(pickle.dumps(movie)).read(4, 5), frames[4:])
    with pytest.raises(ValueError, match="which has 5"):
        movie.read(3, 6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "predictor": True},
        {"compression": "deflate"},
        {"bigtiff": True, "compression": "lzw"},
        {"rowsperstrip": 4, "compression": "zlib"},
        {"byteorder": ">"},
        {"tile": (16, 16)},
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_movies_of_another_writer(tmp_path, frames, options, dtype):
    place = {key: options[key] for key in ("bigtiff", "byteorder") if key in options}
    rest = {key: value for key, value in options.items() if key not in place}
    with tifffile.TiffWriter(tmp_path / "a.tif", **place) as tiff:
        for frame in frames.astype(dtype):
            tiff.write(frame, photometric="minisblack", contiguous=False, **rest)
    movie = open_movie(tmp_path / "a.tif")
    assert (movie.frames, movie.height, movie.width, movie.dtype) == (5, 31, 40, np.dtype(dtype))
    assert np.array_equal(movie.read(1, 4), frames[1:4, ::-1])
    assert np.array_equal(open_movie(tmp_path / "a.tif", flip_rows=False).read(), frames)
    assert np.array_equal(pickle.loads(pickle.dumps(movie)).read(0, 1), frames[:1, ::-1])


def test_a_movie_saved_both_ways_is_one_movie(tmp_path, frames):
    write_mrc(tmp_path / "a.mrc", frames, 1.0, mode=1)
    write_tiff(tmp_path / "a.tiff", frames)
    assert np.array_equal(open_movie(tmp_path / "a.mrc").read(), open_movie(tmp_path / "a.tiff").read())
    content = (tmp_path / "a.tiff").read_bytes()
    write_tiff(tmp_path / "b.tiff", frames)
    assert (tmp_path / "b.tiff").read_bytes() == content


def write_nibbles(path, frames, pixel_size):
    """Write frames as SerialEM's mode 101: two samples a byte, the low one first, rows padded to whole bytes."""
    write_mrc(path, np.zeros(frames.shape, np.int8), pixel_size, mode=0, stack=True)
    padded = np.pad(frames, ((0, 0), (0, 0), (0, frames.shape[2] % 2)))
    header = bytearray(path.read_bytes()[:1024])
    header[12:16] = struct.pack("<i", 101)
    path.write_bytes(bytes(header) + (padded[..., 0::2] | (padded[..., 1::2] << 4)).astype(np.uint8).tobytes())


@pytest.mark.parametrize("width", [40, 41])
def test_one_movie_in_every_encoding_gives_the_same_frames(tmp_path, width):
    """The row order of MRC files and of TIFF pages, counts of 4, 8 and 16 bits, whole and half numbers."""
    counts = np.random.default_rng(5).integers(0, 16, size=(3, 31, width)).astype(np.uint8)
    for mode in (0, 1, 2, 6, 12):
        write_mrc(tmp_path / f"mode{mode}.mrc", counts, 1.34, mode=mode, stack=True)
    write_nibbles(tmp_path / "mode101.mrc", counts, 1.34)
    for dtype in (np.uint8, np.uint16, np.int16, np.float32):
        for compression in (None, "lzw", "zlib"):
            write_tiff(tmp_path / f"{np.dtype(dtype).name}_{compression}.tif", counts.astype(dtype), compression=compression)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 18
    for path in files:
        movie = open_movie(path)
        assert (movie.frames, movie.height, movie.width) == (3, 31, width), path.name
        assert np.abs(movie.read() - counts).max() <= 1e-6, path.name
        assert np.abs(movie.read(1, 2) - counts[1:2]).max() <= 1e-6, path.name
    with tifffile.TiffFile(tmp_path / "uint8_lzw.tif") as tiff:
        assert np.array_equal(tiff.pages[0].asarray(), counts[0, ::-1]), "the file's own first row is the last of an MRC file"


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("cut", [1, 50, 900, 3000])
def test_truncated_tiff_movies(tmp_path, frames, bigtiff, cut):
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=bigtiff) as tiff:
        for frame in frames:
            tiff.write(frame, photometric="minisblack", contiguous=False)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:-cut])
    with pytest.raises(Failure, match=rf"expected at least \d+ bytes, found {len(whole) - cut}\.") as caught:
        open_movie(tmp_path / "a.tif")
    assert caught.value.code == "tiff-truncated"


def test_truncated_mrc_movie(tmp_path, frames):
    write_mrc(tmp_path / "a.mrcs", frames, 1.0, mode=1)
    whole = (tmp_path / "a.mrcs").read_bytes()
    (tmp_path / "a.mrcs").write_bytes(whole[:-1])
    with pytest.raises(Failure, match=f"expected {len(whole)} bytes, found {len(whole) - 1}"):
        open_movie(tmp_path / "a.mrcs")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.mrc", b"", "movie-truncated"),
        ("a.mrc", b"text that is not a movie" * 100, "mrc-invalid"),
        ("a.tif", b"text that is not a movie" * 100, "movie-invalid"),
        ("a.tif", b"II*\0", "tiff-invalid"),
        ("a.tif", struct.pack("<2sHI", b"II", 42, 8), "tiff-truncated"),
        ("a.tif", struct.pack("<2sHI", b"II", 42, 0), "tiff-invalid"),
    ],
)
def test_what_is_not_a_movie(tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Failure) as caught:
        open_movie(tmp_path / name)
    assert caught.value.code == code
    assert str(tmp_path / name) in str(caught.value)


def test_missing_movies_and_colour_pictures(tmp_path, frames):
    with pytest.raises(Failure, match="no such file"):
        open_movie(tmp_path / "none.mrc")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9, 3), dtype=np.uint8), photometric="rgb")
    with pytest.raises(Failure, match="not a grey image"):
        open_movie(tmp_path / "a.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as tiff:
        tiff.write(frames[0], photometric="minisblack")
        tiff.write(frames[0][:20], photometric="minisblack")
    with pytest.raises(Failure, match="several sizes"):
        open_movie(tmp_path / "b.tif")


def test_counts_in_signed_bytes(tmp_path):
    counts = np.random.default_rng(3).poisson(125, size=(3, 20, 20)).astype(np.uint8)
    write_mrc(tmp_path / "a.mrcs", counts.view(np.int8), 1.0, mode=0)
    with pytest.warns(UserWarning, match="unsigned counts"):
        movie = open_movie(tmp_path / "a.mrcs")
    assert np.array_equal(movie.read(1, 3), counts[1:])
    signed = np.random.default_rng(3).normal(0, 20, size=(3, 20, 20)).astype(np.int8)
    write_mrc(tmp_path / "b.mrcs", signed, 1.0, mode=0)
    assert np.array_equal(open_movie(tmp_path / "b.mrcs").read(), signed)


def test_pixel_size_of_tiff_only_where_it_can_be_one(tmp_path, frames):
    tifffile.imwrite(tmp_path / "a.tif", frames[0], resolution=(1e8 / 1.25, 1e8 / 1.25), resolutionunit="CENTIMETER")
    assert open_movie(tmp_path / "a.tif").pixel_size == pytest.approx(1.25)
    tifffile.imwrite(tmp_path / "b.tif", frames[0], resolution=(72, 72), resolutionunit="INCH")
    assert open_movie(tmp_path / "b.tif").pixel_size == 0
