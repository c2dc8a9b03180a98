import polars as pl

from cryoloom.report.class_levels import correlation_panel, sizes_panel


def classes(frc: list[list[float]]) -> pl.DataFrame:
    numbers = range(1, len(frc) + 1)
    return pl.DataFrame({"class_id": numbers, "count": [10 * n for n in numbers], "resolution": [20.0 - n for n in numbers], "frc": frc})


def test_classes_that_share_a_curve_are_one_curve_and_said_to_be() -> None:
    panel = correlation_panel(classes([[1.0, 0.4], [1.0, 0.2], [1.0, 0.4]]), 100.0)
    assert [each.name for each in panel.series] == ["2 small classes", "class 2"]
    assert panel.series[0].x == [0.01, 0.02] and "mean curve" in panel.caption
    assert correlation_panel(classes([[1.0, 0.4], [1.0, 0.2]]), 100.0).caption == ""


def test_sizes_fall_and_need_no_names() -> None:
    panel = sizes_panel(classes([[1.0], [0.9], [0.8]]))
    assert panel.values == [30, 20, 10] and "<svg" in panel.html()
