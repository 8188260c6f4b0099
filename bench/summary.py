"""The storage of figures: the newest of each in bench/figures.json and docs/performance.md.

Each run also has a file with all its samples in bench/results/, which is not in git.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.plots import draw
from bench.table import Figure

RESULTS: Final = Path(__file__).parent / "results"
FIGURES: Final = Path(__file__).parent / "figures.json"
DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "performance.md"
BEGIN: Final = "<!-- made by bench/summary.py -->\n"
END: Final = "<!-- end -->\n"


class Run(msgspec.Struct, kw_only=True):
    """A run of script/bench; `load` is the run queue of the machine at its end."""

    time: str
    cores: int | None
    load: float
    scheduling: str = ""
    figures: list[Figure]


class Newest(msgspec.Struct, kw_only=True):
    """A figure, with the time and load of its run."""

    run: str
    load: float
    figure: Figure


def write(figures: list[Figure], now: datetime) -> Path:
    """Write the run to bench/results/, and its figures to bench/figures.json and docs/performance.md; returns the
    run's file."""
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    scheduling = "normal" if os.sched_getscheduler(0) == os.SCHED_OTHER else "real-time, before all other processes"
    run = Run(
        time=now.isoformat(), cores=os.cpu_count(), load=os.getloadavg()[0], scheduling=scheduling, figures=figures
    )
    RESULTS.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    newest = _merge(figures, path.stem, round(run.load, 2))
    FIGURES.write_bytes(b"[\n" + b",\n".join(map(msgspec.json.encode, newest)) + b"\n]\n")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + _table(newest) + END + rest.split(END)[1])
    draw(_curves(newest), DOCS / "images")
    return path


def _merge(figures: list[Figure], run: str, load: float) -> list[Newest]:
    """The newest figure of each name that has a goal or a position in a picture, without its samples."""
    before = msgspec.json.decode(FIGURES.read_bytes(), type=list[Newest]) if FIGURES.exists() else []
    by_name = {entry.figure.name: entry for entry in before}
    for figure in figures:
        if figure.goal is not None or figure.point is not None:
            short_figure = replace(figure, note="", samples_of_product=[], samples_of_yardstick=[])
            by_name[figure.name] = Newest(run=run, load=load, figure=short_figure)
    return list(by_name.values())


def _table(newest: list[Newest]) -> str:
    lines = [
        "| figure | Greenroom | reference | ratio | goal | result | samples | load | run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in newest:
        figure = entry.figure
        if figure.goal is not None:
            lines.append(
                f"| {figure.name} | {figure.product:.4g} {figure.unit} | {figure.yardstick_name}:"
                f" {figure.yardstick:.4g} | {figure.ratio:.3g} | {figure.goal_text}"
                f" | {'met' if figure.is_met else '**missed**'} | {figure.samples} | {entry.load:.0f} | {entry.run} |"
            )
    return "\n".join(lines) + "\n"


def _curves(newest: list[Newest]) -> dict[str, list[tuple[float, float]]]:
    curves: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for entry in newest:
        if (point := entry.figure.point) is not None:
            curves[point.curve].append((point.at, entry.figure.product))
    return {name: sorted(points) for name, points in curves.items()}
