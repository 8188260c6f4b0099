"""The pictures in docs/performance.md: the growth of costs with the size of an installation, drawn by gnuplot."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""Name of a curve → (x, y), sorted by x."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of some curves; `diagonal_title` is the title of the line y = x, such as the offered rate."""

    file: str
    title: str
    x: str
    y: str
    curves: tuple[str, ...]
    logarithmic_axes: str = ""
    """The logarithmic axes: "x", "y" or "xy"."""
    diagonal_title: str = ""


PLOTS: Final = (
    Plot(
        "scale-agents-cpu.png", "CPU while check-ins are held", "Agents", "% of a core",
        ("Manager", "PostgreSQL beside it"), "xy",
    ),
    Plot(
        "scale-agents-instruction.png", "From a committed instruction until its Agent has it", "Agents", "ms",
        ("instruction p50", "instruction p99"), "xy",
    ),
    Plot(
        "scale-pools.png", "A second at rest, with all pools full", "pools", "ms CPU",
        ("Primary and PostgreSQL at rest",), "x",
    ),
    Plot(
        "scale-rows.png", "Cost of reading and claiming as the past grows", "ended sessions", "ms",
        ("the most expensive of the lists", "a list in the middle", "a claim"), "x",
    ),
    Plot(
        "scale-offered.png", "Launches, all staged as long as refill keeps up", "offered a second", "served a second",
        ("served",), diagonal_title="offered",
    ),
    Plot(
        "removals.png", "From the removal of a user until the stream is closed", "% of the removals", "ms",
        ("all roles run", "the api is killed", "the Primary is killed"),
    ),
)  # fmt: skip


def draw(curves: Curves, folder: Path) -> list[Path]:
    """Write a picture for each of `PLOTS` whose curves have all been measured; returns the paths."""
    paths: list[Path] = []
    for plot in PLOTS:
        if all(name in curves for name in plot.curves):
            path = folder / plot.file
            subprocess.run(["gnuplot"], input=_script(plot, curves, path), text=True, check=True)
            paths.append(path)
    return paths


def _script(plot: Plot, curves: Curves, path: Path) -> str:
    blocks = [
        f"$curve{number} << END\n" + "".join(f"{x} {y}\n" for x, y in curves[name]) + "END"
        for number, name in enumerate(plot.curves)
    ]
    lines = [
        f"$curve{number} with linespoints linewidth 2 pointtype 7 title '{name}'"
        for number, name in enumerate(plot.curves)
    ]
    if plot.diagonal_title:
        lines.append(f"x with lines linecolor 'gray' dashtype 2 title '{plot.diagonal_title}'")
    return "\n".join(
        [
            "set terminal pngcairo size 720,400 font 'sans,11'",
            f"set output '{path}'",
            *blocks,
            f"set title '{plot.title}'",
            f"set xlabel '{plot.x}'",
            f"set ylabel '{plot.y}'",
            "set grid",
            "set rmargin 5",
            "set autoscale xfix",
            "set key top left",
            *([f"set logscale {plot.logarithmic_axes}"] if plot.logarithmic_axes else []),
            *([] if "y" in plot.logarithmic_axes else ["set yrange [0:*]"]),
            f"plot {', '.join(lines)}\n",
        ]
    )
