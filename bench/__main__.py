"""Run all figures, or those named; print the table, write bench/figures.json and docs/performance.md."""

from __future__ import annotations

import importlib
import sys
import traceback
from datetime import UTC, datetime

from bench.summary import write
from bench.table import Figure, print_table

ALL = (
    "command_line",
    "claim_through_http",
    "hand_over",
    "cdp",
    "first_frame",
    "stream",
    "pods",
    "takeover",
    "offered",
    "check_in",
    "rounds",
    "growth",
    "restart",
    "removals",
    "idle",
    "jobs",
    "console",
)
GROUPS = {
    "scale": ("idle", "restart", "offered", "check_in", "rounds", "growth"),
    "storm": ("offered",),
}
"""Groups of figures: the growth of costs with an installation, and many launches at once."""


def main() -> None:
    """The entry point of script/bench."""
    arguments = sys.argv[1:] or list(ALL)
    names = [name for argument in arguments for name in GROUPS.get(argument, (argument,))]
    if unknown := sorted(set(names) - set(ALL)):
        raise SystemExit(f"bench: there is no figure {', '.join(unknown)}; there are {', '.join((*ALL, *GROUPS))}")
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        print(f"==> {name}", file=sys.stderr, flush=True)
        try:
            figures += importlib.import_module(f"bench.{name}").run()
        except Exception:  # noqa: BLE001 -- a figure that cannot be measured must not prevent the others
            traceback.print_exc()
            failed.append(name)
        except KeyboardInterrupt:
            failed.append(name)
            break
    if figures:
        print_table(figures)
        print(f"written to {write(figures, datetime.now(UTC)).name} in bench/results/")
    if failed:
        raise SystemExit(f"bench: {', '.join(failed)} could not be measured; the reasons are in the output above")


main()
