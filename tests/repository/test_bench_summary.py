"""docs/performance.md has the newest value of each figure and says which goals are missed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from bench import summary
from bench.table import Figure, Point, slowest


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page like docs/performance.md."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{summary.BEGIN}old\n{summary.END}after\n")
    monkeypatch.setattr(summary, "PAGE", page)
    monkeypatch.setattr(summary, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(summary, "FIGURES", tmp_path / "figures.json")
    return page


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    asked: list[object] = []
    monkeypatch.setattr(summary, "draw", lambda curves, _folder: asked.append(curves))
    return asked


def _figure(name: str, product: float, goal: float | None, point: Point | None = None) -> Figure:
    return Figure(name, product, 10.0, "ms", "the goal", 1, goal=goal, point=point)


@pytest.mark.usefixtures("drawn")
def test_the_newest_value_of_each_goal_is_in_the_table(page: Path):
    summary.write([_figure("a", 5.0, 1.0), _figure("b", 30.0, 1.0)], datetime(2026, 1, 1, tzinfo=UTC))
    summary.write([_figure("a", 20.0, 1.0), _figure("c", 1.0, None)], datetime(2026, 1, 2, tzinfo=UTC))
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ") and "figure" not in line]
    assert [(line.split(" | ")[0], "**missed**" in line) for line in lines] == [("| a", True), ("| b", True)]
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")


@pytest.mark.usefixtures("page")
def test_curves_are_in_the_order_of_their_sizes(drawn: list[object]):
    summary.write(
        [_figure("1000", 5.0, None, Point("cost", 1000)), _figure("10", 3.0, None, Point("cost", 10))],
        datetime.now(UTC),
    )
    assert drawn == [{"cost": [(10.0, 3.0), (1000.0, 5.0)]}]


def test_the_page_has_the_figures_that_are_kept():
    kept = msgspec.json.decode(summary.FIGURES.read_bytes(), type=list[summary.Newest])
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in summary.PAGE.read_text().splitlines()}
    goals = [each for each in kept if each.figure.goal is not None]
    assert goals
    assert [each.figure.name for each in goals if each.run not in rows.get(each.figure.name, "")] == []


def test_no_stored_figure_is_a_percentile_of_too_few_samples():
    kept = msgspec.json.decode(summary.FIGURES.read_bytes(), type=list[summary.Newest])
    percents = {each.figure.name: re.search(r"\bp(\d\d)\b", each.figure.name) for each in kept}
    too_few = {
        each.figure.name: each.figure.samples
        for each in kept
        if (percent := percents[each.figure.name]) and each.figure.samples * (100 - int(percent[1])) < 100
    }
    assert too_few == {}


def test_the_slowest_of_fewer_than_100_samples_is_called_the_maximum():
    assert slowest([3.0, 1.0, 2.0]) == ("maximum", 3.0)
    assert slowest([float(number) for number in range(1, 101)]) == ("p99", 99.0)


@pytest.mark.usefixtures("drawn")
def test_the_table_shows_the_number_of_samples(page: Path):
    summary.write([_figure("a", 5.0, 1.0)], datetime(2026, 1, 1, tzinfo=UTC))
    heads, _, row = (line.split(" | ") for line in page.read_text().splitlines() if line.startswith("|"))
    assert row[heads.index("samples")] == "1"
