import os
import threading
import time

import pytest

from cryoloom.server.render.asset import Asset, Rendered
from cryoloom.server.render.cache import PictureCache


def asset(number: int, made: list[int], size: int = 1000, *, kept: bool = True, slow: float = 0.0) -> Asset:
    def make() -> Rendered:
        made.append(number)
        time.sleep(slow)
        return Rendered(bytes([number]) * size, "image/png", {"X-Number": str(number)})

    return Asset(("picture", number), make, kept)


def test_what_is_kept_is_made_once_and_comes_back_the_same(tmp_path):
    made: list[int] = []
    first = PictureCache(tmp_path).rendered(asset(3, made))
    again = PictureCache(tmp_path).rendered(asset(3, made))  # as another server would
    assert made == [3]
    assert (bytes(again.body), again.media, again.headers) == (first.body, "image/png", {"X-Number": "3"})
    PictureCache(tmp_path).rendered(asset(4, made, kept=False))
    PictureCache(tmp_path).rendered(asset(4, made, kept=False))
    assert made == [3, 4, 4]


def test_room_is_bounded_and_what_was_used_last_stays(tmp_path):
    made: list[int] = []
    pictures = PictureCache(tmp_path, most=5000)
    for number in range(20):
        pictures.rendered(asset(number, made))
        pictures.rendered(asset(0, made))  # looked at all the time
        for path in tmp_path.iterdir():  # the clock of a file system may be coarse: every step is a second
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5000
    assert made == list(range(20))
    pictures.rendered(asset(19, made))
    assert made == list(range(20))
    pictures.rendered(asset(1, made))
    assert made[-1] == 1


def test_what_does_not_fit_is_not_kept(tmp_path):
    made: list[int] = []
    pictures = PictureCache(tmp_path / "kept", most=500)
    assert len(pictures.rendered(asset(1, made)).body) == 1000
    assert not (tmp_path / "kept").exists()


def test_one_picture_is_made_once_for_all_who_ask_at_the_same_moment(tmp_path):
    made: list[int] = []
    pictures = PictureCache(tmp_path)
    threads = [threading.Thread(target=pictures.rendered, args=(asset(number % 2, made, slow=0.05),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1]
    assert not pictures._making


def test_one_that_fails_is_tried_again(tmp_path):
    def fail() -> Rendered:
        raise ValueError

    pictures, made = PictureCache(tmp_path), []
    with pytest.raises(ValueError):  # noqa: PT011
        pictures.rendered(Asset(("picture", 1), fail, kept=True))
    assert pictures.rendered(asset(1, made)).body and made == [1]


def test_torn_files_are_made_again_and_a_folder_that_cannot_be_made_does_no_harm(tmp_path):
    made: list[int] = []
    pictures = PictureCache(tmp_path)
    pictures.rendered(asset(1, made))
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:-1], b"", b"{}\n"):
        path.write_bytes(content)
        assert len(PictureCache(tmp_path).rendered(asset(1, made)).body) == 1000
    assert made == [1] * 4
    (tmp_path / "file").write_text("")
    assert PictureCache(tmp_path / "file" / "below").rendered(asset(2, made)).body
