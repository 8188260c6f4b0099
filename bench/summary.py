"""The table in bench/results/README.md: each goal beside the newest figure that was measured for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

BEGIN: Final = "<!-- made by bench/summary.py -->\n"
END: Final = "<!-- end -->\n"


def refresh(results: Path) -> None:
    """Write the table anew from all files beside it."""
    readme = results / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(before + BEGIN + _table(_newest(results)) + END + rest.split(END)[1])


def _newest(results: Path) -> dict[str, tuple[str, dict[str, Any], float]]:
    """Name of a figure with a goal → file, figure and load of the newest run that has it."""
    newest: dict[str, tuple[str, dict[str, Any], float]] = {}
    for file in sorted(results.glob("*.json")):
        run = json.loads(file.read_text())
        for figure in run["figures"]:
            if figure.get("goal") is not None:
                newest[figure["name"]] = (file.stem, figure, run["load"])
    return newest


def _table(newest: dict[str, tuple[str, dict[str, Any], float]]) -> str:
    lines = ["| figure | Greenroom | against | ratio | goal | | load | run |", "|---|---|---|---|---|---|---|---|"]
    for name, (run, figure, load) in newest.items():
        bound = "≥" if figure["more_is_better"] else "≤"
        lines.append(
            f"| {name} | {figure['product']:.4g} {figure['unit']} | {figure['yardstick_name']}:"
            f" {figure['yardstick']:.4g} | {figure['ratio']:.3g} | {bound} {figure['goal']:g}"
            f" | {'met' if figure['met'] else '**missed**'} | {load:.0f} | {run} |"
        )
    return "\n".join(lines) + "\n"
