"""The process `up`: `python -m greenroom.up.main DESCRIPTOR`. DESCRIPTOR is the number of an open file of `StartData`.

The process imports the modules of all roles, and forks the fork server, which shares the memory of these modules. Then
it reads `StartData`, which the fork server must not contain.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

from greenroom.kit import program

NICE: Final = -5
"""The nice value of `up` and its children: three times the processor share of a desktop. A desktop shows no change
while the processes that serve it wait for the processor (ADR 34).
"""


def main() -> None:
    """Run until SIGTERM; exit code 1 if the instance cannot be started."""
    program.block_unused_imports()  # before the first import of a library
    from greenroom.up import fork_server  # noqa: PLC0415
    from greenroom.up.processes import raise_priority  # noqa: PLC0415

    has_priority = raise_priority(NICE)
    server = fork_server.fork_from_up()
    gc.enable()
    from greenroom.up.start_data import StartData  # noqa: PLC0415 -- not in the fork server: no role needs it

    StartData.read(int(sys.argv[1])).run(server, has_priority=has_priority)


if __name__ == "__main__":
    main()
