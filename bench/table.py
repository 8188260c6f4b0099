"""A figure, and the table of figures."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

from rich.console import Console, JustifyMethod
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Point:
    """The position of a figure's product in a picture of docs/performance.md (bench/plots.py)."""

    curve: str
    at: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table: the product's value and the yardstick's, measured in the same run.

    `ratio` is product / yardstick; for rates more is better, for times less. `goal` bounds it, from below if more is
    better, otherwise from above; an absolute goal is also the yardstick. If the distribution matters, all samples are
    stored with the figure.
    """

    name: str
    product: float
    yardstick: float
    unit: str
    yardstick_name: str
    samples: int
    note: str = ""
    samples_of_product: list[float] = field(default_factory=list[float])
    samples_of_yardstick: list[float] = field(default_factory=list[float])
    goal: float | None = None
    more_is_better: bool = False
    point: Point | None = None

    @property
    def is_met(self) -> bool | None:
        """True if the goal is reached; None if there is none."""
        if self.goal is None:
            return None
        if self.more_is_better:
            return self.ratio >= self.goal
        return self.product <= self.goal * self.yardstick  # the yardstick may be 0, e.g. clicks

    @property
    def goal_text(self) -> str:
        """The goal as text, e.g. "≤ 8"; empty if there is none."""
        return "" if self.goal is None else f"{'≥' if self.more_is_better else '≤'} {self.goal:g}"

    @property
    def verdict(self) -> str:
        """The goal and the result, e.g. "≤ 8 met"; empty without a goal."""
        return f"{self.goal_text} {'met' if self.is_met else 'MISSED'}" if self.goal_text else ""

    @property
    def ratio(self) -> float:
        """product / yardstick."""
        return self.product / self.yardstick if self.yardstick else float("nan")


def median(values: list[float]) -> float:
    """The median, the only average in use here, because the machines are shared and noisy."""
    return statistics.median(values)


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that `percent` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def slowest(values: list[float]) -> tuple[str, float]:
    """The name and the value of the slowest samples: p99, or the maximum of fewer than 100 samples, which have no
    99th percentile."""
    return ("p99", percentile(values, 99)) if len(values) >= 100 else ("maximum", max(values))


def spread(values: list[float]) -> str:
    """The minimum, the median, p99 if there are 100 samples, and the maximum."""
    parts = {"min": min(values), "p50": median(values), **dict([slowest(values)]), "maximum": max(values)}
    return " / ".join(f"{name} {value:.4g}" for name, value in parts.items())


def print_table(figures: list[Figure]) -> None:
    """Print the table."""
    table = Table(
        title="Greenroom: figures (medians unless named otherwise; one run)",
        title_justify="left",
    )
    columns: tuple[tuple[str, JustifyMethod], ...] = (
        ("figure", "left"),
        ("Greenroom", "right"),
        ("yardstick", "right"),
        ("unit", "left"),
        ("ratio", "right"),
        ("goal", "left"),
        ("n", "right"),
        ("against", "left"),
        ("note", "left"),
    )
    for title, justify in columns:
        table.add_column(title, justify=justify, overflow="fold")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.product:.4g}",
            f"{figure.yardstick:.4g}",
            figure.unit,
            f"{figure.ratio:.3g}",
            figure.verdict,
            str(figure.samples),
            figure.yardstick_name,
            figure.note,
        )
    Console(width=150).print(table)
