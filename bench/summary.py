"""How figures are kept: a file for each run in bench/results/, and docs/performance.md with the newest of each."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.plots import draw
from bench.table import Figure

RESULTS: Final = Path(__file__).parent / "results"
DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "performance.md"
BEGIN: Final = "<!-- made by bench/summary.py -->\n"
END: Final = "<!-- end -->\n"


class Run(msgspec.Struct, kw_only=True):
    """One run of script/bench; `load` is the run queue of the machine at its end."""

    time: str
    cores: int | None
    load: float
    scheduling: str = ""
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class Newest:
    """A figure, and the run it is of: the name of its file."""

    figure: Figure
    run: str
    load: float


def write(figures: list[Figure], now: datetime) -> Path:
    """Write the figures as JSON to bench/results/, named by the time of the run, and docs/performance.md anew."""
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    scheduling = "normal" if os.sched_getscheduler(0) == os.SCHED_OTHER else "real-time, before all other processes"
    run = Run(
        time=now.isoformat(), cores=os.cpu_count(), load=os.getloadavg()[0], scheduling=scheduling, figures=figures
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    refresh()
    return path


def refresh() -> None:
    """Make the table and the pictures of docs/performance.md from all that was measured."""
    newest = _newest()
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + _table(newest) + END + rest.split(END)[1])
    draw(_curves(newest), DOCS / "images")


def _newest() -> list[Newest]:
    """Of each name the figure that was measured last."""
    found: dict[str, Newest] = {}
    for file in sorted(RESULTS.glob("*.json")):
        run = msgspec.json.decode(file.read_bytes(), type=Run)
        found.update({figure.name: Newest(figure, file.stem, run.load) for figure in run.figures})
    return list(found.values())


def _table(newest: list[Newest]) -> str:
    lines = ["| figure | Greenroom | against | ratio | goal | | load | run |", "|---|---|---|---|---|---|---|---|"]
    for each in newest:
        figure = each.figure
        if figure.goal is not None:
            lines.append(
                f"| {figure.name} | {figure.product:.4g} {figure.unit} | {figure.yardstick_name}:"
                f" {figure.yardstick:.4g} | {figure.ratio:.3g} | {figure.bound}"
                f" | {'met' if figure.met else '**missed**'} | {each.load:.0f} | {each.run} |"
            )
    return "\n".join(lines) + "\n"


def _curves(newest: list[Newest]) -> dict[str, list[tuple[float, float]]]:
    curves: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for each in newest:
        if (point := each.figure.point) is not None:
            curves[point.curve].append((point.at, each.figure.product))
    return {name: sorted(points) for name, points in curves.items()}
