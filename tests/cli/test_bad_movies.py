"""Bad movies, as a user meets them: what can go on goes on, the rest is told in one paragraph."""


def reasons(finished, project, run):
    rows = finished("show", project, f"{run}.movies")["rows"]
    return {row["movie_name"]: row["fail_reason"] for row in rows if not row["enabled"]}


def test_broken_movies_among_good_ones_are_left_out_with_their_reason(movies, importing, project, finished, cryoloom, write_movie):
    whole = (movies / "a.mrc").read_bytes()
    (movies / "cut.mrc").write_bytes(whole[: len(whole) // 2])
    (movies / "empty.mrc").write_bytes(b"")
    (movies / "letter.mrc").write_text("Dear reader, this is not a movie. " * 50)
    (movies / "folder.mrc").mkdir()
    write_movie(movies / "still.mrc", frames=1)
    write_movie(movies / "holed.mrc", spoil=(2, 5, 6))
    done = finished(*importing(movies / "*.mrc", "--name", "movies"))
    assert done["state"] == "finished" and done["failed_items"] == {"movies": 3} and done["outputs"]["movies"]["count"] == 8
    assert done["summary"]["movies"] == 5 and done["summary"]["unreadable"] == 3
    why = reasons(finished, project, "movies")
    assert "expected 197632 bytes, found 98816" in why["cut"] and "found 0 bytes" in why["empty"] and "not an MRC file" in why["letter"]
    told = " ".join(done["warnings"])
    assert "3 of 8 movies failed" in told and "cut.mrc: expected 197632 bytes, found 98816" in told and "Copy the file again" in told
    assert "1 of 5 movies have a single frame" in told
    assert "is disabled: cut.mrc: expected" in cryoloom("show", project, "movies.movies").stdout
    summed = finished("run", project, "motion.correlation", "--input-movies", "movies", "--threads", 1)
    assert summed["failed_items"] == {"items": 1} and any("holed: frame 3: 1 pixels are not numbers" in each for each in summed["warnings"])


def test_process_goes_on_without_a_truncated_movie_even_if_it_is_the_first(movies, processing, cryoloom):
    whole = (movies / "a.mrc").read_bytes()
    (movies / "a.mrc").write_bytes(whole[: len(whole) // 2])
    done = cryoloom(*processing(movies / "*", until="motion.correlation"))
    assert done.returncode == 0 and "1 of 3 movies failed: a.mrc: expected 197632 bytes, found 98816" in done.stderr
    assert "motion.correlation" in done.stderr and "micrographs 2" in done.stderr


def test_when_no_movie_is_good_nothing_is_imported(tmp_path, movies, importing, refused, finished, project):
    for path in movies.iterdir():
        path.write_text("rubbish")
    words = importing(movies / "*.mrc", "--name", "movies")
    refused(1, "all-failed", ["r001", "All 3 movies failed", "a.mrc: expected a header of 1024 bytes, found 7"], *words)
    assert [row["state"] for row in finished("status", project)] == ["failed"]


def test_mixed_frame_sizes(movies, importing, processing, refused, write_movie):
    write_movie(movies / "odd.mrc", shape=(64, 64))
    says = ["3 of 128 × 96 px", "1 of 64 × 64 px", "odd.mrc", "in a run of its own"]
    refused(1, "mixed-sizes", says, *importing(movies / "*.mrc"))
    refused(1, "mixed-sizes", says, *processing(movies / "*.mrc"))


def test_a_pixel_size_that_the_header_contradicts(movies, importing, processing, refused, cryoloom):
    words = [3.1 if word == 1.5 else word for word in importing(movies / "*.mrc")]
    says = ["a.mrc says 1.5 Å/px", "--pixel-size says 3.1 Å/px", "3 of 3 files", "--ignore-header-pixel-size"]
    refused(1, "pixel-size", says, *words)
    words = processing(movies / "*.mrc")
    refused(1, "pixel-size", says, *(3.1 if word == 1.5 else word for word in words))
    assert cryoloom(*words).returncode == 0, "the same project takes the right pixel size"
