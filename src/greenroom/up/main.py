"""The process `up`: `python -m greenroom.up.main DESCRIPTOR` of what the command line handed over (`up.handed`).

It imports what all roles run, forks the fork server, which shares that memory, and only then reads what it was handed.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

from greenroom.kit.processes import go_first
from greenroom.up import fork_server

NICE: Final = -5
"""Three times the share of a desktop, which shows nothing while what serves it waits for the processor (ADR 34)."""


def main() -> None:
    """Run until SIGTERM, or until the instance cannot be started; exit code 1 then."""
    goes_first = go_first(NICE)
    server = fork_server.beside()
    gc.enable()
    from greenroom.up.handed import Handed  # noqa: PLC0415 -- no role needs any of it

    Handed.read(int(sys.argv[1])).run(server, goes_first=goes_first)


if __name__ == "__main__":
    main()
