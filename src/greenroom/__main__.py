"""The command `greenroom`, also `python -m greenroom`: a role runs without the rest of the command line."""

from __future__ import annotations

import sys

from greenroom.kit import roles


def main() -> None:
    """Entry point."""
    if len(sys.argv) == 2 and sys.argv[1] in roles.ROLES:
        roles.run(sys.argv[1])
        return
    from greenroom.cli.main import main as command_line  # noqa: PLC0415 -- a role does without it

    command_line()


if __name__ == "__main__":
    main()
