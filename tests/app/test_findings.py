"""Each thing that can look wrong is said once, in words that name the number; a healthy project gets one calm line."""

from dataclasses import replace

import pytest

from cryoloom.app.findings import Facts, findings

HEALTHY = Facts(
    movies=20, micrographs=20, median_motion=9.0, pixel_size=2.0, median_ctf_resolution=6.0, picked=1800, classified=1800, kept=1500,
    best_class_resolution=11.0, refined=1500, mean_max_probability=0.8, view_coverage=0.99, resolution=7.0, unmasked_resolution=8.0,
    b_factor=-90.0,
)  # fmt: skip


def test_a_healthy_project_has_nothing_to_say():
    (only,) = findings(HEALTHY)
    assert only.level == "good"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"movies_failed": 3}, "3 of 20 movies"),
        ({"median_motion": 60.0}, "60 Å"),
        ({"median_ctf_resolution": 15.0}, "Thon rings"),
        ({"ctf_rejected": 8}, "believable CTF"),
        ({"picked": 40}, "diameter"),
        ({"kept": 300}, "good 2D classes"),
        ({"best_class_resolution": 30.0}, "best class average"),
        ({"looks_like": "D2 (0.97)"}, "looks like D2 (0.97)"),
        ({"symmetry_fit": 0.7, "symmetry_correlation": 0.6}, "30% less well"),
        ({"refined": 200}, "few"),
        ({"resolution": 25.0, "unmasked_resolution": 26.0}, "lock in"),
        ({"fsc_recovers": True}, "rises again"),
        ({"unmasked_resolution": 30.0}, "Masking"),
        ({"mean_max_probability": 0.02}, "uncertain"),
        ({"view_coverage": 0.4}, "Missing views"),
        ({"b_factor": -700.0}, "B-factor"),
        ({"other_hand": True}, "mirror image"),
        ({"model_correlation": 0.1}, "another particle"),
        ({"failed": ("r003 (refine.auto) failed: no disk.",)}, "no disk"),
    ],
)
def test_each_trouble_is_named(change, word):
    notices = findings(replace(HEALTHY, **change))
    assert any(word in notice.text and notice.level != "good" for notice in notices)


def test_warnings_come_before_advice():
    levels = [notice.level for notice in findings(replace(HEALTHY, refined=200, fsc_recovers=True))]
    assert levels == ["warning", "advice"]


def test_an_empty_project_is_not_a_crash():
    assert findings(Facts())
