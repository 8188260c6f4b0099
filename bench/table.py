"""A figure, and how figures are shown and kept."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: the product's value beside the yardstick's, measured in the same run.

    `ratio` is product / yardstick; for rates more is better, for times less.
    """

    name: str
    product: float
    yardstick: float
    unit: str
    yardstick_name: str
    samples: int
    note: str = ""

    @property
    def ratio(self) -> float:
        """product / yardstick."""
        return self.product / self.yardstick if self.yardstick else float("nan")


def median(values: list[float]) -> float:
    """The median, the only average quoted here: the machines are shared and noisy."""
    return statistics.median(values)


def show(figures: list[Figure]) -> None:
    """Print the table."""
    table = Table(title="Greenroom: figures (medians; one run)", title_justify="left")
    for title, justify in (
        ("figure", "left"),
        ("Greenroom", "right"),
        ("yardstick", "right"),
        ("unit", "left"),
        ("ratio", "right"),
        ("n", "right"),
        ("against", "left"),
        ("note", "left"),
    ):
        table.add_column(title, justify=justify, overflow="fold")
    for f in figures:
        table.add_row(
            f.name,
            f"{f.product:.4g}",
            f"{f.yardstick:.4g}",
            f.unit,
            f"{f.ratio:.3g}",
            str(f.samples),
            f.yardstick_name,
            f.note,
        )
    Console(width=150).print(table)


def write(figures: list[Figure]) -> Path:
    """Write the figures as JSON to bench/results/, named by the time of the run."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    rows = [{**asdict(f), "ratio": round(f.ratio, 4)} for f in figures]
    document = {"time": now.isoformat(), "cores": os.cpu_count(), "load": os.getloadavg()[0], "figures": rows}
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
