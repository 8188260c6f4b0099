"""Run all figures, or those named on the command line; print the table and write bench/results/."""

from __future__ import annotations

import importlib
import sys

from bench.table import Figure, show, write

ALL = ("claim_in_database", "claim_through_http", "first_frame", "refill", "takeover")


def main() -> None:
    """Entry point of script/bench."""
    names = sys.argv[1:] or list(ALL)
    if unknown := sorted(set(names) - set(ALL)):
        raise SystemExit(f"bench: there is no figure {', '.join(unknown)}; there are {', '.join(ALL)}")
    figures: list[Figure] = []
    for name in names:
        print(f"==> {name}", file=sys.stderr, flush=True)
        figures += importlib.import_module(f"bench.{name}").run()
    show(figures)
    print(f"written to {write(figures).name} in bench/results/")


main()
