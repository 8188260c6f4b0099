"""The process `up`: `python -m greenroom.up.main DESCRIPTOR` of what the command line handed over (`up.handed`).

It imports what all roles run, forks the fork server, which shares that memory, and only then reads what it was handed.
"""

from __future__ import annotations

import gc
import sys

from greenroom.up import fork_server


def main() -> None:
    """Run until SIGTERM, or until the instance cannot be started; exit code 1 then."""
    server = fork_server.beside()
    gc.enable()
    from greenroom.up.handed import Handed  # noqa: PLC0415 -- no role needs any of it

    Handed.read(int(sys.argv[1])).run(server)


if __name__ == "__main__":
    main()
